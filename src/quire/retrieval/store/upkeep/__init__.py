"""What keeps a collection quick and whole?

Rows become segments, damage is found, and one state is copied elsewhere.
"""
