"""Which passages is a question about?

`collection` answers it for documents that are kept; `hnsw`, `inverted_index` and `fusion` are what it is made of, and
`store` keeps them on the disk. `count_min` counts what is asked for and found. Searching loads no torch.
"""
