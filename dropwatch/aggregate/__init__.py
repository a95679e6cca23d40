"""Many events become one thing: the tally of a summary, the journeys of a trace."""
