"""Functions that the model may call: the registry, and what of a function is told to the model."""
