"""Which matrices of a model are held in fewer bits, how do they come there, and where do they lie?"""
