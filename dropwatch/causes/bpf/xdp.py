"""Signs of XDP programs: which one the interface has, in the mode that the place tells."""

from dataclasses import replace

from dropwatch.causes import kernel_word, pinned, programs
from dropwatch.causes.advice import Step, of_catalogue
from dropwatch.causes.family import Judgement
from dropwatch.host.bpf.xdp import Mode, XdpProgram
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict
from dropwatch.names.foreign import quoted

GENERIC = ("do_xdp_generic", "netif_receive_generic_xdp", "bpf_prog_run_generic_xdp")
NATIVE = ("veth_xdp_rcv_skb", "veth_xdp_rcv", "veth_poll")
"""Of the drivers that have a packet by then."""
_IDS: dict[Mode, str] = {"generic": "bpf.xdp-generic", "native": "bpf.xdp-native"}
_WORDS: dict[Mode, str] = {"generic": "xdpgeneric", "native": "xdpdrv"}
_READ = "netlink route, after the drop"
_MEMORY = "an XDP program runs here; the other reason is lack of memory for the packet"
_REDIRECTED = "an XDP program (in generic mode) redirects it, and that fails"
_REDIRECTING = (
    Fix("check that the interface it redirects to exists and is up", "ip link show"),
    Fix("watch redirect errors, with their interfaces", "perf trace -e xdp:xdp_redirect_err"),
)


def dropped(drop: Drop, host: Host) -> Judgement | None:
    place, told = kernel_word.place(drop), drop.reason == "XDP"
    if not told and not (kernel_word.gave_no_reason(drop) and place in (*GENERIC, *NATIVE)):
        return None
    mode: Mode = "native" if place in NATIVE else "generic"
    said = kernel_word.certain(drop) if told else kernel_word.likely(drop, Evidence("place", _MEMORY))
    redirected = told and place == "do_xdp_generic"
    if redirected:
        # it gives this reason itself for nothing else: what a program drops there has none (net/core/dev.c)
        fact = "the program returned XDP_REDIRECT, and the packet could not be redirected"
        said = kernel_word.certain(drop, Evidence("place", fact))
        said = replace(said, title=_REDIRECTED)
    return _IDS[mode], _named(drop, host, mode, said, redirected=redirected)


def _named(drop: Drop, host: Host, mode: Mode, said: Verdict, *, redirected: bool) -> Verdict:
    event = drop.event
    there = host.xdp_programs(event.netns, event.monotonic_ns) or ()
    found = [one for one in there if one.ifindex == event.ifindex and one.mode == mode]
    if len(found) != 1:
        return replace(said, fix=of_catalogue(_REDIRECTING, drop)) if redirected else said
    (one,) = found
    program, keepers = one.program, programs.keepers_of(drop, host, one.program.id)
    where = f"interface {one.interface} {_WORDS[mode]}"
    fact = Evidence(_READ, f"{one.interface} has {programs.in_words(program)}, {mode} mode", "proof")
    verdict = replace(
        said,
        culprit=programs.blamed(program, where, keepers),
        evidence=(fact, *said.evidence, *programs.kept_by(program, keepers)),
        fix=(*(_REDIRECTING if redirected else ()), *_fixes(one)),
    )
    kinds = pinned.Source("programs", None), pinned.Source("links", None)
    return pinned.doubted(verdict, pinned.doubts(drop, host, *kinds))


def _fixes(one: XdpProgram) -> tuple[Fix, ...]:
    name = quoted(one.interface)
    return (
        programs.show(one.program.id),
        Step(
            "detach it, for a test",
            f"ip link set dev {name} {_WORDS[one.mode]} off",
            weakens="it may protect this host",
        ),
    )
