/* Whose a packet is: the current task may free another one's while it works on its own. */

#define FILES 64 /* of the task, that are looked through: NR_OPEN_DEFAULT, every table of files has as many */

/* 0: a socket of the kernel, or none. What is no whole socket (time-wait) gives garbage, which nobody holds. */
inline_always u64 socket_file(u64 sock, union scratch *scratch)
{
	u64 of_user = sock ? read_pointer(scratch, sock + OFF_sock__sk_socket) : 0;

	return of_user ? read_pointer(scratch, of_user + OFF_socket__file) : 0;
}

/* Whether the current task has the file of this socket: it sent the packet, or was to receive it. It has also what it has
 * opened, of however many: its credentials are a struct of its own from fork and exec on (copy_creds, kernel/cred.c). */
inline_always int is_own(u64 sock, union scratch *scratch)
{
	u64 file = socket_file(sock, scratch);
	u64 task = bpf_get_current_task();
	u64 at;
	int own;

	if (!file)
		return 0;
	own = read_pointer(scratch, file + OFF_file__f_cred) == read_pointer(scratch, task + OFF_task_struct__cred);
	at = read_pointer(scratch, task + OFF_task_struct__files);
	at = read_pointer(scratch, read_pointer(scratch, at + OFF_files_struct__fdt) + OFF_fdtable__fd);
#pragma clang loop unroll(disable)
	for (int i = 0; i < FILES && !own; i++) {
		own = read_pointer(scratch, at) == file;
		at += sizeof(u64);
		end_of_body(i);
	}
	return own;
}
