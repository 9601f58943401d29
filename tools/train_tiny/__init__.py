"""How quire-tiny, the model that comes with Quire, is made. Not part of the package; see README.md."""
