"""The addresses for those who look after a server: whether it lives, and what it does at this moment."""
