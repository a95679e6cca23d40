"""`make site`: the pages of whydrop for a browser, a directory of files that asks nobody for anything."""
