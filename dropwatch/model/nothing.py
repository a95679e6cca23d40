"""What a run that matched nothing knows all the same."""

from dropwatch.model.dataclass import dataclass
from dropwatch.model.filter import Filter
from dropwatch.model.near import NearDrops
from dropwatch.model.summary import Outside
from dropwatch.model.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Nothing:
    """`compared` is what of the filter could be compared with drops, `is_all` False where its expression was not.

    `traffic` is None where nobody could ask: in a replay. `left_out` are namespaces that nobody looked into.
    """

    compared: Filter
    near: NearDrops
    traffic: tuple[Traffic, ...] | None = None
    lost: tuple[Outside, ...] = ()
    left_out: int = 0
    is_all: bool = True
