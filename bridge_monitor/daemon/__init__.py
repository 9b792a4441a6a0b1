"""Composition of what calls need and of the long-running service. Level 7: only `cli` uses it."""
