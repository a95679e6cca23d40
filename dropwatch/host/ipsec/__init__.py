"""The SAs, policies and IPsec connections of a network namespace."""
