"""What TCP refuses."""
