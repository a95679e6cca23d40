"""For tests of one's own network: a test in which a packet dies fails with the findings."""
