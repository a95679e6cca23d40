/* The cgroup in which a socket was made, by its number: it tells the unit, the container and the pod. */

#define TCP_TIME_WAIT 6 /* net/tcp_states.h: what is in these two states is no whole socket */
#define TCP_NEW_SYN_RECV 12
#define NO_CGROUP 1 /* on older kernels what is no address has bit 0 set (sock_cgroup_data), and bit 1 is a flag */
#define CGROUP_FLAGS 3

/* 0: unknown */
inline_always u64 socket_cgroup(u64 sock, union scratch *scratch)
{
	u8 state = read_u8(scratch, sock + OFF_sock____sk_common__skc_state);
	u64 cgroup;

	if (!sock || state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		return 0;
	cgroup = read_pointer(scratch, sock + OFF_sock__sk_cgrp_data); /* its first member */
	if (!cgroup || cgroup & NO_CGROUP)
		return 0;
	cgroup &= ~(u64)CGROUP_FLAGS;
	return read_pointer(scratch, read_pointer(scratch, cgroup + OFF_cgroup__kn) + OFF_kernfs_node__id);
}
