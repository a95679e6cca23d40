"""The tools that agents have through `whydrop mcp`: what each may ask for, how it is run, and what it answers."""
