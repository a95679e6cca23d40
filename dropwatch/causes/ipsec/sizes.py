"""How many bytes ESP, AH and IPComp need, and what a packet has of them."""

from dropwatch.model.drop import Drop
from dropwatch.model.ipsec import XfrmState
from dropwatch.packet.payload import ah_length

_ESP_HEADER = 8  # SPI and sequence number (RFC 4303, 2)
_AH_HEADER = 12  # RFC 4302, 2: before the ICV
_COMP_HEADER = 4  # RFC 3173, 3
# Bytes of initialisation vector in the packet, by the kernel's name of the algorithm; 0 for others, to be safe.
_IV_BYTES = {
    "rfc4106(gcm(aes))": 8,
    "rfc4309(ccm(aes))": 8,
    "rfc4543(gcm(aes))": 8,
    "rfc7539esp(chacha20,poly1305)": 8,
    "rfc3686(ctr(aes))": 8,
    "cbc(aes)": 16,
    "cbc(des3_ede)": 8,
}
# Bytes of the whole hash, which the kernel also accepts in AH's length (ah_input).
_HASH_BYTES = {
    "hmac(md5)": 16,
    "hmac(sha1)": 20,
    "hmac(rmd160)": 20,
    "xcbc(aes)": 16,
    "cmac(aes)": 16,
    "hmac(sha256)": 32,
    "hmac(sha384)": 48,
    "hmac(sha512)": 64,
}


def shortage(drop: Drop, state: XfrmState | None) -> str | None:
    """In words, that bytes are missing which the SA needs. The kernel fails on that before anything else."""
    if state is None:
        return None
    # A UDP header before ESP does not count: xfrm4_udp_encap_rcv() has taken it off the length in the IP header.
    there = drop.packet.length - (20 if drop.packet.family == 4 else 40)
    icv = sum(bits for _, _, _, bits in state.algorithms) // 8
    if state.proto == "esp":
        iv = max((_IV_BYTES.get(name, 0) for _, name, *_ in state.algorithms), default=0)
        name, needed = "ESP", _ESP_HEADER + iv + icv + 1
    elif state.proto == "ah":
        name, needed = "AH", _AH_HEADER + icv
    elif state.proto == "comp":
        name, needed = "IPComp", _COMP_HEADER + 1
    else:
        return None
    return f"{name} has {there} bytes, this SA needs at least {needed}" if there < needed else None


def ah_lengths(drop: Drop, state: XfrmState) -> tuple[int, frozenset[int]] | None:
    """The length in the packet's AH header and those that the SA takes, in bytes; None where they are not known."""
    auth = next(((name, bits) for word, name, _, bits in state.algorithms if word == "auth"), None)
    if state.proto != "ah" or auth is None or not auth[1] or auth[0] not in _HASH_BYTES:
        return None
    length = ah_length(drop)
    if length is None:
        return None
    icvs = (auth[1] // 8, _HASH_BYTES[auth[0]])
    # padded to 8 bytes, with the flag align4 to 4; both are let pass here
    accepted = {-(-(_AH_HEADER + icv) // step) * step for icv in icvs for step in (4, 8)}
    return length, frozenset(accepted)
