"""How a token is chosen: edits of the logits, the filtered distribution, the uniform number that picks from it, and the
log-probabilities that are reported. `engine/sampler.py` puts them together for a batch."""
