"""What no socket takes."""
