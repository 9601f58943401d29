"""How much memory and how many cores does this process really have?"""
