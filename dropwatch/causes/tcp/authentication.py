"""TCP with signed segments: MD5 (RFC 2385) and the authentication option AO (RFC 5925), as BGP uses them."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

_AT = ("tcp_v4_rcv", "tcp_v6_rcv")
_SEE = Fix("see which options the segments carry", "tcpdump -c 5 -nvvi DEV host SADDR and tcp port DPORT")

AUTHENTICATION = (
    Cause(
        id="tcp.md5-missing",
        title="the TCP-MD5 signature is missing",
        why="""
A password (TCP-MD5 key) is configured here for this peer, and the segment has no signature. The other end has
no password for the session, its configuration was not reloaded, or the segment does not come from the peer at
all. NAT in between breaks TCP-MD5 as well, because the signature covers the addresses.
""",
        confirm="""
$ nstat -az TcpExtTCPMD5NotFound
$ tcpdump -nvvi DEV tcp port DPORT and host SADDR
A signed segment shows "md5" among its options. Keys of a socket:
$ ss -tinp 'sport = :DPORT'
""",
        fix=(_SEE, Fix("configure the same password on the peer, for DADDR (FRR: neighbor DADDR password)")),
        reasons=("TCP_MD5NOTFOUND",),
        seen_at=_AT,
    ),
    Cause(
        id="tcp.md5-unexpected",
        title="signed with TCP-MD5, and this peer has no key here",
        why="""
The other end signs its segments, but here no password is configured for its address. It may be configured for
another address of the peer (loopback instead of interface), another prefix, or another VRF, or only on the
other end.
""",
        confirm="""
$ nstat -az TcpExtTCPMD5Unexpected
$ tcpdump -nvvi DEV tcp port DPORT and host SADDR
""",
        fix=(_SEE, Fix("configure the password here for SADDR, in the VRF of the session")),
        reasons=("TCP_MD5UNEXPECTED",),
        seen_at=_AT,
    ),
    Cause(
        id="tcp.md5-wrong",
        title="the TCP-MD5 signature is wrong: the passwords differ",
        why="""
Both ends sign, and the signature does not match. As a rule the passwords differ: a typing error, a trailing
blank, a changed password on one side only. Something that changes addresses, ports or data in between (NAT, a
proxy) breaks the signature too.
""",
        confirm="""
$ nstat -az TcpExtTCPMD5Failure
With the password tcpdump checks the signatures itself ("valid" or "invalid"):
$ tcpdump -nvvi DEV -M SECRET tcp port DPORT and host SADDR
""",
        fix=(
            Fix(
                "check the password against the peer's segments",
                "tcpdump -c 5 -nvvi DEV -M SECRET host SADDR and tcp port DPORT",
            ),
            Fix("set the same password on both ends, and watch for blanks and quotes"),
        ),
        reasons=("TCP_MD5FAILURE",),
        seen_at=_AT,
    ),
    Cause(
        id="tcp.ao-mismatch",
        title="the two ends do not agree on TCP-AO",
        why="""
The connection is to be protected with the TCP authentication option, and this segment does not fit: it is not
signed where that is demanded, signed where no key is configured, signed with a key id that this host does not
have, or its signature is wrong. Configuration on one side only, a key rollover out of step, or different
algorithms or signature lengths.
""",
        confirm="""
$ nstat -az TcpExtTCPAORequired TcpExtTCPAOKeyNotFound TcpExtTCPAOBad TcpExtTCPAOGood
$ tcpdump -nvvi DEV tcp port DPORT and host SADDR
""",
        fix=(
            _SEE,
            Fix(
                "compare on both ends: SendID and RecvID (they cross over), algorithm, signature length, key"
            ),
        ),
        reasons=("TCP_AONOTFOUND", "TCP_AOUNEXPECTED", "TCP_AOKEYNOTFOUND", "TCP_AOFAILURE"),
        seen_at=_AT,
    ),
    Cause(
        id="tcp.auth-option-invalid",
        title="malformed TCP authentication options",
        why="""
The segment carries an MD5 or AO option of impossible length, the same option twice, or both kinds at once,
which RFC 5925 forbids; or another option before them says a length that cannot be. No correct TCP sends that: a broken
implementation, a middlebox that edits options, or a test.
""",
        confirm="""
$ tcpdump -nvvXi DEV tcp port DPORT and host SADDR
""",
        fix=(_SEE,),
        reasons=("TCP_AUTH_HDR",),
        seen_at=_AT,
    ),
)
