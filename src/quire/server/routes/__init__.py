"""The addresses of the server, a room per family of them and a file per kind of question."""
