"""What has no route, or comes from where it should not."""
