"""How does a question become an answer that names its sources?"""
