"""Which networks read a text whole, to make a vector or a score of it, and how do they come from files into memory?

The BERT family, and decoders whose hidden states are used instead of their logits. What is done with the states
(pooling, prefixes, thresholds) is the retrieval room's business.
"""

from quire.models.encoders.loading import LoadedClassifier, LoadedEncoder, load_classifier, load_encoder
from quire.models.encoders.packed_texts import PackedTexts, pack_texts

__all__ = [
    "LoadedClassifier",
    "LoadedEncoder",
    "PackedTexts",
    "load_classifier",
    "load_encoder",
    "pack_texts",
]
