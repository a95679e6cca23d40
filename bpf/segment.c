/* What a socket sends and no route is found for dies before it has an IP header (__ip_queue_xmit in net/ipv4/ip_output.c,
 * inet6_csk_xmit in net/ipv6/inet6_connection_sock.c): its socket has the addresses. */

#define AF_INET 2 /* sys/socket.h */
#define AF_INET6 10
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86DD

inline_always int is_of_network(u64 sock, union scratch *scratch)
{
	u16 family = sock ? read_u16(scratch, sock + OFF_sock____sk_common__skc_family) : 0;

	return family == AF_INET || family == AF_INET6;
}

/* Addresses and protocol of what a socket sends. */
inline_always void put_socket_flow(struct flow *flow, u64 sock, union scratch *scratch)
{
	flow->proto = read_u16(scratch, sock + OFF_sock__sk_protocol);
	if (read_u16(scratch, sock + OFF_sock____sk_common__skc_family) == AF_INET6) {
		read_member(flow->saddr, sock, OFF_sock____sk_common__skc_v6_rcv_saddr);
		read_member(flow->daddr, sock, OFF_sock____sk_common__skc_v6_daddr);
		flow->family = !flow->daddr[0] && !flow->daddr[1] && flow->daddr[2] == bpf_htonl(0xffff) ? 4 : 6;
	} else {
		flow->saddr[2] = flow->daddr[2] = bpf_htonl(0xffff);
		flow->saddr[3] = read_u32(scratch, sock + OFF_sock____sk_common__skc_rcv_saddr);
		flow->daddr[3] = read_u32(scratch, sock + OFF_sock____sk_common__skc_daddr);
		flow->family = 4;
	}
}

/* 0: it is none, but something else that a socket had: a notice for its error queue. */
inline_always int read_segment(struct flow *flow, struct buffer *buffer, union scratch *scratch)
{
	u64 transport = buffer->head + read_u16(scratch, buffer->address + OFF_sk_buff__transport_header);

	if (transport != buffer->data)
		return 0;
	put_socket_flow(flow, buffer->sock, scratch);
	read_transport(flow, transport, transport + buffer->length, scratch);
	read_bytes(flow, sizeof(*flow), (u64)flow); /* else the verifier looks at each family's by itself, to the end */
	buffer->protocol = flow->family == 4 ? ETH_P_IP : ETH_P_IPV6;
	return 1;
}

/* The header that it was to have, and its own bytes. How many. */
inline_always u32 put_segment(u8 *packet, const struct buffer *buffer, const struct flow *flow)
{
	u32 header = flow->family == 4 ? 20 : 40;
	u32 put;
	u64 length = buffer->end > buffer->data ? buffer->end - buffer->data : 0;

	put = put_header(packet, flow);
	if (length > PACKET_BYTES - 40)
		length = PACKET_BYTES - 40;
	return read_bytes(packet + header, length, buffer->data) ? put : header + length;
}
