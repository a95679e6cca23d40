"""Findings, closing statements and self-tests as text or JSON: the only room that knows a terminal."""
