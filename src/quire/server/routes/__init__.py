"""The addresses of the server, a file per family of them."""
