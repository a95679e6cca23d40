"""The netlink messages of IPsec as linux/xfrm.h lays them out on 64-bit kernels. None has a field for key material."""

import struct
from typing import NamedTuple

GETSA, NEWSA, GETPOLICY, NEWPOLICY = 0x12, 0x10, 0x15, 0x13
"""XFRM_MSG_*."""

ALG_AUTH, ALG_CRYPT, ALG_COMP, ENCAP, TMPL = 1, 2, 3, 4, 5
REPLAY_VAL, ALG_AEAD, ALG_AUTH_TRUNC, MARK, REPLAY_ESN_VAL, IF_ID, SA_DIR = 10, 18, 20, 21, 23, 31, 33
"""XFRMA_*: the attributes that are read."""

KEY_OFFSETS = {ALG_AUTH: 68, ALG_CRYPT: 68, ALG_COMP: 68, ALG_AEAD: 72, ALG_AUTH_TRUNC: 72}
"""Where the key begins in these, in bytes of the payload."""

_LIFETIME = "12Q"
STATE = struct.Struct(f"=56s16s4sB3x16s{_LIFETIME}5IH3B7x")
"""struct xfrm_usersa_info: the fields of UserState."""

POLICY = struct.Struct(f"=56s{_LIFETIME}II4B4x")
"""struct xfrm_userpolicy_info: the fields of UserPolicy."""

TEMPLATE = struct.Struct("=16s4sB3xH2x16sIBBBxIII")
"""struct xfrm_user_tmpl: daddr, spi, proto, family, saddr, reqid, mode, share, optional, algorithm masks."""

ALGORITHM = struct.Struct("=64sI")
"""struct xfrm_algo without its key: name, bits of the key."""

ALGORITHM_ICV = struct.Struct("=64sII")
"""struct xfrm_algo_auth and struct xfrm_algo_aead without their key: name, bits of the key, bits of the ICV."""

ENCAPSULATION = struct.Struct("=H2s2s")
"""The head of struct xfrm_encap_tmpl: type, source port, destination port."""

MARK_AND_MASK = struct.Struct("=II")
"""struct xfrm_mark."""

REPLAY = struct.Struct("=II")
"""struct xfrm_replay_state without its bitmap: oseq, seq."""

REPLAY_ESN = struct.Struct("=4xIIIII")
"""struct xfrm_replay_state_esn without its bitmaps: oseq, seq, oseq_hi, seq_hi, replay_window."""


class UserState(NamedTuple):
    sel: bytes
    daddr: bytes
    spi: bytes
    proto: int
    saddr: bytes
    soft_byte_limit: int
    hard_byte_limit: int
    soft_packet_limit: int
    hard_packet_limit: int
    soft_add_expires_seconds: int
    hard_add_expires_seconds: int
    soft_use_expires_seconds: int
    hard_use_expires_seconds: int
    bytes: int
    packets: int
    add_time: int
    use_time: int
    stat_replay_window: int
    stat_replay: int
    stat_integrity_failed: int
    acquire_seq: int
    reqid: int
    family: int
    mode: int
    replay_window: int
    flags: int


class UserPolicy(NamedTuple):
    sel: bytes
    soft_byte_limit: int
    hard_byte_limit: int
    soft_packet_limit: int
    hard_packet_limit: int
    soft_add_expires_seconds: int
    hard_add_expires_seconds: int
    soft_use_expires_seconds: int
    hard_use_expires_seconds: int
    bytes: int
    packets: int
    add_time: int
    use_time: int
    priority: int
    policy_index: int
    dir: int
    action: int
    flags: int
    share: int
