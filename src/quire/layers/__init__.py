"""Which parts is a transformer made of, and how do processes share them?

Each layer is a thin module over one function of `quire.kernels`, and tensor-parallel from the start: a layer that is
shared between processes is told its group, and a group of one costs nothing.

Letters in names, here and in models: T tokens, D hidden size, H query heads, K key-value heads, E head size,
I intermediate size, V vocabulary, R rows that want logits, P positions, N blocks, B block size.
"""
