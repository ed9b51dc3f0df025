/* The loop: frames in, frames out, everybody's descriptors in one poll set. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static int sock = -1, sigfd = -1;
static struct {
	unsigned char *p;
	size_t at, n, cap;
} out;
static unsigned char in[2 * (AW_MAX + AW_HEAD)];
static size_t in_n;
static struct pollfd set[5 + AG_PROCS * 3 + 2 * AG_CONNS + 1];
static int set_n;

void
broken(void)
{
	_exit(70);
}

int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int
watch(int fd, short events)
{
	if (fd < 0 || (size_t)set_n == sizeof set / sizeof *set)
		return -1;
	set[set_n] = (struct pollfd){.fd = fd, .events = events};
	return set_n++;
}

short
fired(int index)
{
	return index < 0 ? 0 : set[index].revents;
}

static void
out_flush(void)
{
	while (out.n) {
		ssize_t k = send(sock, out.p + out.at, out.n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0 && errno == EAGAIN)
			return;
		if (k <= 0)
			_exit(0); /* the server is gone, and so are we */
		out.at += (size_t)k;
		out.n -= (size_t)k;
	}
	out.at = 0;
}

static void
out_add(const void *p, size_t n)
{
	if (out.at && out.at + out.n + n > out.cap) {
		memmove(out.p, out.p + out.at, out.n);
		out.at = 0;
	}
	if (out.n + n > out.cap) {
		size_t cap = out.cap ? out.cap : 64 * 1024;
		unsigned char *q;

		while (cap < out.n + n)
			cap *= 2;
		if (cap > AG_OUT_HARD || !(q = realloc(out.p, cap)))
			broken();
		out.p = q;
		out.cap = cap;
	}
	if (n)
		memcpy(out.p + out.at + out.n, p, n);
	out.n += n;
}

void
out_frame2(uint32_t id, enum aw_type type, const void *a, size_t an, const void *b, size_t bn)
{
	unsigned char head[AW_HEAD];

	aw_head(head, (uint32_t)(an + bn), id, type);
	out_add(head, sizeof head);
	out_add(a, an);
	out_add(b, bn);
	if (out.n >= AW_CHUNK)
		out_flush();
}

void
out_frame(uint32_t id, enum aw_type type, const void *p, size_t n)
{
	out_frame2(id, type, p, n, NULL, 0);
}

void
out_u32(uint32_t id, enum aw_type type, uint32_t v)
{
	unsigned char b[4];

	aw_store(b, v, 4);
	out_frame(id, type, b, 4);
}

bool
out_room(void)
{
	return out.n < AG_OUT_SOFT;
}

void
fail(uint32_t id, enum aw_fail kind, const char *fmt, ...)
{
	char text[512];
	unsigned char head[5];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n >= sizeof text)
		n = (int)sizeof text - 1;
	head[0] = (unsigned char)kind;
	aw_store(head + 1, (uint32_t)n, 4);
	out_frame2(id, AW_FAIL, head, sizeof head, text, (size_t)n);
}

void
fail_errno(uint32_t id, const char *what)
{
	int e = errno;
	enum aw_fail kind = AF_IO;

	switch (e) {
	case ENOENT:
		fail(id, AF_NOTFOUND, "path '%s' does not exist", what);
		return;
	case EACCES:
	case EPERM:
	case EROFS:
		kind = AF_PERM;
		break;
	case ENOTDIR:
		kind = AF_NOTDIR;
		break;
	case EISDIR:
		fail(id, AF_ISDIR, "path is a directory: %s", what);
		return;
	case ELOOP:
		kind = AF_LOOP;
		break;
	case ENAMETOOLONG:
	case EINVAL:
		kind = AF_INVAL;
		break;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		kind = AF_SPACE;
		break;
	case EMFILE:
	case ENFILE:
	case EAGAIN:
	case ENOMEM:
		kind = AF_LIMIT;
		break;
	default:
		break;
	}
	fail(id, kind, "%s: %s", what, strerror(e));
}

static void
dispatch(struct aw_frame *f)
{
	struct aw_rd *r = &f->body;

	switch ((enum aw_type)f->type) {
	case AW_START:
		proc_start(f->id, r);
		break;
	case AW_STDIN:
		proc_stdin(f->id, r);
		break;
	case AW_STDIN_END:
		proc_stdin_end(f->id);
		break;
	case AW_SIGNAL:
		proc_signal(f->id, r);
		break;
	case AW_RESIZE:
		proc_resize(f->id, r);
		break;
	case AW_GRANT: {
		uint32_t n = aw_u32(r);

		/* the exchange may have ended meanwhile: then nobody wants it */
		if (!proc_grant(f->id, n) && !file_grant(f->id, n) && !notify_grant(f->id, n))
			conn_grant(f->id, n);
		break;
	}
	case AW_KILL_ALL:
		kill(-1, SIGKILL); /* everybody but PID 1, which is us */
		out_frame(f->id, AW_OK, NULL, 0);
		break;
	case AW_STAT:
		entry_stat(f->id, r);
		break;
	case AW_LIST:
		entry_list(f->id, r);
		break;
	case AW_MKDIR:
		entry_mkdir(f->id, r);
		break;
	case AW_MOVE:
		entry_move(f->id, r);
		break;
	case AW_REMOVE:
		entry_remove(f->id, r);
		break;
	case AW_READ:
		file_read(f->id, r);
		break;
	case AW_WRITE:
		file_write(f->id, r);
		break;
	case AW_BYTES:
		file_bytes(f->id, r);
		break;
	case AW_COMMIT:
		file_commit(f->id);
		break;
	case AW_ABORT:
		if (!file_abort(f->id))
			notify_close(f->id);
		break;
	case AW_SEEK:
		file_seek(f->id, r);
		break;
	case AW_WATCH:
		notify_open(f->id, r);
		break;
	case AW_USAGE:
		usage_send(f->id);
		break;
	case AW_FREEZE:
		tree_freeze(aw_u8(r));
		out_frame(f->id, AW_OK, NULL, 0);
		break;
	case AW_PROXY:
		proxy_listen(f->id);
		break;
	case AW_DIAL:
		conn_dial(f->id, r);
		break;
	case AW_NET_OPENED:
	case AW_NET_BYTES:
	case AW_NET_END:
	case AW_NET_CLOSE:
		conn_frame(f);
		break;
	case AW_HELLO:
	case AW_STARTED:
	case AW_OUT:
	case AW_CREDIT:
	case AW_EXIT:
	case AW_FAIL:
	case AW_OK:
	case AW_ENTRY:
	case AW_DATA:
	case AW_NET_OPEN:
	case AW_USED:
	case AW_EVENT:
	default:
		broken();
	}
	if (r->bad)
		broken();
}

static void
in_ready(void)
{
	ssize_t k = recv(sock, in + in_n, sizeof in - in_n, MSG_DONTWAIT);
	struct aw_frame f;
	size_t used, at = 0;
	int got;

	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (k <= 0)
		_exit(0);
	in_n += (size_t)k;
	while ((got = aw_next(in + at, in_n - at, &f, &used)) > 0) {
		at += used;
		dispatch(&f);
	}
	if (got < 0)
		broken();
	memmove(in, in + at, in_n - at);
	in_n -= at;
}

/* What we were born with: the server refuses a box whose agent inherited anything. */
static void
hello(int strays)
{
	unsigned char b[12];
	uint32_t n = 0;

	while (environ && environ[n])
		n++;
	/* bwrap sets PWD after --clearenv or an empty start: its own, of no value */
	if (n == 1 && !strncmp(environ[0], "PWD=", 4))
		n = 0;
	aw_store(b, AW_VERSION, 4);
	aw_store(b + 4, n, 4);
	aw_store(b + 8, (uint32_t)strays, 4);
	out_frame(0, AW_HELLO, b, sizeof b);
}

static int
count_strays(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int n = 0;

	if (!d)
		return 1000;
	while ((e = readdir(d))) {
		int fd = (int)strtol(e->d_name, NULL, 10);

		if (e->d_name[0] != '.' && fd > 2 && fd != dirfd(d))
			n++;
	}
	closedir(d);
	return n;
}

int
main(int argc, char **argv)
{
	sigset_t s;
	int null;

	if (argc > 1 && !strcmp(argv[1], "--canary"))
		return canary(argc - 2, argv + 2);
	if (argc > 1 && !strcmp(argv[1], "--pair")) {
		/* bwrap leaves open by which it came into its user namespace */
		close(6);
		if (!user_pair())
			return 73;
	}
	/* code of the same user must neither trace us nor open our descriptors */
	prctl(PR_SET_DUMPABLE, 0);
	umask(022);
	int strays = count_strays();

	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sock = fcntl(0, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || sock < 0)
		return 71;
	for (int i = 0; i < 3; i++)
		dup2(null, i);
	sigfillset(&s);
	sigprocmask(SIG_SETMASK, &s, NULL);
	sigemptyset(&s);
	sigaddset(&s, SIGCHLD);
	sigfd = signalfd(-1, &s, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sigfd < 0)
		return 71;
	environ = NULL;
	hello(strays);
	for (;;) {
		struct signalfd_siginfo si;
		int is, ic;

		out_flush();
		set_n = 0;
		is = watch(
		    sock, (short)((out.n < AG_OUT_HARD / 4 ? POLLIN : 0) | (out.n ? POLLOUT : 0)));
		ic = watch(sigfd, POLLIN);
		proc_watch();
		conn_watch();
		notify_watch();
		if (poll(set, (nfds_t)set_n, file_pending() && out_room() ? 0 : proc_timeout_ms()) <
			0 &&
		    errno != EINTR)
			return 72;
		if (fired(ic)) {
			while (read(sigfd, &si, sizeof si) > 0)
				;
			proc_reap();
		}
		/* first, for what it says may be all that the others wait for */
		if (fired(is) & (POLLIN | POLLHUP | POLLERR))
			in_ready();
		proc_ready();
		conn_ready();
		file_ready();
		/* last: who hears that something was done finds its events sent */
		notify_ready();
	}
}
