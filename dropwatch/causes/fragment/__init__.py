"""Fragments: pieces that are missing, that came twice, that overlap, or that there is no memory for."""
