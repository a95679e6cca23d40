"""Makes the pages of the manual, and the files that are made of what whydrop knows: `make docs` and `make site`."""
