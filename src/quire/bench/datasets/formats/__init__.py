"""How is each published collection written down? A module each, which gives its documents one at a time."""
