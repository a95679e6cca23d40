/* The packets that a trace follows, by the address of their struct sk_buff. */
#define JOURNEYS (TRACE ? 16384 : 1)

struct journey {
	u64 number;
	u32 fits; /* 1: it matched, 2: it may carry what was asked for */
	u32 pad;
};

BPF_TABLE("lru_hash", u64, struct journey, journeys, JOURNEYS);

#define CPU_BITS 13 /* of a journey's number */

inline_always struct journey *begin_journey(u64 skb, u32 fits)
{
	struct journey journey = {.fits = fits};

	/* one of each nanosecond and CPU, for weeks */
	journey.number = bpf_ktime_get_ns() << CPU_BITS | bpf_get_smp_processor_id();
	journeys.update(&skb, &journey);
	return journeys.lookup(&skb);
}

/* Another struct sk_buff takes the journey on, beside the first one or instead of it. */
inline_always void continue_journey(u64 from, u64 to)
{
	struct journey *journey = from && to && from != to ? journeys.lookup(&from) : NULL;

	if (journey) {
		struct journey same = *journey;
		journeys.update(&to, &same);
	}
}

/* The number of the packet's journey, 0: it is not followed. */
inline_always u64 journey_number(u64 skb)
{
	struct journey *journey = TRACE ? journeys.lookup(&skb) : NULL;

	return journey ? journey->number : 0;
}

inline_always void end_journey(u64 skb)
{
	if (TRACE)
		journeys.delete(&skb);
}

inline_always int is_followed(u64 skb)
{
	return !!journey_number(skb);
}
