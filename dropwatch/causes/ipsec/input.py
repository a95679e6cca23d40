"""IPsec, on the way in: what the kernel does with an ESP, AH or IPComp packet, and with what comes out of it."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_COMPARE = "ip xfrm state list src SADDR dst DADDR"
_IKE = Fix(
    "if an IKE daemon made the SAs, set up the connection again with it",
    "swanctl --terminate --ike CONNECTION; swanctl --initiate --child CHILD",
)

INPUT = (
    Cause(
        id="ipsec.auth-failed",
        title="authentication failed: the keys or the integrity algorithm differ",
        why="""
The kernel found the SA for this packet by its SPI, computed the integrity check value with the SA's key, and
it is not the one in the packet. esp_input() returned EBADMSG, xfrm_input() counted XfrmInStateProtoError and
dropped it; the sender learns nothing. Either the two ends do not have the same key, algorithm or ICV length
(mistyped, a rekey that reached only one end, hmac(sha256) with 96 instead of 128 bits), or something changed
the packet in transit: a middlebox that rewrites what it should not, damaged memory, a forgery. If every
packet of the SA fails, the keys differ.
""",
        confirm="""
Compare both ends: algorithm, key and ICV length must be equal. This prints the keys.
$ ip xfrm state list
The counters of this SA and of the namespace rise with each such packet:
$ ip -s xfrm state list
$ cat /proc/net/xfrm_stat
""",
        fix=(Fix("compare algorithm, key and ICV length on both ends", _COMPARE), _IKE),
        seen_at=("xfrm_input", "esp_input", "esp_input_done2"),
    ),
    Cause(
        id="ipsec.no-state",
        title="no SA for this packet: its SPI is unknown here",
        why="""
The kernel looks an SA up by destination address, protocol, SPI and mark, and there is none. The sender uses
an SA that this host does not have, or no longer has: after a restart or a crash of one end, a rekey that only
one end finished, an SA that was deleted or has expired, or an SA that is bound to a mark this packet lacks.
Without an IKE daemon: a mistyped SPI or address. The kernel counts XfrmInNoStates and drops silently.
""",
        confirm="""
$ ip xfrm state list nokeys
$ cat /proc/net/xfrm_stat
On the sender the SPI must appear in an SA towards this host, here in an SA from it.
""",
        fix=(
            Fix(
                "list the SAs that this host has from the sender",
                "ip xfrm state list src SADDR dst DADDR nokeys",
            ),
            _IKE,
        ),
        seen_at=("xfrm_input",),
    ),
    Cause(
        id="ipsec.replay",
        title="the sequence number is repeated, or too old",
        why="""
Every packet of an SA has a sequence number. The receiver remembers which of the last numbers it has seen (the
replay window) and drops what it has seen or what is older than the window. A packet that was duplicated in
transit, or captured and sent again, is dropped here. Without an attacker: reordering wider than the window
(multipath, QoS inside the tunnel, several CPUs of the sender), or a sender that restarted its counter while
keeping the key. With extended sequence numbers (ESN) half of the number is not in the packet: a number below
the window is taken for one of the next 2^32, and the integrity check fails.
""",
        confirm="""
The SA's own counters tell duplicates ("replay") from too old ("replay-window"):
$ ip -s xfrm state list
$ cat /proc/net/xfrm_stat
Seen from the wire, the sequence numbers jump back:
$ tcpdump -ni DEV esp
""",
        fix=(
            Fix(
                "if it is reordering, make the window larger where the SA is made: replay_window in swanctl.conf"
            ),
            Fix("SAs made by hand: add them with replay-window 128 flag esn; more than 32 packets need ESN"),
            Fix("if the sender restarted its counter with the same key, set up new SAs on both ends"),
        ),
        seen_at=("xfrm_input",),
    ),
    Cause(
        id="ipsec.expired",
        title="the SA has reached its hard limit of time, bytes or packets",
        why="""
An SA has limits after which it must not be used any more. At the soft limit the IKE daemon is told to
negotiate a new one; at the hard limit the kernel stops using the SA and deletes it. That the hard limit was
reached means that no new SA was made in time: the daemon is not running, cannot reach the peer, or the two
limits are too close together. SAs made by hand are not renewed by anything.
""",
        confirm="""
$ ip -s xfrm state list
It shows the limits and what has been used. The kernel's notifications of soft and hard limits:
$ ip xfrm monitor expire
""",
        fix=(
            Fix("see why the IKE daemon did not rekey", "swanctl --log"),
            Fix("have it rekey now", "swanctl --rekey --child CHILD"),
            Fix("SAs made by hand: delete and add them again, without a limit or with a larger one"),
        ),
        seen_at=("xfrm_input",),
    ),
    Cause(
        id="ipsec.state-invalid",
        title="the SA is not usable: it is acquiring, or expiring",
        why="""
The SA for this packet exists, but not in the state "valid": it is only a placeholder while the IKE daemon
negotiates (acquire), it has expired, or it is being deleted. A packet in transit while an SA is replaced can
meet such a moment; if it goes on, the negotiation does not finish.
""",
        confirm="""
$ ip xfrm state list nokeys
A placeholder shows SPI zero and no algorithms.
$ ip xfrm monitor
$ cat /proc/net/xfrm_stat
""",
        fix=(Fix("see what the IKE daemon is waiting for", "swanctl --log"), _IKE),
        seen_at=("xfrm_input", "xfrm_output_resume", "xfrm_output_one"),
    ),
    Cause(
        id="ipsec.encap-mismatch",
        title="ESP in UDP, and the SA has no encap, or the reverse",
        why="""
Behind NAT, ESP is put into UDP (port 4500). Both ends must agree: an SA with "encap type espinudp" takes only
packets that came in UDP, one without takes only plain ESP. They disagree when one end detected NAT and the
other did not, when a NAT appeared or vanished after the SAs were made (a moving client, a changed uplink), or
when encapsulation is forced on one side.
""",
        confirm="""
$ ip xfrm state list nokeys
$ tcpdump -ni DEV 'esp or udp port 4500'
""",
        fix=(
            Fix(
                "set up the connection again, so that the IKE daemon detects NAT again",
                "swanctl --terminate --ike CONNECTION; swanctl --initiate --child CHILD",
            ),
            Fix("or force UDP on both ends: encap = yes in swanctl.conf"),
            Fix("SAs made by hand: add them with encap espinudp 4500 4500 0.0.0.0, or without encap"),
        ),
        seen_at=("xfrm_input",),
    ),
    Cause(
        id="ipsec.mode-mismatch",
        title="the inner packet does not fit the SA's mode",
        why="""
The packet was decrypted, but the result cannot be right: a tunnel-mode SA must contain an IP packet, and its
family must be one that the SA is for. The usual reason is that one end has the SA in transport mode and the
other in tunnel mode. (The other way round, a tunnel-mode packet for an SA in transport mode, shows as a
packet of protocol 4 or 41 that nothing handles.)
""",
        confirm="""
Compare mode and selector on both ends:
$ ip xfrm state list nokeys
$ ip xfrm policy list
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("give both ends one mode (mode = in swanctl.conf), then set up the connection again"),
            Fix("SAs made by hand: compare the mode", _COMPARE),
        ),
        seen_at=("xfrm_input", "ip_protocol_deliver_rcu", "ip6_protocol_deliver_rcu"),
    ),
    Cause(
        id="ipsec.decrypt-garbage",
        title="decryption yields garbage: probably another key",
        why="""
The SA encrypts but does not authenticate, so the kernel cannot notice a wrong key or a damaged packet before
it decrypts. The result has an impossible trailer: a padding longer than the packet. Almost always the cipher
keys of the two ends differ. It is also a warning: without authentication anybody can change such packets in
transit.
""",
        confirm="""
$ ip xfrm state list
No line "auth", "auth-trunc" or "aead" means that nothing is authenticated. Compare the line "enc" on both
ends.
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("compare the cipher and its key on both ends", _COMPARE),
            Fix("use an algorithm that authenticates, such as AES-GCM: aes128gcm16 in swanctl.conf"),
        ),
        seen_at=("xfrm_input", "esp_input_done2"),
    ),
    Cause(
        id="ipsec.header-error",
        title="the ESP, AH or IPComp packet is too short",
        why="""
The packet ends before its SPI and sequence number, or before what the algorithm of the SA needs (an IV, an
integrity check value, a trailer). It was truncated, a fragment was taken for a whole packet, or it was never
IPsec: a scanner's probe, or data on the IKE port that looks like ESP.
""",
        confirm="""
$ tcpdump -ni DEV -vvX 'esp or ah or udp port 4500'
$ cat /proc/net/xfrm_stat
""",
        fix=(
            Fix("find out who sends it, and what it is", "tcpdump -ni DEV -vvX host SADDR"),
            Fix(
                "if something on the path truncates packets, lower the MTU of the routes through the tunnel, "
                "on both ends"
            ),
        ),
        seen_at=("xfrm_input", "esp_input", "xfrm4_udp_encap_rcv"),
    ),
)
