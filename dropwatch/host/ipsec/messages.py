"""The netlink messages of IPsec (linux/xfrm.h, NETLINK_XFRM), written for pyroute2, which has none.

The layouts are those of 64-bit kernels. No class has a field for key material.
"""

import struct
from typing import Any

from pyroute2.netlink import nla, nlmsg

XFRM_MSG_NEWSA = 0x10
XFRM_MSG_GETSA = 0x12
XFRM_MSG_NEWPOLICY = 0x13
XFRM_MSG_GETPOLICY = 0x15

TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
"""struct xfrm_user_tmpl: daddr, spi, proto, family, saddr, reqid, mode, share, optional, algorithm masks."""

KEY_OFFSETS = {1: 68, 2: 68, 3: 68, 18: 72, 20: 72}
"""Where in XFRMA_ALG_AUTH, _CRYPT, _COMP, _AEAD and _AUTH_TRUNC the key begins, in bytes of the payload."""

_LIFETIME = (
    ("soft_byte_limit", "Q"),
    ("hard_byte_limit", "Q"),
    ("soft_packet_limit", "Q"),
    ("hard_packet_limit", "Q"),
    ("soft_add_expires_seconds", "Q"),
    ("hard_add_expires_seconds", "Q"),
    ("soft_use_expires_seconds", "Q"),
    ("hard_use_expires_seconds", "Q"),
    ("bytes", "Q"),
    ("packets", "Q"),
    ("add_time", "Q"),
    ("use_time", "Q"),
)


class XfrmAttributes:
    """The attributes that are read; all others stay undecoded."""

    class algo(nla):  # type: ignore[misc]
        """struct xfrm_algo without its key."""

        fields = (("name", "64s"), ("key_bits", "I"))

    class algo_icv(nla):  # type: ignore[misc]
        """struct xfrm_algo_auth and struct xfrm_algo_aead without their key."""

        fields = (("name", "64s"), ("key_bits", "I"), ("icv_bits", "I"))

    class encap(nla):  # type: ignore[misc]
        """struct xfrm_encap_tmpl."""

        fields = (("type", "H"), ("sport", ">H"), ("dport", ">H"))

    class mark(nla):  # type: ignore[misc]
        """struct xfrm_mark. A field called `value` would be taken for the whole attribute."""

        fields = (("v", "I"), ("m", "I"))

    class replay(nla):  # type: ignore[misc]
        """struct xfrm_replay_state without its bitmap."""

        fields = (("oseq", "I"), ("seq", "I"))

    class replay_esn(nla):  # type: ignore[misc]
        """struct xfrm_replay_state_esn without its bitmap."""

        fields = (
            ("bmp_len", "I"),
            ("oseq", "I"),
            ("seq", "I"),
            ("oseq_hi", "I"),
            ("seq_hi", "I"),
            ("replay_window", "I"),
        )


class NewSa(nlmsg, XfrmAttributes):  # type: ignore[misc]
    """XFRM_MSG_NEWSA: struct xfrm_usersa_info and its attributes."""

    fields = (
        ("sel", "56s"),
        ("daddr", "16s"),
        ("spi", ">I"),
        ("proto", "B3x"),
        ("saddr", "16s"),
        *_LIFETIME,
        ("stat_replay_window", "I"),
        ("stat_replay", "I"),
        ("stat_integrity_failed", "I"),
        ("acquire_seq", "I"),
        ("reqid", "I"),
        ("family", "H"),
        ("mode", "B"),
        ("replay_window", "B"),
        ("flags", "B7x"),
    )
    nla_map = (
        (1, "XFRMA_ALG_AUTH", "algo"),
        (2, "XFRMA_ALG_CRYPT", "algo"),
        (3, "XFRMA_ALG_COMP", "algo"),
        (4, "XFRMA_ENCAP", "encap"),
        (10, "XFRMA_REPLAY_VAL", "replay"),
        (18, "XFRMA_ALG_AEAD", "algo_icv"),
        (20, "XFRMA_ALG_AUTH_TRUNC", "algo_icv"),
        (21, "XFRMA_MARK", "mark"),
        (23, "XFRMA_REPLAY_ESN_VAL", "replay_esn"),
        (31, "XFRMA_IF_ID", "uint32"),
        (33, "XFRMA_SA_DIR", "uint8"),
    )


class NewPolicy(nlmsg, XfrmAttributes):  # type: ignore[misc]
    """XFRM_MSG_NEWPOLICY: struct xfrm_userpolicy_info and its attributes."""

    fields = (
        ("sel", "56s"),
        *_LIFETIME,
        ("priority", "I"),
        ("index", "I"),
        ("dir", "B"),
        ("action", "B"),
        ("flags", "B"),
        ("share", "B4x"),
    )
    nla_map = (
        (5, "XFRMA_TMPL", "cdata"),
        (21, "XFRMA_MARK", "mark"),
        (31, "XFRMA_IF_ID", "uint32"),
    )


ANSWERS: dict[int, Any] = {XFRM_MSG_NEWSA: NewSa, XFRM_MSG_NEWPOLICY: NewPolicy}
