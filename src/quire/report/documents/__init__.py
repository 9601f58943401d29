"""How is it told to people who were not there? A paper and slides of one story, and their figures."""
