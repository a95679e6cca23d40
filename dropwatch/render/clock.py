"""How a time of day is written, as the user chose it with --time."""

from datetime import datetime, timezone
from typing import Literal, get_args

Times = Literal["clock", "date", "utc", "epoch", "none"]
TIMES: tuple[Times, ...] = get_args(Times)


def time_words(seconds: float, times: Times) -> str:
    """Seconds since 1970, in microseconds, which is how exact tcpdump is.

    `clock` is local, `date` too, with the zone; `utc` is that of the JSON; `epoch` are the seconds; `none` is nothing.
    """
    if times == "none":
        return ""
    if times == "epoch":
        return f"{seconds:.6f}"
    if times == "utc":
        whole = datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="microseconds")
        return f"{whole.removesuffix('+00:00')}Z"
    if times == "date":
        return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S.%f %z}"
    return f"{datetime.fromtimestamp(seconds):%H:%M:%S.%f}"
