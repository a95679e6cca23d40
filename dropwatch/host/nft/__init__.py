"""The rulesets of nf_tables."""
