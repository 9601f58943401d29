"""What does each data structure cost, and how does the cost grow?"""
