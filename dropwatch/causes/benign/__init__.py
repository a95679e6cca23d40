"""Deaths that are no loss."""
