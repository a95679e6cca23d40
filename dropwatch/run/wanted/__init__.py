"""What the user wants to see: words become a Filter."""
