"""The addresses about documents and vectors: collections and what is in them, embeddings."""
