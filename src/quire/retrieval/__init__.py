"""Find what a question is about: by meaning (`hnsw`), by words (`inverted_index`), by both (`fusion`).

`count_min` counts what is asked for and found. Nothing here loads torch.
"""
