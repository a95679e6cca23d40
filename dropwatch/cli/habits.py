"""What people type out of habit from tcpdump, ip and iptables, and whydrop's own word for it."""

import difflib
from collections.abc import Collection, Sequence

_AT_ONCE = "not needed: each finding is written at once"
_NO_PROMISCUITY = "not needed: no interface is put into promiscuous mode"
_BYTES = "whydrop stack shows the bytes of a packet and all its headers"
_OPTIONS = {
    **dict.fromkeys(("-l", "-U", "--line-buffered"), _AT_ONCE),
    **dict.fromkeys(("-p", "-I"), _NO_PROMISCUITY),
    **dict.fromkeys(("-e", "-x", "-X", "-A"), _BYTES),
    "-t": "--time date has the date, --time epoch seconds, --time none no time at all",
    "-s": "not needed: the headers are always kept, --payload keeps more in the file of --write",
    "-D": "ip -all netns exec ip link lists the interfaces of all namespaces with a name",
    "-F": 'an expression stands in the command line: whydrop "$(cat FILE)"',
    "-o": "did you mean -w FILE?",
    "-a": "did you mean --all?",
    "-d": "did you mean --daddr, --dport or --debug?",
    "--ip": "did you mean --host?",
    "--sip": "did you mean --saddr?",
    "--dip": "did you mean --daddr?",
    "--pcap": "did you mean --write FILE.pcapng?",
    "--follow": "not needed: whydrop goes on until Ctrl-C",
}


def option_hint(name: str, close: Sequence[str]) -> str | None:
    """What to type instead of an option that there is not; `close` are options that look alike. None: nothing known."""
    if name in _OPTIONS:
        return _OPTIONS[name]
    return f"did you mean {' or '.join(close)}?" if close else None


def word_hint(words: Sequence[str], commands: Collection[str], options: Collection[str]) -> str | None:
    """Of a first word that is neither a command nor one of an expression: `dport 53` was to be `--dport 53`."""
    first = words[0]
    if f"--{first}" in options:
        return f"did you mean --{' '.join(words[:2])}?"
    close = difflib.get_close_matches(first, commands, n=1, cutoff=0.7)
    return f"did you mean whydrop {close[0]}?" if close else None
