"""The addresses about the served model itself: its names, and texts as its tokens."""
