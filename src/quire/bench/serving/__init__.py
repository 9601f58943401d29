"""What becomes of many requests: who waits, who is refused, and how much is done?"""
