/* A death in hand: what on_kfree_skb and the programs it jumps to know of the packet that dies on this CPU. */

/* Programs with a stack of their own, which run after the DROP record, on wanted packets. What leads to a record stands
 * at its number (enum record_type); the further steps on the way there are these. */
enum drop_step {
	DETAIL_SEND_XT = 16,
	DETAIL_SEND_NFT = 17,
	/* none: on_kfree_skb itself, when what it counts by has been searched, or its past has been read */
	DETAIL_COUNT = 18,
	DETAIL_SEND_SEGMENT = 19,
	DETAIL_LOOK_BACK = 20,
	DROP_PROGRAMS,
};

BPF_PROG_ARRAY(drop_details, DROP_PROGRAMS);

/* What did it may be searched before the packet is counted: on_kfree_skb runs a second time then. */
enum search {
	SEARCH_NONE,
	SEARCH_GOES_ON,
	SEARCH_DONE, /* on_kfree_skb is called again: is_again */
	SEARCH_TOLD, /* it has been */
};

#define MIX(sum) ((sum)*0x9e3779b97f4a7c15ULL)

/* In death.origin, beside a sum over all that the past of equal drops has in common. */
#define ORIGIN_FITS 1 /* the packet is what the filter asks for by addresses that it had before, or was to get */
#define ORIGIN_BITS 0x1ffffULL

#define CALLERS 16

/* The death whose detail is looked for, on this CPU. */
struct death {
	u64 skb;
	u64 time;
	u32 is_sent; /* 0: nobody asked for the packet */
	u32 detail; /* enum record_type of the record that follows, 0: none */
	u32 search; /* enum search */
	u32 notes; /* enum note of the first time */
	u64 object; /* what was found */
	u64 origin; /* what its past has in common with that of equal drops, see bpf/past.c; 0: it has none */
	u32 is_again; /* on_kfree_skb has begun with this death before, and is called again */
	u32 not_own; /* NOTE_NOT_OWN or 0 */
	u64 sock; /* struct sock that refused it, 0: none is known */
	u64 receiver; /* the one that the tracepoint names; where it names none (before 6.11) the one that refused it */
	u64 cgroup_refuser; /* the one by whose cgroup it was refused, 0: it was not */
	u64 owner; /* struct sock that it was for, or that sent it */
	u64 cgroup; /* the owner's */
	u8 link[20]; /* the header of Ethernet before it */
	u32 link_length; /* valid bytes of link[] */
	struct row row; /* what it is counted by */
	u64 callers[CALLERS]; /* who freed it */
};

BPF_PERCPU_ARRAY(deaths, struct death, 2); /* that in hand, and that of an interrupt meanwhile */

/* What on_kfree_skb and the programs it jumps to have in hand on this CPU. */
struct in_hand {
	u64 skb; /* 0: nothing */
	u64 interrupted; /* the packet whose death had to wait for this one's, 0: none */
	u32 was_interrupted;
	u32 is_again; /* on_kfree_skb_again has called */
	u64 cpu_offset; /* this_cpu_offset(), once it was asked for */
};

BPF_PERCPU_ARRAY(in_hands, struct in_hand, 1);

/* The packets that on_kfree_skb has had, until on_kfree_skb_again has looked. */
#define HAD 1024
#define SKB_SHIFT 8 /* a struct sk_buff is nearly that large: neighbours in memory have places of their own */
BPF_PERCPU_ARRAY(had, u64, HAD);

inline_always u64 *had_place(u64 skb)
{
	int place = skb >> SKB_SHIFT & (HAD - 1);
	return had.lookup(&place);
}

inline_always struct in_hand *current_in_hand(void)
{
	int zero = 0;
	return in_hands.lookup(&zero);
}

inline_always void take_in_hand(u64 skb)
{
	struct in_hand *now = current_in_hand();
	u64 *place = had_place(skb);

	if (!now || !place)
		return;
	if (now->is_again) {
		now->is_again = 0;
	} else {
		*place = skb;
		now->was_interrupted = !!now->skb; /* before 6.1 it is run again */
		now->interrupted = now->skb;
	}
	now->skb = skb;
}

/* Where each of those programs ends. */
inline_always int out_of_hand(void)
{
	struct in_hand *now = current_in_hand();

	if (now) {
		now->skb = now->interrupted;
		now->interrupted = 0;
	}
	return 0;
}

inline_always int was_interrupted(void)
{
	struct in_hand *now = current_in_hand();

	return !now || now->was_interrupted;
}

/* Of two deaths that this CPU may have in hand. */
inline_always int death_level(void)
{
	struct in_hand *now = current_in_hand();

	return now && now->interrupted;
}

inline_always struct death *current_death(void)
{
	int level = death_level();

	return deaths.lookup(&level);
}

/* A death that passes no kfree_skb, of what refuses the packet (bpf/refused.c): the stack has no room for it. */
struct refused {
	u64 function; /* address of that which looks at the packet */
	u64 sock; /* struct sock that refuses it, 0: none */
	u64 bits; /* by which deaths there are told apart */
	struct row row; /* what it is counted by */
	struct buffer buffer;
	struct flow flow;
	struct place place;
};
