"""The capabilities that whydrop knows: which a live run goes on with, and what goes without each (docs/security.md)."""

from dropwatch.model.dataclass import dataclass

# linux/capability.h
CAP_DAC_READ_SEARCH, CAP_KILL, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_PTRACE = 2, 5, 12, 13, 19
CAP_SYS_ADMIN, CAP_SYSLOG, CAP_PERFMON, CAP_BPF = 21, 34, 38, 39

# Of a live run once its probes are attached: modules that come later get theirs, drops to come are explained.
KEPT = frozenset(
    {
        CAP_DAC_READ_SEARCH,
        CAP_NET_ADMIN,
        CAP_NET_RAW,
        CAP_SYS_PTRACE,
        CAP_SYS_ADMIN,
        CAP_SYSLOG,
        CAP_PERFMON,
        CAP_BPF,
    }
)


@dataclass(frozen=True, slots=True)
class Use:
    """What a capability is for beyond the bare necessities: its row in `whydrop check`, with and without it."""

    capability: int
    name: str
    row: str
    can: str
    cannot: str


USES = (
    Use(
        CAP_NET_ADMIN,
        "CAP_NET_ADMIN",
        "configuration",
        "SAs, policies and rules can be read",
        "no SAs, policies and rules are read, so no ESP packet under a port filter",
    ),
    Use(
        CAP_NET_RAW,
        "CAP_NET_RAW",
        "legacy tables",
        "rules of iptables-legacy and ebtables can be read",
        "rules of iptables-legacy and ebtables are not read",
    ),
    Use(
        CAP_SYS_ADMIN,
        "CAP_SYS_ADMIN",
        "namespaces",
        "other network namespaces can be looked into",
        "only the configuration of this network namespace can be read, and no BPF program has a name",
    ),
    Use(
        CAP_SYS_PTRACE,
        "CAP_SYS_PTRACE",
        "processes of others",
        "whose sockets and namespaces they have can be read",
        "who owns a socket is not told, and of a namespace without a name in /run/netns neither name nor rules",
    ),
    Use(
        CAP_DAC_READ_SEARCH,
        "CAP_DAC_READ_SEARCH",
        "files of others",
        "can be read, whoever owns them",
        "who owns a socket is not told where that is another user's process, nor whose cgroup it is",
    ),
)
