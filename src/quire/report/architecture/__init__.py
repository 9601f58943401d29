"""Which rooms are there, who uses whom, and how does that look?"""
