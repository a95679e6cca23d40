"""The judge of queues and traffic control."""

from dropwatch.causes.family import Family, Judgement
from dropwatch.causes.queueing import filters, qdiscs
from dropwatch.causes.queueing.backlog import cpu_backlog
from dropwatch.causes.queueing.carrier import device_is_off
from dropwatch.causes.queueing.catalogue import QDISCS
from dropwatch.causes.queueing.control import CONTROL
from dropwatch.host.host import Host
from dropwatch.model.drop import Drop


def _judge(drop: Drop, host: Host) -> Judgement | None:
    off = device_is_off(drop, host)
    if off is not None:
        return off
    full = cpu_backlog(drop, host)
    if full is not None:
        return "queueing.cpu-backlog", full
    return filters.ingress(drop, host) or filters.egress(drop, host) or qdiscs.judged(drop, host)


QUEUEING = Family("queueing", (*QDISCS, *CONTROL), _judge)
