"""What the process may do and who decides what it runs: the caller's environment, what is given up and when."""
