"""One plugin of each kind for fracbench."""
