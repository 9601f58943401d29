"""How fast, and how well, is something found?"""
