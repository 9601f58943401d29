"""Who runs next, who may come in, and what runs together."""
