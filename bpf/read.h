/* Explicit readers of kernel memory. The names that begin with OFF, SIZE and ENUM come from the running
 * kernel's BTF: dropwatch/probe/programs/numbers.py finds the names in this text and defines them. */
#ifndef WHYDROP_READ_H
#define WHYDROP_READ_H

#include "event.h"

#define inline_always static __attribute__((always_inline)) inline

/* Writes zeros where the memory cannot be read; not 0 then. */
#define read_bytes(to, size, from) bpf_probe_read_kernel((to), (size), (void *)(from))
#define read_member(to, base, offset) read_bytes(&(to), sizeof(to), (base) + (offset))

/* A struct sk_buff is read in two halves: as a whole it would take half of the stack. Kernels have one of 224 or 232 bytes. */
#define SKB_HALF 128

/* Where helpers write to. The compiler gives each variable of an inlined function its own place on the stack, and
 * there are 512 bytes: what is needed only for a moment shares this. */
union scratch {
	u8 bytes[SKB_HALF];
	u8 byte;
	u16 half;
	u32 word;
	u64 address;
};

/* At the end of a loop's body. Before 5.13 the verifier takes a helper call right in front of the loop's first
 * instruction for a loop without end (push_insn in check_cfg, kernel/bpf/verifier.c): this puts one between them. */
#ifndef end_of_body /* a test compiles some of this for its own machine */
#define end_of_body(index) asm volatile("%0 = %0" : "+r"(index))
#endif

/* 1 or 0, without a branch: the verifier follows both ways of each, and in a loop each turn of it doubles them. If the
 * compiler saw what is meant, it would make branches of these two. */
inline_always u64 is_not_zero(u64 value)
{
	u64 negative = -value;

	asm volatile("" : "+r"(negative));
	return (value | negative) >> 63;
}

/* Likewise. They are less than 2^63 apart. */
inline_always u64 is_less(u64 one, u64 other)
{
	u64 difference = one - other;

	asm volatile("" : "+r"(difference));
	return difference >> 63;
}

inline_always u64 read_pointer(union scratch *scratch, u64 from)
{
	read_bytes(&scratch->address, sizeof(scratch->address), from);
	return scratch->address;
}

inline_always u32 read_u32(union scratch *scratch, u64 from)
{
	read_bytes(&scratch->word, sizeof(scratch->word), from);
	return scratch->word;
}

inline_always u16 read_u16(union scratch *scratch, u64 from)
{
	read_bytes(&scratch->half, sizeof(scratch->half), from);
	return scratch->half;
}

inline_always u8 read_u8(union scratch *scratch, u64 from)
{
	read_bytes(&scratch->byte, sizeof(scratch->byte), from);
	return scratch->byte;
}

/* What is needed of a struct sk_buff. */
struct buffer {
	u64 address;
	u64 head;
	u64 data;
	u64 end; /* of the linear part */
	u64 device;
	u64 sock;
	u64 dst;
	u64 extensions;
	u32 length;
	u32 limit; /* offset from head of where the buffer ends */
	u32 mark;
	u32 skb_iif;
	u16 protocol; /* host order */
	u16 network; /* offset from head, 0: unset */
	u8 active_extensions;
};

#define take(field, type, offset)                                                                                      \
	do {                                                                                                           \
		if ((offset) >= from && (offset) < from + SKB_HALF)                                                    \
			(field) = *(const type *)(half + ((offset)-from) % SKB_HALF);                                  \
	} while (0)

inline_always void take_members(struct buffer *buffer, const u8 *half, u64 from)
{
	take(buffer->head, u64, OFF_sk_buff__head);
	take(buffer->data, u64, OFF_sk_buff__data);
	take(buffer->end, u32, OFF_sk_buff__tail);
	take(buffer->limit, u32, OFF_sk_buff__end);
	take(buffer->device, u64, OFF_sk_buff__dev);
	take(buffer->sock, u64, OFF_sk_buff__sk);
	take(buffer->dst, u64, OFF_sk_buff___skb_refdst);
	take(buffer->extensions, u64, OFF_sk_buff__extensions);
	take(buffer->length, u32, OFF_sk_buff__len);
	take(buffer->mark, u32, OFF_sk_buff__mark);
	take(buffer->skb_iif, u32, OFF_sk_buff__skb_iif);
	take(buffer->protocol, u16, OFF_sk_buff__protocol);
	take(buffer->network, u16, OFF_sk_buff__network_header);
	take(buffer->active_extensions, u8, OFF_sk_buff__active_extensions);
}

inline_always int read_buffer(struct buffer *buffer, u64 address, union scratch *scratch)
{
	__builtin_memset(buffer, 0, sizeof(*buffer));
	if (read_bytes(scratch->bytes, SKB_HALF, address))
		return 0;
	take_members(buffer, scratch->bytes, 0);
	if (read_bytes(scratch->bytes, SIZE_sk_buff - SKB_HALF, address + SKB_HALF))
		return 0;
	take_members(buffer, scratch->bytes, SKB_HALF);
	buffer->address = address;
	buffer->end += buffer->head;
	buffer->dst &= ~1ULL; /* bit 0: SKB_DST_NOREF */
	buffer->protocol = bpf_ntohs(buffer->protocol);
	return 1;
}

/* Where the IP header is believed to be. The network header offset is unset (0) on packets that never had one,
 * and may be stale before the stack has looked at a frame: the version nibble decides, then skb->data. */
inline_always u64 network_header(const struct buffer *buffer, union scratch *scratch)
{
	u64 network = buffer->head + buffer->network;
	u8 version;

	if (buffer->network) {
		version = read_u8(scratch, network) >> 4;
		if (version == 4 || version == 6)
			return network;
	}
	version = read_u8(scratch, buffer->data) >> 4;
	if (!buffer->network || version == 4 || version == 6)
		return buffer->data;
	return network;
}

/* Inode number of a struct net; 0 when the address is not one (a union or a freed device gave garbage), or nobody knows. */
inline_always u32 netns_inode(u64 net, u64 netns_operations, union scratch *scratch)
{
	u64 common = net + OFF_net__ns;

	if (!net || !netns_operations)
		return 0;
	if (read_pointer(scratch, common + OFF_ns_common__ops) != netns_operations)
		return 0;
	return read_u32(scratch, common + OFF_ns_common__inum);
}

/* Where it is asked of several pointers whether any is there, the compiler joins them with OR, which the verifier prohibits. */
inline_always u64 is_there(const void *pointer)
{
	u64 there = !!pointer;

	asm volatile("" : "+r"(there));
	return there;
}

/* What the verifier knows of these bytes differs between the ways that lead here, and it checks all that follows once for
 * each: of what a helper has written it knows nothing. They stay as they are. */
inline_always void forget(void *bytes, u32 size)
{
	bpf_probe_read_kernel(bytes, size, bytes);
}

/* The verifier knows what type an argument points to, and what may be done with such a pointer is another matter on each kernel. */
inline_always u64 as_number(u64 argument)
{
	forget(&argument, sizeof(argument));
	return argument;
}

#endif
