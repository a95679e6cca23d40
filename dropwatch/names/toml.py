"""TOML as Python's library reads it: from 3.11 on it is the standard one, before it is tomli, which it comes from."""

import sys

if sys.version_info >= (3, 11):
    from tomllib import loads
else:
    from tomli import loads

__all__ = ["loads"]
