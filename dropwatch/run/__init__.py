"""One run: live or from a recording, from the first look at the machine to the last line."""
