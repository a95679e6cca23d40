"""The JSON: what its lines are made of, and the schema that says so."""
