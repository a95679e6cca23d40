"""Where each page of the site is: addresses that do not change as long as the names do not."""

from collections.abc import Mapping
from functools import cache

from dropwatch.explain import catalogue
from dropwatch.explain.counters import counters
from dropwatch.names import symbols


@cache
def addresses() -> Mapping[str, str]:
    """The path of each page below the site's root, by the name that `whydrop explain` takes."""
    found = {"unknown": "causes/unknown.html"}
    found |= {name: f"functions/{name}.html" for name in symbols.function_names()}
    found |= {name: f"reasons/{name}.html" for name in symbols.reason_names()}
    found |= {name: f"counters/{name}.html" for name in counters()}
    found |= {name: f"families/{name}.html" for name in symbols.families()}
    return found | {cause_id: f"causes/{cause_id}.html" for cause_id in catalogue.causes()}


def link(name: str, root: str) -> str | None:
    """From a page whose way to the site's root is `root` (`../`); None for what has no page."""
    path = addresses().get(name.removesuffix("()"))
    return None if path is None else f"{root}{path}"
