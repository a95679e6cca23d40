"""The page of a whole run, for a ticket: one file of HTML that needs nothing else."""
