"""Text on its way to token ids and back: special tokens, chat templates, GGUF vocabularies, incremental decoding.
`models/tokenizer.py` is the face of it."""
