/* The records that cross from the kernel to user space, flat and without hidden holes.
 * dropwatch/wire/ is the typed mirror; tests/unit/wire/test_structs.py lets the C compiler compare the two.
 *
 * One death gives one DROP record. What a subsystem's probe knows of the same packet is a record of its own
 * with the same time and skb, written before the DROP record; what must be searched for comes after it, and then
 * the DROP record says so. */
#ifndef WHYDROP_EVENT_H
#define WHYDROP_EVENT_H

#include <linux/types.h>

#define STACK_DEPTH 64
#define PACKET_BYTES 256
#define NAME_BYTES 16
#define ALGORITHM_NAME_BYTES 64
#define NFT_NAME_BYTES 64 /* longer names are cut */
#define NFT_VISITED 8 /* chains kept of a packet's way */
#define XT_NAME_BYTES 32
#define XT_CANDIDATES 32
#define XT_JUMPS 8
#define XT_RULE_BYTES 512
#define EBT_WATCHED 256 /* rules; larger tables are not watched */
#define INVALID_WORDS 96
#define MODULE_NAME_BYTES 56
#define NF_HOOKS 5 /* NF_INET_NUMHOOKS of linux/netfilter.h */
#define HOOK_FUNCTIONS 16

enum record_type {
	RECORD_DROP = 1,
	RECORD_XFRM = 2,
	RECORD_ENGINES = 3,
	RECORD_NFT = 4,
	RECORD_XT = 5,
	RECORD_EBT = 6,
	RECORD_MODULE = 7,
	RECORD_HOOKS = 8,
	RECORD_XFRM_GONE = 9,
	RECORD_STEP = 10,
	RECORD_SOCKET = 11,
	RECORD_PAST = 12,
	RECORD_LISTENER = 13,
	RECORD_SEND = 14,
	RECORD_CONNECTION = 15,
	RECORD_RESENT = 30,
};

/* What saw the death: the index into the seen counters. */
enum source {
	SOURCE_KFREE_SKB = 0,
	SOURCE_XFRM_LOOKUP = 1, /* refused before there was a packet: what there is of it is made of the flow */
	SOURCE_TCP_CONN_REQUEST = 2, /* a SYN that a listening socket refused: it is freed as if it had been used */
	SOURCE_WG_ALLOWEDIPS_LOOKUP_SRC = 3, /* WireGuard decrypted it, and no peer may send from its source */
	SOURCE___KFREE_SKB = 4, /* a connection of TCP discarded it without kfree_skb */
	/* a system call was to send, and there is no packet: these functions refused it */
	SOURCE_IP_ROUTE_OUTPUT_FLOW = 5,
	SOURCE_IP6_DST_LOOKUP_FLOW = 6,
	SOURCE_TCP_V4_CONNECT = 7,
	SOURCE_TCP_V6_CONNECT = 8,
	SOURCE_UDP_SENDMSG = 9,
	SOURCE_IP_LOCAL_ERROR = 10,
	SOURCE_IPV6_LOCAL_ERROR = 11,
	SOURCE___CGROUP_BPF_RUN_FILTER_SOCK_ADDR = 12,
	SOURCES,
};

/* What was not sent to user space, and why: the index into the unsent counters. */
enum loss {
	LOSS_RING_FULL = 0, /* a DROP record that matched found no room in the ring */
	LOSS_DETAIL = 1, /* a record that goes with a DROP record found no room */
	NOT_A_PACKET = 2, /* not lost: netlink and unix-domain buffers, counted and passed over */
	LOSS_ROWS = 3, /* beyond the rows that there is room for: counted only here */
	INTERRUPTING = 4, /* not lost: died in an interrupt of on_kfree_skb, and was seen by on_kfree_skb_again */
	LOSS_STEPS = 5, /* steps of a trace that found no room */
	FOLDED = 6, /* not lost: counted in its row */
	NEW_ROWS = 7, /* rows that have been made */
	LOSSES,
};

/* What other probes noted of the packet: bits of drop_record.notes. */
enum note {
	NOTE_TIME_WAIT = 1, /* a time-wait socket dealt with it */
	NOTE_TASK_STACK = 2, /* the code ran on the current task's own stack, in a system call of it */
	NOTE_PROBES_OFF = 4, /* it came in an interrupt of a probe, when no other probe could note anything */
	NOTE_ANSWERED = 8, /* this host has answered it */
	NOTE_COPIED = 16, /* a raw socket had a copy of this echo reply */
	NOTE_FLOODED = 32, /* a frame for another host, which a bridge of this machine sent out of all its ports */
	NOTE_LOOPED_BACK = 64, /* this host's own multicast or broadcast */
	NOTE_TO_MANY = 128, /* its frame came to a group of hosts or to all */
	NOTE_NO_CARRIER = 256, /* its device was down or had no carrier */
	NOTE_PROBES_UNKNOWN = 512, /* nobody knows whether it did */
	NOTE_NOT_OWN = 1024, /* the current task holds neither the socket that sent it nor the receiving one */
	NOTE_RESET_SENT = 4096, /* this host has answered it with a reset */
	NOTE_TO_GROUP = 8192, /* its frame came to a group of hosts, not to all */
	NOTE_ENDED_HALF_OPEN = 16384, /* a connection that was half open is gone because of it */
	NOTE_UNREACHABLE_SENT = 32768, /* this host has answered it with ICMP port unreachable */
	NOTE_CONNECTING = 131072, /* no packet: connect() of a datagram socket asked for its route */
	NOTE_PAST = 65536, /* it says itself where it came from: RECORD_PAST follows the DROP record */
	NOTE_REFUSAL_SENT = 1048576, /* and no limit of the rate of errors kept that back */
	NOTE_CGROUP_REFUSED = 2097152, /* a BPF program of its socket's cgroup refused it */
	NOTE_NO_QUEUE = 67108864, /* the qdisc of its device's queue was the one that drops all */
	NOTE_PIECE_TWICE = 4194304, /* a fragment of which the kernel has all bytes already */
	NOTE_PIECE_OVERLAPS = 8388608, /* a fragment of a packet that is given up since one overlaps others */
	NOTE_ALL_OLD = 33554432, /* all bytes of this segment had been received before */
	NOTE_AS_WRITTEN = 16777216, /* as a program wrote it to a tun or tap device, which has refused it */
	NOTE_NO_HEADER = 2048, /* it had no IP header yet: the one in the record is made of what its socket has */
};

/* What may be changed between a drop and the reading of what did it: the index into the times of bpf/changes.c. */
enum change {
	CHANGE_NAMESPACE = 0, /* it began: the number was another's before, or nobody's */
	CHANGE_LINKS = 1,
	CHANGE_ROUTES = 2, /* what a lookup of a route depends on: also rules, addresses, links */
	CHANGE_POLICIES = 3, /* of IPsec */
	CHANGE_SAS = 4,
	CHANGE_SYSCTLS = 5,
	CHANGE_TC = 6, /* qdiscs, classes, filters, actions */
	CHANGE_SA_UPDATES = 7, /* of SAs that stay, with their age */
	CHANGE_PROGRAMS = 8, /* of BPF, at cgroups and interfaces */
	CHANGE_DEPARTURES = 9, /* of an address, a joined group or an interface */
	CHANGE_KINDS = 10,
};

#define CHANGE_PLACES 4096

struct record_header {
	__u64 time_ns; /* CLOCK_MONOTONIC, of the death; with skb it joins the records of one death */
	__u64 skb; /* address: never shown */
	__u32 type; /* enum record_type */
	__u32 size; /* bytes of the whole record */
};

/* What deaths are counted by. Two with the same row have the same cause as far as the probes can tell. */
struct row {
	__u64 location;
	__u64 object; /* address of what is known to have done it: a rule's expression, a table, an SA, a function */
	__u64 bits; /* what IPsec's probes noted: counters, and how it came to them */
	__u32 reason; /* all ones: none given */
	__u32 netns;
	__u32 ifindex;
	__u32 notes; /* enum note; in the four highest bits enum xfrm_audit */
	__u32 is_carrier;
	__u32 protocol; /* ethertype */
	/* from here on zero in a summary, which counts flows apart, but for proto, detail and is_rest */
	__u64 callers; /* of the function that freed it: a sum over the first of them */
	__u32 skb_iif;
	__u32 what; /* struct flow of bpf/flow.c has these */
	__u32 saddr[4];
	__u32 daddr[4];
	__u16 dport;
	__u8 proto; /* of IP */
	__u8 detail; /* enum record_type that is to follow */
	__u32 is_rest; /* of more rows than there is room for, merged */
};

struct drop_record {
	struct record_header header;
	struct row row; /* all zeros where every packet is told */
	__u64 journey; /* number, 0: the packet is not followed */
	__u64 location; /* return address in the function that freed the packet */
	__u64 cgroup; /* number of the one that its socket was made in, 0: unknown */
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
	__u32 detail; /* enum record_type of the record that follows, 0: none */
	char ifname[NAME_BYTES];
	char comm[NAME_BYTES];
	__u64 stack[STACK_DEPTH];
	__u8 packet[PACKET_BYTES]; /* from the network header on */
	__u8 link[23]; /* the header of Ethernet before it */
	__u8 link_length; /* valid bytes of link[], 0: it has none */
};

/* Which audit call of the kernel named this packet (net/xfrm/xfrm_state.c, xfrm_audit_state_*). */
enum xfrm_audit {
	XFRM_AUDIT_ICVFAIL = 1,
	XFRM_AUDIT_NOTFOUND = 2,
	XFRM_AUDIT_REPLAY = 4,
	XFRM_AUDIT_OVERFLOW = 8, /* on the way out: the sequence numbers of its SA are used up */
};

struct xfrm_algorithm {
	char name[ALGORITHM_NAME_BYTES]; /* empty: the SA has none of this sort */
	__u32 key_bits;
	__u32 icv_bits; /* 0: not told */
};

/* Of the search for the policy that is for a packet. */
enum policy_found {
	POLICY_UNKNOWN = 0,
	POLICY_NONE = 1, /* the kernel has searched, and found none */
	POLICY_FOUND = 2,
};

#define POLICY_TEMPLATES 6 /* XFRM_MAX_DEPTH of linux/xfrm.h */

/* What a policy requires of an SA. */
struct xfrm_template {
	__u8 daddr[16];
	__u8 saddr[16];
	__u8 spi[4]; /* network order */
	__u32 reqid;
	__u16 family; /* AF_INET, AF_INET6: of its addresses */
	__u8 proto;
	__u8 mode; /* XFRM_MODE_* of linux/xfrm.h */
	__u8 optional;
	__u8 pad[3];
};

/* The policy by which a packet was refused, as it was then. */
struct xfrm_policy_record {
	__u64 add_time; /* seconds since 1970 */
	__u8 selector[56]; /* struct xfrm_selector */
	__u32 found; /* enum policy_found; the rest is valid when it was found */
	__u32 index;
	__u32 priority;
	__u32 mark;
	__u32 mark_mask;
	__u32 if_id;
	__u32 action; /* XFRM_POLICY_ALLOW, BLOCK of linux/xfrm.h */
	__u32 count; /* of its templates */
	struct xfrm_template templates[POLICY_TEMPLATES];
};

/* What the probes of IPsec know of a packet; or of an SA that is deleted (RECORD_XFRM_GONE). */
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
	__u64 check_counters; /* like counters: while __xfrm_policy_check had it */
	__u32 is_outbound; /* the SA is what the packet was to leave through; else what it came through */
	__u32 is_refused; /* by __xfrm_policy_check */
	__u32 check_dir; /* XFRM_POLICY_IN, OUT, FWD of linux/xfrm.h; valid when is_refused */
	__s32 lookup_errno; /* of xfrm_lookup_with_ifid, negative; 0: no failure seen */
	__u32 lookup_if_id;
	__u32 is_blackholed; /* its route is the one that IPsec puts in place of one that has no SA */
	__u32 mtu; /* bytes that its outbound route takes before protection, 0: unknown */
	__u32 netns; /* inode number; this and the rest: of RECORD_XFRM_GONE */
	__u32 pid;
	__u32 check_mark; /* the packet's while __xfrm_policy_check had it: a vti puts its key there for that time */
	char comm[NAME_BYTES];
	struct xfrm_policy_record policy; /* that refused it */
};

/* What the engines of netfilter beside the rules did with the packet (bpf/engines.c). */
struct engines_record {
	struct record_header header;
	__u64 refuser; /* address of the function whose answer was NF_DROP, 0: none */
	__u32 tracked; /* nf_conntrack_in had it */
	__u32 invalid; /* and it has no connection, nor is it untracked; valid when tracked */
	__u32 table_full; /* no entry could be allocated */
	__u32 queued; /* nf_queue had it: the rest is valid */
	__u32 queue; /* number */
	__s32 queue_errno; /* 0: not told, else negative */
	__u32 bpf_id; /* of the program that nf_hook_run_bpf ran, 0: unknown */
	__u32 nat; /* bits of nf_conn.status: IPS_SRC_NAT, IPS_DST_NAT, also of what was invalid; 0: none or unknown */
	char bpf_name[NAME_BYTES];
	char words[INVALID_WORDS]; /* the kernel's reason why it is invalid: a format, as printk takes it */
};

enum nft_verdict {
	NFT_NO_VERDICT = 0, /* no expression gave one: the chain's policy */
	NFT_RULE = 1,
};

struct nft_chain_seen {
	__u64 handle;
	char name[NFT_NAME_BYTES];
};

struct nft_record {
	struct record_header header;
	__u64 function; /* address of the expression's eval function, 0: none */
	__u64 table_handle;
	__u64 rule_handle; /* 0: no rule header found before the expression */
	__u32 verdict; /* enum nft_verdict */
	__u32 family; /* NFPROTO_* */
	__u32 hook;
	__s32 priority;
	__u32 policy; /* NF_DROP, NF_ACCEPT */
	__u32 visits; /* jumps and gotos taken; the last NFT_VISITED of them are in visited[], oldest first */
	char table[NFT_NAME_BYTES];
	struct nft_chain_seen base;
	struct nft_chain_seen chain; /* handle 0: not told by this kernel's layout */
	struct nft_chain_seen visited[NFT_VISITED];
};

struct xt_record {
	struct record_header header;
	__u64 function; /* address of the target's function that was called, 0: none */
	__u32 family; /* NFPROTO_* */
	__u32 hook;
	__u32 entries;
	__u32 size; /* bytes of all entries */
	__u32 policy; /* offset of the hook's policy entry */
	__u32 generation;
	__u32 exact; /* the candidate is the entry whose function was called */
	__u32 incomplete; /* some counters had not been read before */
	__u32 risen; /* by how much the counters of all candidates rose */
	__u32 unaccounted; /* packets that died in this table since its counters were read last, this one not among them */
	__u32 candidates; /* number; more than XT_CANDIDATES do not fit */
	__u32 jumps;
	__u32 candidate[XT_CANDIDATES]; /* offsets */
	__u32 jump[XT_JUMPS]; /* offsets of the entries on the jump stack */
	char table[XT_NAME_BYTES];
	__u8 rule[XT_RULE_BYTES]; /* candidate[0], as far as it goes, then zeros */
};

/* A module has come, or is about to go. */
struct module_record {
	struct record_header header;
	char name[MODULE_NAME_BYTES];
};

struct ebt_record {
	struct record_header header;
	__u32 hook;
	__u32 entries;
	__u32 generation;
	__u32 watched; /* the counters were read before: the rest is valid */
	__u64 counted[EBT_WATCHED / 64]; /* bit n: the rule of index n counted the frame */
	char table[XT_NAME_BYTES];
};

struct hook_functions {
	__u32 registered; /* number; more than HOOK_FUNCTIONS do not fit */
	__u32 pad;
	__u64 function[HOOK_FUNCTIONS]; /* addresses, in the order in which they are called */
};

/* What is registered at the hooks of the packet's namespace (bpf/hooks.c), by the number of the hook. */
struct hooks_record {
	struct record_header header;
	__u32 family; /* NFPROTO_* of own[], 0: of a family whose hooks are not known */
	__u32 pad;
	struct hook_functions own[NF_HOOKS];
	struct hook_functions bridge[NF_HOOKS];
};

/* The socket of UDP that did not take a datagram, when it was dropped (bpf/socket.c). */
struct socket_record {
	struct record_header header;
	__u64 inode; /* of sockfs, 0: a socket of the kernel */
	__u32 error; /* errno of __udp_enqueue_schedule_skb, 0: not seen */
	__u32 queued; /* bytes that what is queued occupies (sk_rmem_alloc) */
	__u32 limit; /* of them (sk_rcvbuf) */
	__u32 is_limit_set; /* by SO_RCVBUF */
	__u32 datagrams; /* queued */
	__u32 bound_ifindex; /* 0: none */
	__u32 family; /* AF_INET, AF_INET6 */
	__u16 port; /* host order */
	__u16 peer_port; /* 0: not connected */
	__u8 address[16]; /* its own; of AF_INET the first four bytes */
	__u8 peer[16];
};

/* One direction of a connection, as its entry has it. */
struct past_direction {
	__u8 saddr[16]; /* network order; of IPv4 the first four bytes */
	__u8 daddr[16];
	__u16 sport; /* host order; of ICMP the identifier */
	__u16 dport; /* of ICMP type and code */
	__u16 family; /* AF_INET, AF_INET6 */
	__u16 proto;
};

enum has_connection {
	CONNECTION_OF_CONNTRACK = 1,
	CONNECTION_OF_IPVS = 2, /* the same of what IPVS has changed, without an entry: only the ends are valid */
};

/* What a packet itself says of its past, at its death (bpf/past.c). */
struct past_record {
	struct record_header header;
	__u32 bridge_port; /* index of the port of a bridge that it came through, whose frames meet the hooks of IP; 0: none */
	__u32 has_connection; /* enum has_connection; not 0: the rest is valid */
	__u32 info; /* enum ip_conntrack_info */
	__u32 status; /* IPS_* of linux/netfilter/nf_conntrack_common.h */
	__u32 mark; /* of the connection */
	__u32 zone;
	struct past_direction original;
	struct past_direction reply;
	__u32 has_waiting; /* it asks for a neighbour, and a packet that was asked for waits for the answer */
	__u8 waiting[44]; /* its struct flow (bpf/flow.c) */
};

/* The listening socket of TCP that had no room for a SYN, or for what a SYN had begun (bpf/listen.c), as it was then. */
struct listener_record {
	struct record_header header;
	__u64 inode; /* of sockfs, 0: a socket of the kernel */
	__u32 is_handshake_done; /* it is the last ACK of a handshake, else a SYN */
	__u32 has_overflowed; /* the kernel counted it in ListenOverflows */
	__u32 is_syn_queue_full; /* the kernel counted it in TCPReqQFullDrop */
	__u32 accept_queue; /* connections that wait for accept() */
	__u32 accept_limit; /* sk_max_ack_backlog */
	__u32 syn_queue; /* half-open ones */
	__u32 max_syn_backlog; /* the sysctls of its namespace */
	__u32 somaxconn;
	__u32 syncookies;
	__u32 bound_ifindex; /* 0: none */
	__u32 family; /* AF_INET, AF_INET6 */
	__u32 port; /* host order */
	__u8 address[16]; /* its own; of AF_INET the first four bytes */
};

/* What a system call was to send, and was refused (bpf/sends.c). */
struct send_record {
	struct record_header header;
	__s32 error; /* errno, negative */
	__u32 uid; /* whose routes were asked for */
	__u32 ifindex; /* that it is bound to, 0: none */
	__u32 mtu; /* bytes that it may have, 0: not said */
	__u32 length; /* bytes that the program gave, 0: not known */
	__u32 hook; /* enum bpf_attach_type of the cgroup's programs that refused it, 0: they did not */
};

/* The connection of TCP that did not take a segment (bpf/connection.c), as it was when that died. */
struct connection_record {
	struct record_header header;
	__u64 inode; /* of sockfs, 0: a socket of the kernel */
	__u32 rcv_nxt; /* these as struct tcp_sock has them */
	__u32 rcv_wup;
	__u32 rcv_wnd;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 ts_recent;
	__u32 queued; /* bytes that what is queued occupies (sk_rmem_alloc) */
	__u32 limit; /* of them (sk_rcvbuf) */
	__u32 bound_ifindex; /* 0: none */
	__u32 pad;
};

/* All zero: it did not die here. */
struct resent_death {
	__u64 time_ns; /* of several in a burst the first's */
	__u64 skb;
	__u64 location; /* return address in the function that freed it */
};

/* A segment of TCP that was sent again, and what died here before: the one before, or what acknowledged it (bpf/resent.c). */
struct resent_record {
	struct record_header header;
	__u64 sent; /* when the one before was sent, in ns, 0: unknown */
	struct resent_death segment; /* of the one before */
	struct resent_death ack; /* of what acknowledged it */
	__u32 saddr[4]; /* network order; IPv4 as ::ffff:a.b.c.d */
	__u32 daddr[4];
	__u16 sport; /* host order */
	__u16 dport;
	__u32 family; /* 4, 6 */
	__u32 netns; /* inode number, of the socket */
	__u32 seq;
	__u32 end;
	__u32 segments;
	__u32 has_failed; /* it did not get away */
	__u32 is_crowded; /* more of its flow had died than was remembered */
};

/* What a step of a trace is. */
enum step {
	STEP_CALL = 0, /* a function begins */
	STEP_RETURN = 1, /* ... and ends: `value` is what it returned */
	STEP_RECEIVE = 2, /* netif_receive_skb: sniffers of the device see it next */
	STEP_QUEUE = 3, /* net_dev_queue: given to the device's queue */
	STEP_TRANSMIT = 4, /* net_dev_start_xmit: sniffers of the device have just seen it */
	STEP_CONSUMED = 5, /* consume_skb, or freed without a word */
	STEP_COPIED = 6, /* `value` is the address of the copy, or of the first of its segments */
	STEP_VERDICT = 7, /* a chain or a table of netfilter answered `value` */
	STEPS,
};

#define STEP_PACKET_BYTES 160
#define STEP_CALLERS 8
#define STEP_FIELDS 16

/* One thing that a packet met on its way (bpf/trace_step.c). */
struct step_record {
	struct record_header header;
	__u64 journey; /* number */
	__u64 function; /* address that was probed, 0: none */
	__u64 sp; /* of the call: tells which return belongs to which call, and which call is inside of which */
	__u64 value;
	__u32 step; /* enum step */
	__u32 fits; /* 1: matches, 2: may carry what was asked for */
	__u32 cpu;
	__u32 pid; /* current task; somebody else's unless is_task */
	__u32 is_task; /* in a system call of that task */
	__u32 netns;
	__u32 ifindex;
	__u32 route_ifindex; /* of the device that the route chose, 0: none yet */
	__u32 length;
	__u32 mark;
	__u32 protocol; /* ethertype, host order */
	__u32 packet_length; /* valid bytes of packet[] */
	__u32 hook; /* of a verdict: number; all ones: unknown */
	__u32 family; /* of a verdict: NFPROTO_* */
	__s32 callers_bytes; /* valid bytes of callers[], negative: errno. Of STEP_CONSUMED only */
	__u32 pad;
	char ifname[NAME_BYTES];
	char route_ifname[NAME_BYTES];
	char comm[NAME_BYTES];
	char table[XT_NAME_BYTES]; /* of a verdict */
	char chain[XT_NAME_BYTES]; /* of a verdict of nf_tables */
	__u64 fields[STEP_FIELDS]; /* eight bytes from where each member begins that was asked for */
	__u64 callers[STEP_CALLERS];
	__u8 packet[STEP_PACKET_BYTES]; /* from the network header on */
};

/* Where a member that was asked for begins. */
struct step_field {
	__u32 is_shared; /* of struct skb_shared_info, else of struct sk_buff */
	__u32 place; /* its offset in bytes, plus one; 0: none */
};

#endif
