"""The addresses that a browser opens: the page, and the reference of the API."""
