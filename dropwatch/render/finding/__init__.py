"""A finding as text, JSON, stack page or capture."""
