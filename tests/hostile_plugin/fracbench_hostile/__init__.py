"""A model with one fault of your choice."""
