/* The records that cross from the kernel to user space, flat and without hidden holes.
 * dropwatch/wire.py is the typed mirror; tests/unit/test_wire.py lets the C compiler compare the two.
 *
 * One death gives one DROP record. What a subsystem's probe knows of the same packet is a record of its own
 * with the same time and skb, written before the DROP record. */
#ifndef WHYDROP_EVENT_H
#define WHYDROP_EVENT_H

#include <linux/types.h>

#define STACK_DEPTH 64
#define PACKET_BYTES 256
#define NAME_BYTES 16
#define ALGORITHM_NAME_BYTES 64

enum record_type {
	RECORD_DROP = 1,
	RECORD_XFRM = 2,
};

/* What saw the death: the index into the seen counters. */
enum source {
	SOURCE_KFREE_SKB = 0,
	SOURCES,
};

/* What was not sent to user space, and why: the index into the unsent counters. */
enum loss {
	LOSS_RING_FULL = 0, /* a DROP record that matched found no room in the ring */
	LOSS_DETAIL = 1, /* a record that goes with a DROP record found no room */
	NOT_A_PACKET = 2, /* not lost: netlink and unix-domain buffers, counted and passed over */
	LOSSES,
};

/* What other probes noted of the packet: bits of drop_record.notes. */
enum note {
	NOTE_TIME_WAIT = 1, /* a time-wait socket dealt with it */
};

struct record_header {
	__u64 time_ns; /* CLOCK_MONOTONIC, of the death; with skb it joins the records of one death */
	__u64 skb; /* address: never shown */
	__u32 type; /* enum record_type */
	__u32 size; /* bytes of the whole record */
};

struct drop_record {
	struct record_header header;
	__u64 location; /* return address in the function that freed the packet */
	__u32 source; /* enum source */
	__u32 reason; /* the kernel's number; valid when has_reason */
	__u32 has_reason;
	__u32 length; /* skb->len: what it covers depends on the layer */
	__u32 mark;
	__u32 ifindex; /* 0: no device */
	__u32 skb_iif; /* ifindex it came in through, 0: none */
	__u32 netns; /* inode number, 0: unknown */
	__u32 pid; /* current task: somebody else's in softirq */
	__u32 cpu;
	__u32 is_carrier; /* passed only because it may carry, quote or be a part of the flow */
	__u32 protocol; /* ethertype, host order, 0: not set */
	__u32 packet_length; /* valid bytes of packet[] */
	__u32 notes; /* enum note, OR-ed */
	__s32 stack_bytes; /* valid bytes of stack[], negative: errno */
	__u32 pad;
	char ifname[NAME_BYTES];
	char comm[NAME_BYTES];
	__u64 stack[STACK_DEPTH];
	__u8 packet[PACKET_BYTES]; /* from the network header on */
};

/* Which audit call of the kernel named this packet (net/xfrm/xfrm_state.c, xfrm_audit_state_*). */
enum xfrm_audit {
	XFRM_AUDIT_ICVFAIL = 1,
	XFRM_AUDIT_NOTFOUND = 2,
	XFRM_AUDIT_REPLAY = 4,
};

struct xfrm_algorithm {
	char name[ALGORITHM_NAME_BYTES]; /* empty: the SA has none of this sort */
	__u32 key_bits;
	__u32 icv_bits; /* 0: not told */
};

struct xfrm_record {
	struct record_header header;
	__u64 counters; /* bit n: counter n of the namespace's xfrm statistics rose while xfrm_input had it */
	__u32 audit; /* enum xfrm_audit, OR-ed */
	__u32 has_state; /* the rest is valid */
	__u8 spi_seen[4]; /* network order, from the audit call; valid when audit is not 0 */
	__u8 seq_seen[4];
	__u8 spi[4]; /* network order */
	__u32 proto;
	__u8 saddr[16];
	__u8 daddr[16];
	__u32 family; /* AF_INET, AF_INET6: of the outer addresses */
	__u32 mode; /* XFRM_MODE_* of linux/xfrm.h */
	__u32 reqid;
	__u32 if_id;
	__u32 mark;
	__u32 mark_mask;
	__u32 state; /* the kernel's number: its name comes from BTF */
	__u32 replay_window; /* packets */
	__u32 flags; /* XFRM_STATE_* of linux/xfrm.h */
	__u32 seq; /* highest received; low half with ESN */
	__u32 oseq;
	__u32 has_esn;
	__u32 seq_hi;
	__u32 has_encap;
	__u16 encap_type; /* UDP_ENCAP_* of linux/udp.h */
	__u8 encap_sport[2]; /* network order */
	__u8 encap_dport[2];
	__u8 pad[2];
	__u32 stat_replay_window;
	__u32 stat_replay;
	__u32 stat_integrity_failed;
	__u32 pad2;
	__u64 limits
		[8]; /* struct xfrm_lifetime_cfg: soft/hard bytes, soft/hard packets, soft/hard add, soft/hard use */
	__u64 current_use[4]; /* struct xfrm_lifetime_cur: bytes, packets, add time, use time */
	__u8 selector[56]; /* struct xfrm_selector */
	struct xfrm_algorithm aead;
	struct xfrm_algorithm enc;
	struct xfrm_algorithm auth;
	struct xfrm_algorithm comp;
};

#endif
