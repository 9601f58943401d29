"""Which passages is a question about?

`collection` answers it for documents that are kept; `hnsw`, `inverted_index` and `fusion` are what it is made of, and
`store` keeps them on the disk. `readers` and `chunking` make passages of files, `neural` vectors and judgements of
passages. `count_min` counts what is asked for and found. Searching with vectors of one's own loads no torch.
"""
