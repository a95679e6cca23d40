"""The judge of BPF programs."""

from dropwatch.causes.bpf import cgroup, lwt, xdp
from dropwatch.causes.bpf.catalogue import CAUSES
from dropwatch.causes.family import Family, Judgement
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop


def _judge(drop: Drop, host: Host) -> Judgement | None:
    found = cgroup.refused_call(drop, host) or cgroup.refused(drop, host) or xdp.dropped(drop, host)
    if found is not None:
        return found
    of_route = lwt.refused(drop, host)
    return ("bpf.lwt", of_route) if of_route is not None else cgroup.perhaps(drop, host)


BPF = Family("bpf", CAUSES, _judge)
