"""Signs of the BPF programs of routes (encap bpf): which route, and which program of it."""

from dataclasses import replace

from dropwatch.causes import fits, kernel_word, programs
from dropwatch.causes.advice import of_catalogue
from dropwatch.host.bpf.lwt import RouteProgram
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop, Evidence, Fix, Verdict

PLACES: dict[str, str | None] = {
    "bpf_input": "in",
    "bpf_output": "out",
    "bpf_xmit": "xmit",
    "run_lwt_bpf": None,
}
_FACT = "the BPF program of a route runs here; a broken route leads here as well"
_READ = "netlink route, after the drop"


def refused(drop: Drop, host: Host) -> Verdict | None:
    place = kernel_word.place(drop)
    if place not in PLACES or not kernel_word.gave_no_reason(drop):
        return None
    said = kernel_word.likely(drop, Evidence("place", _FACT))
    way = kernel_word.way(drop)
    called = next((hook for function, hook in PLACES.items() if hook is not None and function in way), None)
    named = [one for one in _of_route(drop, host, called) if one.hook == called] if called is not None else []
    if called is None or not named:
        return said
    loaded = host.lwt_programs(drop.event.netns, called, drop.event.monotonic_ns) or ()
    where = f"route to {drop.packet.daddr}, encap bpf {called}"
    fact = Evidence(
        _READ, f"the route to {drop.packet.daddr} has the program {named[0].name} ({called})", "proof"
    )
    verdict = replace(said, evidence=(fact, *said.evidence))
    if len(loaded) != 1:
        return verdict
    (one,) = loaded
    keepers = programs.keepers_of(drop, host, one.id)
    evidence = (
        *verdict.evidence,
        Evidence("bpf", f"the only program of this kind: {programs.in_words(one)}"),
    )
    see = of_catalogue((Fix("see the route", "ip -d route get DADDR"),), drop)
    return replace(
        verdict,
        culprit=programs.blamed(one, where, keepers),
        evidence=(*evidence, *programs.kept_by(one, keepers)),
        fix=(*see, programs.show(one.id)),
    )


def _of_route(drop: Drop, host: Host, hook: str) -> tuple[RouteProgram, ...]:
    event, packet = drop.event, drop.packet
    if packet.daddr is None:
        return ()
    came_in = (event.skb_iif or event.ifindex) if hook == "in" or fits.came_in(drop) else 0
    return (
        host.route_programs(event.netns, packet.daddr, packet.saddr, came_in, packet.mark, event.monotonic_ns)
        or ()
    )
