"""Sends that fail before there is a packet."""
