"""How fast does a model answer, by itself and through its engine?

Cases like those of other engines, the engine's own work, and the model with random weights that they run.
"""
