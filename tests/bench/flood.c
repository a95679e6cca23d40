/* Sends datagrams from one network namespace into another as fast as one CPU can, and times their whole way.
 *
 *     flood SENDER RECEIVER ADDRESS PORT BURSTS OPEN
 *
 * A burst is BURST datagrams to PORT, then one to PORT + 1, which is waited for. On one CPU packets keep their order, so the
 * others have arrived or have died by then. With OPEN 1 a socket receives those to PORT, with 0 the port is closed.
 * Prints the nanoseconds it took, how many were sent to PORT, and how many were received there. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BURST 127 /* so many fit into a receive buffer of the usual size */

static int open_socket(const char *netns, int port)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct timeval patience = {.tv_sec = 30};
	char path[64];
	int here;
	int made;

	snprintf(path, sizeof(path), "/run/netns/%s", netns);
	here = open(path, O_RDONLY | O_CLOEXEC);
	if (here < 0 || setns(here, CLONE_NEWNET))
		err(1, "%s", path);
	close(here);
	made = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (made < 0 || setsockopt(made, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    bind(made, (struct sockaddr *)&any, sizeof(any)))
		err(1, "socket");
	return made;
}

static long long now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

int main(int count, char **words)
{
	static char data[BURST][16];
	struct mmsghdr out[BURST] = {};
	struct mmsghdr in[BURST] = {};
	struct iovec pieces[BURST];
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct sockaddr_in last;
	long received = 0;
	long long begun;
	cpu_set_t one;

	if (count != 7)
		errx(2, "SENDER RECEIVER ADDRESS PORT BURSTS OPEN");
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		err(1, "affinity");
	int port = atoi(words[4]);
	long bursts = atol(words[5]);
	int open = atoi(words[6]);
	int end = open_socket(words[2], port + 1);
	int receiver = open ? open_socket(words[2], port) : -1;
	int sender = open_socket(words[1], 0);

	to.sin_port = htons(port);
	if (!inet_aton(words[3], &to.sin_addr))
		errx(2, "%s is no address", words[3]);
	last = to;
	last.sin_port = htons(port + 1);
	for (int i = 0; i < BURST; i++) {
		pieces[i] = (struct iovec){data[i], sizeof(data[i])};
		in[i].msg_hdr = (struct msghdr){.msg_iov = &pieces[i], .msg_iovlen = 1};
		out[i].msg_hdr = in[i].msg_hdr;
		out[i].msg_hdr.msg_name = &to;
		out[i].msg_hdr.msg_namelen = sizeof(to);
	}

	begun = now();
	for (long burst = 0; burst < bursts; burst++) {
		int got;

		if (sendmmsg(sender, out, BURST, 0) != BURST)
			err(1, "sendmmsg");
		if (sendto(sender, data[0], sizeof(data[0]), 0, (struct sockaddr *)&last, sizeof(last)) < 0)
			err(1, "sendto");
		if (recv(end, data[0], sizeof(data[0]), 0) < 0)
			err(1, "the last of a burst did not arrive");
		got = open ? recvmmsg(receiver, in, BURST, MSG_DONTWAIT, NULL) : 0;
		received += got > 0 ? got : 0;
	}
	printf("%lld %ld %ld\n", now() - begun, bursts * BURST, received);
	return 0;
}
