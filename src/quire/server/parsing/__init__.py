"""What a model wrote, told apart: its thoughts, its text, and the calls of tools, as the text comes.

Every parser is a small state machine over text: `push` takes a piece and gives the parts that are certain by then,
`finish` gives the rest. Invariant: the parts of a text, joined, do not depend on where it was cut into pieces.
None of them knows requests, tokens or HTTP.
"""
