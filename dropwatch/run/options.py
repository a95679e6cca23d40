"""What one run is to do, as one frozen value: the words of the command line, understood."""

import re
from dataclasses import field
from pathlib import Path
from typing import Literal, get_args

from dropwatch.model.dataclass import dataclass
from dropwatch.model.filter import Filter
from dropwatch.render.clock import Times
from dropwatch.render.layout import When

View = Literal["findings", "stack", "folded", "summary", "trace", "tree", "window"]
VIEWS: tuple[View, ...] = get_args(View)
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Options:
    """One live run. `count` is in findings, `duration` in seconds; `command` is empty without `-- CMD`.

    `every_packet` is to tell none together with others, `light` to attach what costs an accepted packet something only
    when a drop needs it. `view` is `stack` for one packet in full, `folded` for stacks
    counted at the end, `summary` for counts each `interval` seconds (None: as it suits the output), where `count` is in
    summaries. `write` is the file that is left, None for none; `anonymize` and `payload` are about its content. `trace`
    is the journey of packets, `tree` with the calls of kernel functions inside each other: then `count` is in packets,
    `functions` is what further functions are watched, `fields` are members of struct sk_buff to be told. `color` is
    when there are colours, `no_color` goes before it, `times` is how a time is written. `verbosity` is 0 for what most
    want to see, 1 for all evidence and each step, 2 for the stack as well; `quiet` is to say nothing while all is well.
    `asked` are the words of the command line. `btf` is a file that tells the layouts of a kernel that does not.
    """

    wanted: Filter = field(default_factory=Filter)
    json: bool = False
    stack: bool = False
    all_drops: bool = False
    every_packet: bool = False
    light: bool = False
    no_color: bool = False
    color: When = "auto"
    times: Times = "clock"
    count: int | None = None
    duration: float | None = None
    ready_file: Path | None = None
    command: tuple[str, ...] = ()
    debug: bool = False
    view: View = "findings"
    write: Path | None = None
    anonymize: bool = False
    payload: bool = False
    interval: float | None = None
    functions: re.Pattern[str] | None = None
    fields: tuple[str, ...] = ()
    verbosity: int = 0
    quiet: bool = False
    asked: str = ""
    btf: Path | None = None
