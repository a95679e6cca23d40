"""TCP: what a time-wait socket has dealt with."""

from dropwatch.probe.family import Family, Hook

TCP = Family(
    name="tcp",
    file="tcp.c",
    flag="FAMILY_TCP",
    hooks=(Hook("tcp_timewait_state_process", "on_tcp_timewait", "on_tcp_timewait_return"),),
)
