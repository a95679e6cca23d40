"""Names make an Event a Drop."""
