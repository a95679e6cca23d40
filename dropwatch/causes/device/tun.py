"""The causes of devices that a program reads and writes: tun, tap, macvtap."""

from dropwatch.causes.cause import Cause
from dropwatch.model.drop import Fix

WRITING = ("tun_get_user", "tun_xdp_one", "tun_sendmsg")

TUN = (
    Cause(
        id="device.tun-full",
        title="the tun, tap or macvtap queue is full: its program does not read",
        why="""
Packets that leave through such a device are read by a program: a VPN daemon, a virtual machine, a container
runtime with networking in user space. The queue between the two (txqueuelen, 500 or 1000 packets) is full,
because the program is busy, stuck, starved of CPU, or slower than what is sent to it.
""",
        confirm="""
"dropped" under TX rises:
$ ip -s link show DEV
$ ip tuntap show
Who has it open?
$ lsof /dev/net/tun
""",
        fix=(
            Fix("find the program, and check that it works", "lsof /dev/net/tun"),
            Fix("lengthen the queue for larger bursts", "ip link set DEV txqueuelen 5000"),
            Fix("virtual machines: use several queues, or vhost"),
        ),
        seen_as=("FULL_RING",),
        seen_at=("tun_net_xmit", "tap_handle_frame"),
    ),
    Cause(
        id="device.virtio-header",
        title="a program wrote a packet with an invalid virtio-net header",
        why="""
A virtual machine monitor writes each packet into its tap, macvtap or ipvtap device behind a header (struct
virtio_net_hdr), and so does a VPN that has its tun device segment packets. The header says where the checksum is to be
put and how the packet is to be segmented. This one cannot be: gso_type is of no type, gso_size is 0, csum_start or
csum_offset lies behind the end, or gso_type is of TCP or UDP and the packet is not. The fault is in the program or in
the driver of its guest. The header is gone when the packet dies, so the field is not
told. Where hdr_len is longer than the packet there is none yet: the write fails, and nothing is dropped.
""",
        confirm="""
Which program has the device open, and does its write fail with EINVAL?
$ ip -d link show DEV
$ lsof /dev/net/tun /dev/tap*
tun and tap count it:
$ ip -s -s link show DEV
""",
        fix=(
            Fix("find the program that has the device open", "lsof /dev/net/tun /dev/tap*"),
            Fix("update the guest's driver of its network card, or the virtual machine monitor"),
            Fix("until then disable segmentation and checksum offload in the guest (ethtool -K, tx off)"),
        ),
        seen_as=("DEV_HDR", "NOT_SPECIFIED"),
        seen_at=("tap_get_user", *WRITING),
    ),
    Cause(
        id="device.tun-not-ip",
        title="a program wrote a packet that is neither IPv4 nor IPv6 to a tun device",
        why="""
A tun device takes packets of IP. Its program opened it with IFF_NO_PI, so that the first byte it writes has to be
that of the packet, with version 4 or 6, and it is neither. Often program and device do not agree on what comes before
the packet: four bytes of struct tun_pi without IFF_NO_PI, a virtio-net header with IFF_VNET_HDR, or a whole frame of
Ethernet, which a tap device takes. The write fails with EINVAL.
""",
        confirm="""
Flags of the device (no_pi, vnet_hdr), and who has it open:
$ ip -d tuntap show
$ lsof /dev/net/tun
Where the program checks it, its write fails with EINVAL. The device counts it as "dropped" under RX:
$ ip -s link show DEV
""",
        fix=(
            Fix("find the program that has the device open", "lsof /dev/net/tun"),
            Fix("see the flags of the device: the program must write what they say", "ip -d tuntap show"),
        ),
        seen_as=("NOT_SPECIFIED",),
        seen_at=("tun_get_user",),
    ),
    Cause(
        id="device.queue-gone",
        title="a tun or tap device was closed with packets in its queue",
        why="""
The program behind a tun or tap device (a VPN, a virtual machine) closed it, or ended, before it had read what the
kernel queued for it. These packets were routed into the device and went nowhere: the kernel throws the queue away
when the last program that has the device open closes it.
""",
        confirm="""
The stack shows the device being closed:
$ whydrop --cause device.queue-gone --stack
$ ip -s link show dev DEV
""",
        fix=(
            Fix("find out why the program ended", "journalctl -e"),
            Fix("see who has the device now", "ip -d tuntap show"),
        ),
        seen_as=("NOT_SPECIFIED", "QUEUE_PURGE"),
        seen_at=("tun_queue_purge",),
    ),
    Cause(
        id="device.tun-no-reader",
        title="no program is attached to the tun or tap device",
        why="""
The device exists (made persistent, "ip tuntap add"), routes or a bridge send packets to it, but no program is
attached to its queue: the VPN daemon or the virtual machine has ended, was not started, or has detached its queues.
""",
        confirm="""
$ ip tuntap show
$ ip link show DEV
NO-CARRIER means that nobody has it open.
$ lsof /dev/net/tun
""",
        fix=(
            Fix("start the program that the device is for"),
            Fix("or delete the device, if nothing needs it", "ip link del DEV"),
        ),
        seen_as=("DEV_READY", "QDISC_DROP", "NOT_SPECIFIED"),
        seen_at=("tun_net_xmit", "__dev_queue_xmit"),
    ),
    Cause(
        id="device.tun-filter",
        title="the program's filter on its tun or tap device refuses it",
        why="""
The program that owns the device told the kernel which frames it wants: a list of MAC addresses
(TUNSETTXFILTER) or a BPF program (TUNSETFILTEREBPF). Virtual machine monitors do that to spare the guest what
is not for it.
""",
        confirm="""
$ ip -d link show DEV
$ bpftool prog show
""",
        fix=(Fix("see the settings of the program that owns the device", "lsof /dev/net/tun"),),
        reasons=("TAP_FILTER", "TAP_TXFILTER"),
        seen_at=("tun_net_xmit",),
    ),
)
