"""Network namespaces: their names, and how to be inside one for a moment."""
