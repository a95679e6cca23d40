"""The record of a send that was refused becomes a note: the typed mirror of the structs of bpf/sends.c."""

import ctypes
from ctypes import c_int32, c_uint32
from dataclasses import replace

from dropwatch.model.drop import Event
from dropwatch.model.send import SendNote
from dropwatch.wire.drop import FIRST_OF_SENDS, SOURCES
from dropwatch.wire.header import RecordHeader
from dropwatch.wire.layout import CodeRange
from dropwatch.wire.note import KernelNames, Note

RECORD_SEND = 14  # enum record_type
PROBED = SOURCES[FIRST_OF_SENDS:]
# Functions by which a system call sends, and those between them and what is probed.
CALLERS = (
    *("udp_sendmsg", "raw_sendmsg", "ping_v4_sendmsg", "l2tp_ip_sendmsg"),
    *("udpv6_sendmsg", "rawv6_sendmsg", "ping_v6_sendmsg", "l2tp_ip6_sendmsg", "ip6_sk_dst_lookup_flow"),
    *(
        "__ip_append_data",
        "__ip6_append_data",
        "ip_append_data",
        "ip6_append_data",
        "ip_make_skb",
        "ip6_make_skb",
    ),
    *("raw_send_hdrinc", "rawv6_send_hdrinc"),
)
# connect() of a datagram socket, which sends nothing: it asks for a route.
CONNECTING = ("__ip4_datagram_connect", "__ip6_datagram_connect", "ip6_datagram_dst_update")
_MOST_CALLERS = 24


class SendRecord(ctypes.Structure):
    _fields_ = (
        ("header", RecordHeader),
        ("error", c_int32),
        ("uid", c_uint32),
        ("ifindex", c_uint32),
        ("mtu", c_uint32),
        ("length", c_uint32),
        ("hook", c_uint32),
    )


class SendCode(ctypes.Structure):
    _fields_ = (
        ("probed", CodeRange * len(PROBED)),
        ("caller", CodeRange * _MOST_CALLERS),
        ("connecting", CodeRange * len(CONNECTING)),
    )


def send_note(record: SendRecord) -> SendNote:
    return SendNote(
        error=-record.error,
        uid=record.uid,
        bound_ifindex=record.ifindex or None,
        mtu=record.mtu or None,
        length=record.length or None,
        hook=record.hook or None,
    )


def _add(event: Event, record: SendRecord, names: KernelNames) -> Event:
    return replace(event, send=send_note(record))


SEND_NOTE = Note(RECORD_SEND, SendRecord, _add)
