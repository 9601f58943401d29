"""The addresses that make text: chats, completions, responses and messages."""
