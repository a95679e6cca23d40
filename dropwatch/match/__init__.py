"""Whether a drop is one that the user asked to see."""
