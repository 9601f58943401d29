"""Which vector is a text's, and how well does a passage answer a question, as a neural network sees it?

The networks are those of `quire.models.encoders`; here is what makes vectors and scores of their hidden states.
"""
