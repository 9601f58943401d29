"""What is the engine doing, and how would an operator see it?"""
