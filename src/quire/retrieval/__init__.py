"""Which passages is a question about?

`count_min` counts what is asked for and found. Nothing here loads torch.
"""
