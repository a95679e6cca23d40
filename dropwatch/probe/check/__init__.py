"""What this machine can do, tried: `whydrop check` and the first look of every run."""
