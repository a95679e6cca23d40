"""The command line: words become one frozen Options, an error becomes two lines and an exit code."""
