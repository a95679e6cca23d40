/* What user space tells the programs before they are attached: the filter and some kernel addresses.
 * dropwatch/wire/settings.py is the typed mirror. A kind with more than ALTERNATIVES values is left out here (count 0)
 * and decided in user space, which repeats the whole filter in any case. */
#ifndef WHYDROP_SETTINGS_H
#define WHYDROP_SETTINGS_H

#include "event.h"

#define ALTERNATIVES 4
#define FRAME_BYTES 280
#define MEMORY_WORDS 16 /* BPF_MEMWORDS of linux/filter.h */

struct prefix {
	__u32 address[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	__u32 mask[4];
};

struct port_range {
	__u16 first; /* host order, inclusive */
	__u16 last;
};

struct mark {
	__u32 value;
	__u32 mask;
};

/* What the expression is run on: a frame of Ethernet. */
struct frame {
	__u8 bytes[FRAME_BYTES];
	__u32 captured; /* bytes that are there */
	__u32 length; /* that the whole frame has */
	__u32 tag; /* of the VLAN, that the kernel has taken out: its ethertype and the tag, 0: none */
	__u32 pad;
	__u32 memory[MEMORY_WORDS];
};

enum expression {
	EXPRESSION_NONE = 0,
	EXPRESSION_PLAIN = 1,
	EXPRESSION_TAG = 2, /* it asks for the tag of a VLAN: then the frame has it */
};

struct settings {
	__u64 netns_operations; /* address of netns_operations, 0: unknown. Tells a struct net from garbage */
	__u64 blackhole_mtu[2]; /* dst_ops.mtu of ipv4_dst_blackhole_ops and ip6_dst_blackhole_ops, 0: unknown */
	__u64 per_cpu_value; /* of the map `seen`: with a CPU's offset added its first value of that CPU, 0: unknown */
	__u64 current_kprobe; /* per CPU: the kprobe that runs, 0: unknown */
	__u64 bpf_prog_active; /* per CPU: not 0 while no program of a kprobe may run, 0: unknown */
	__u64 protos[4]; /* bit set of IANA protocol numbers */
	__u32 send_all; /* also what is no network packet */
	__u32 asks_flow; /* any of the kinds that an outer header may hide */
	__u32 families; /* bit 0: IPv4, bit 1: IPv6; 0: any */
	__u32 asks_proto;
	__u32 saddrs;
	__u32 daddrs;
	__u32 hosts;
	__u32 sports;
	__u32 dports;
	__u32 ports;
	__u32 netnses;
	__u32 marks;
	__u32 ifaces;
	__u32 asks_arp;
	__u32 asks_expression; /* enum expression */
	__u32 first_of_a_sort; /* so many equal ones are sent in a second on a CPU, others only counted; 0: all are sent */
	struct prefix saddr[ALTERNATIVES];
	struct prefix daddr[ALTERNATIVES];
	struct prefix host[ALTERNATIVES];
	struct port_range sport[ALTERNATIVES];
	struct port_range dport[ALTERNATIVES];
	struct port_range port[ALTERNATIVES];
	__u32 netns[ALTERNATIVES];
	struct mark mark[ALTERNATIVES];
	char iface[ALTERNATIVES][NAME_BYTES];
};

#endif
