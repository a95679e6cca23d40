"""A journey as text, tree or JSON."""
