"""What whydrop costs, beside what others cost: `make bench`."""
