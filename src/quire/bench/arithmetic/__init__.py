"""How fast is one operation, and what do fewer bits cost?"""
