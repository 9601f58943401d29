"""Nearest neighbours by comparing with every vector, in float64."""

import numpy as np


def distances(queries, vectors, metric: str) -> np.ndarray:
    """[num_queries, num_vectors]"""
    queries, vectors = np.asarray(queries, dtype=np.float64), np.asarray(vectors, dtype=np.float64)
    if metric == "l2":
        return ((queries[:, None, :] - vectors[None, :, :]) ** 2).sum(axis=2)
    if metric == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return 1 - queries @ vectors.T


def recall(found, queries, vectors_by_id: dict[int, np.ndarray], metric: str, k: int) -> float:
    """The share of `found` ids that are as near as the k-th nearest; ties count as found."""
    keys = list(vectors_by_id)
    column = {key: i for i, key in enumerate(keys)}
    every = distances(queries, np.array([vectors_by_id[key] for key in keys]), metric)
    farthest = np.sort(every, axis=1)[:, min(k, len(keys)) - 1]
    hits = [every[row, column[key]] <= farthest[row] + 1e-6 for row, ids in enumerate(found) for key in ids.tolist()]
    return sum(hits) / (len(queries) * min(k, len(keys)))
