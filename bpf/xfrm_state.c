/* An SA (struct xfrm_state) and the route that leads through one, as records have them. */

#define RTAX_MTU 2 /* linux/rtnetlink.h */

/* The SA that the packet went through last, from its secpath (struct sec_path, include/net/xfrm.h); 0: none. */
inline_always u64 last_state(const struct buffer *buffer, union scratch *scratch)
{
	u64 path = buffer->extensions;
	u32 length;

	if (!(buffer->active_extensions & 1 << ENUM_SKB_EXT_SEC_PATH))
		return 0;
	/* offsets are in units of 8 bytes (SKB_EXT_ALIGN_VALUE) */
	path += (u64)read_u8(scratch, path + OFF_skb_ext__offset + ENUM_SKB_EXT_SEC_PATH) << 3;
	/* an int, on newer kernels a u8: at most XFRM_MAX_DEPTH, and the first byte has it on a little-endian machine */
	length = read_u8(scratch, path + OFF_sec_path__len);
	if (!length || length > 16)
		return 0;
	return read_pointer(scratch, path + OFF_sec_path__xvec + (length - 1) * sizeof(u64));
}

/* struct xfrm_algo, xfrm_algo_auth and xfrm_algo_aead begin alike (linux/xfrm.h): name, key length in bits, and but
 * for the first the length of the ICV. The key comes next and is never read. */
inline_always void read_algorithm(struct xfrm_algorithm *algorithm, u64 pointer, u32 with_icv)
{
	__builtin_memset(algorithm, 0, sizeof(*algorithm));
	if (!pointer)
		return;
	read_bytes(algorithm->name, sizeof(algorithm->name), pointer);
	read_member(algorithm->key_bits, pointer, ALGORITHM_NAME_BYTES);
	if (with_icv)
		read_member(algorithm->icv_bits, pointer, ALGORITHM_NAME_BYTES + 4);
}

inline_always void read_replay(struct xfrm_record *record, u64 state, union scratch *scratch)
{
	u64 esn = read_pointer(scratch, state + OFF_xfrm_state__replay_esn);

	record->has_esn = !!esn;
	record->seq_hi = 0;
	if (esn) { /* struct xfrm_replay_state_esn: bmp_len, oseq, seq, oseq_hi, seq_hi, replay_window */
		read_member(record->oseq, esn, 4);
		read_member(record->seq, esn, 8);
		read_member(record->seq_hi, esn, 16);
		read_member(record->replay_window, esn, 20);
		return;
	}
	read_member(record->oseq, state, OFF_xfrm_state__replay); /* struct xfrm_replay_state: oseq, seq, bitmap */
	read_member(record->seq, state, OFF_xfrm_state__replay + 4);
	record->replay_window = read_u8(scratch, state + OFF_xfrm_state__props__replay_window);
}

inline_always void read_encap(struct xfrm_record *record, u64 encap)
{
	record->has_encap = !!encap;
	if (!encap)
		return;
	read_member(record->encap_type, encap, 0); /* struct xfrm_encap_tmpl: type, sport, dport */
	read_member(record->encap_sport, encap, 2);
	read_member(record->encap_dport, encap, 4);
}

inline_always void read_state(struct xfrm_record *record, u64 state, union scratch *scratch)
{
	read_member(record->spi, state, OFF_xfrm_state__id__spi);
	record->proto = read_u8(scratch, state + OFF_xfrm_state__id__proto);
	read_member(record->daddr, state, OFF_xfrm_state__id__daddr);
	read_member(record->saddr, state, OFF_xfrm_state__props__saddr);
	record->family = read_u16(scratch, state + OFF_xfrm_state__props__family);
	record->mode = read_u8(scratch, state + OFF_xfrm_state__props__mode);
	read_member(record->reqid, state, OFF_xfrm_state__props__reqid);
	read_member(record->if_id, state, OFF_xfrm_state__if_id);
	read_member(record->mark, state, OFF_xfrm_state__mark); /* struct xfrm_mark: v, m */
	read_member(record->mark_mask, state, OFF_xfrm_state__mark + 4);
	record->state = read_u8(scratch, state + OFF_xfrm_state__km__state);
	record->flags = read_u8(scratch, state + OFF_xfrm_state__props__flags);
	read_replay(record, state, scratch);
	read_encap(record, read_pointer(scratch, state + OFF_xfrm_state__encap));
	read_member(record->stat_replay_window, state, OFF_xfrm_state__stats); /* struct xfrm_stats, linux/xfrm.h */
	read_member(record->stat_replay, state, OFF_xfrm_state__stats + 4);
	read_member(record->stat_integrity_failed, state, OFF_xfrm_state__stats + 8);
	read_member(record->limits, state, OFF_xfrm_state__lft);
	read_member(record->current_use, state, OFF_xfrm_state__curlft);
	read_member(record->selector, state, OFF_xfrm_state__sel);
	read_algorithm(&record->aead, read_pointer(scratch, state + OFF_xfrm_state__aead), 1);
	read_algorithm(&record->enc, read_pointer(scratch, state + OFF_xfrm_state__ealg), 0);
	read_algorithm(&record->auth, read_pointer(scratch, state + OFF_xfrm_state__aalg), 1);
	read_algorithm(&record->comp, read_pointer(scratch, state + OFF_xfrm_state__calg), 0);
}

/* The MTU of a route, of IPsec what it takes before protection (xfrm_init_pmtu); 0: it has none of its own. */
inline_always u32 route_mtu(u64 dst, union scratch *scratch)
{
	u64 metrics = read_pointer(scratch, dst + OFF_dst_entry___metrics) & ~3ULL; /* DST_METRICS_FLAGS */

	return metrics ? read_u32(scratch, metrics + (RTAX_MTU - 1) * sizeof(u32)) : 0;
}

/* The route that IPsec gives packets without an SA. A tunnel's metadata have the same function, and no family. */
inline_always int is_blackhole(u64 dst, union scratch *scratch)
{
	struct settings *wanted = current_settings();
	u64 operations = dst ? read_pointer(scratch, dst + OFF_dst_entry__ops) : 0;
	u64 mtu = operations ? read_pointer(scratch, operations + OFF_dst_ops__mtu) : 0;

	if (!wanted || !mtu || !read_u16(scratch, operations + OFF_dst_ops__family))
		return 0;
	return mtu == wanted->blackhole_mtu[0] || mtu == wanted->blackhole_mtu[1];
}
