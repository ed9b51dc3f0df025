/* Processes: start, pipes or PTY, stdin with credit, output with credit, exit. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DRAIN_MS 100 /* for children that still hold the pipes after the leader */

struct proc {
	bool used, exited, done, pty;
	uint32_t id, credit, tasks;
	int pid, status;
	int in, out[2];   /* out[0] is the master of a PTY; in is a dup of it */
	int wi, ri[2];    /* places in the poll set */
	unsigned char *q; /* stdin not yet taken */
	size_t qn;
	bool q_end;
	int64_t drain_until;
};
static struct proc procs[AG_PROCS];

extern char **environ;

static void
shut(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static struct proc *
find(uint32_t id)
{
	for (size_t i = 0; i < AG_PROCS; i++)
		if (procs[i].used && !procs[i].done && procs[i].id == id)
			return &procs[i];
	return NULL;
}

static void
drop(struct proc *p)
{
	shut(&p->in);
	shut(&p->out[0]);
	shut(&p->out[1]);
	free(p->q);
	*p = (struct proc){0};
}

static struct proc *
spare(void)
{
	struct proc *old = NULL;

	for (size_t i = 0; i < AG_PROCS; i++) {
		if (!procs[i].used)
			return &procs[i];
		if (procs[i].done)
			old = &procs[i];
	}
	/* ended long ago, a daemon still holds its pipes: it will do without them */
	if (old)
		drop(old);
	return old;
}

/* ---- start ---- */

struct start {
	uint8_t flags;
	uint16_t cols, rows;
	uint32_t nproc;
	char cwd[AG_PATH];
	char **argv, **env;
	char *text; /* the strings of argv and env */
};

static char **
strings(struct aw_rd *r, char **at)
{
	uint32_t n = aw_u32(r);
	char **v;

	/* each takes at least its length field */
	if (r->bad || n > r->n / 4 || !(v = calloc((size_t)n + 1, sizeof *v)))
		return NULL;
	for (uint32_t i = 0; i < n; i++) {
		size_t k;
		const char *p = aw_text(r, &k);

		v[i] = *at;
		memcpy(*at, p, k);
		(*at)[k] = 0;
		*at += k + 1;
	}
	return v;
}

static bool
parse(uint32_t id, struct aw_rd *r, struct start *s)
{
	char *at;
	struct stat st;

	s->flags = aw_u8(r);
	s->cols = aw_u16(r);
	s->rows = aw_u16(r);
	s->nproc = aw_u32(r);
	if (!path_resolve(id, r, s->cwd))
		return false;
	if (stat(s->cwd, &st) < 0 || !S_ISDIR(st.st_mode)) {
		fail(id, AF_INVAL, "cwd '%s' does not exist", s->cwd);
		return false;
	}
	/* every text shrinks by its length field and grows by a NUL */
	s->text = at = malloc(r->n + 1);
	if (!at) {
		fail(id, AF_LIMIT, "out of memory");
		return false;
	}
	s->argv = strings(r, &at);
	s->env = strings(r, &at);
	if (r->bad || !s->argv || !s->env || !s->argv[0]) {
		fail(id, AF_INVAL, "no program named");
		return false;
	}
	return true;
}

static int
open_pty(const struct start *s, int *slave)
{
	struct winsize w = {.ws_col = s->cols, .ws_row = s->rows};
	int zero = 0, m = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);

	*slave = -1;
	if (m < 0)
		return -1;
	if (ioctl(m, TIOCSPTLCK, &zero) < 0 || ioctl(m, TIOCSWINSZ, &w) < 0 ||
	    (*slave = ioctl(m, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0) {
		close(m);
		return -1;
	}
	return m;
}

/* In the child. fd[i] becomes descriptor i; all else is close-on-exec. */
static void __attribute__((noreturn)) child(const struct start *s, const int fd[3])
{
	sigset_t none;
	struct rlimit lim;

	setsid();
	for (int i = 0; i < 3; i++)
		if (dup2(fd[i], i) < 0)
			_exit(126);
	syscall(SYS_close_range, 3u, ~0u, 0u);
	if (s->flags & AW_FLAG_PTY)
		ioctl(0, TIOCSCTTY, 0);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	if (s->nproc) {
		lim.rlim_cur = lim.rlim_max = s->nproc;
		setrlimit(RLIMIT_NPROC, &lim);
	}
	user_goes_first();
	if (!user_drop())
		_exit(126);
	if (chdir(s->cwd) < 0) {
		dprintf(2, "%s: %s\n", s->cwd, strerror(errno));
		_exit(126);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	environ = s->env;
	execvpe(s->argv[0], s->argv, s->env);
	dprintf(2, "%s: %s\n", s->argv[0], errno == ENOENT ? "command not found" : strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

static bool
make_pipes(const struct start *s, int in[2], int out[2], int err[2])
{
	if (s->flags & AW_FLAG_STDIN) {
		if (pipe2(in, O_CLOEXEC) < 0)
			return false;
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (in[0] < 0)
			return false;
	}
	return !pipe2(out, O_CLOEXEC) && !pipe2(err, O_CLOEXEC);
}

static bool
launch(struct proc *p, const struct start *s)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1};
	bool ok = false;

	p->in = p->out[0] = p->out[1] = -1;
	if (s->flags & AW_FLAG_PTY) {
		out[0] = open_pty(s, &out[1]);
		if (out[0] < 0)
			goto end;
		in[1] = fcntl(out[0], F_DUPFD_CLOEXEC, 3);
	} else if (!make_pipes(s, in, out, err)) {
		goto end;
	}
	p->pid = fork();
	if (p->pid < 0)
		goto end;
	if (!p->pid)
		child(s, s->flags & AW_FLAG_PTY ? (const int[3]){out[1], out[1], out[1]}
						: (const int[3]){in[0], out[1], err[1]});
	p->in = in[1];
	p->out[0] = out[0];
	p->out[1] = err[0];
	in[1] = out[0] = err[0] = -1;
	for (int i = 0; i < 2; i++)
		if (p->out[i] >= 0)
			fcntl(p->out[i], F_SETFL, O_NONBLOCK);
	if (p->in >= 0)
		fcntl(p->in, F_SETFL, O_NONBLOCK);
	ok = true;
end:
	for (int i = 0; i < 2; i++) {
		shut(&in[i]);
		shut(&out[i]);
		shut(&err[i]);
	}
	return ok;
}

void
proc_start(uint32_t id, struct aw_rd *r)
{
	struct start s = {0};
	struct proc *p = NULL;

	if (!parse(id, r, &s))
		goto end;
	p = spare();
	if (!p) {
		fail(id, AF_LIMIT, "stopped: process limit (%d commands at once)", AG_PROCS);
		goto end;
	}
	*p = (struct proc){.used = true, .id = id, .pty = s.flags & AW_FLAG_PTY};
	p->wi = p->ri[0] = p->ri[1] = -1;
	if (!launch(p, &s)) {
		int e = errno;

		drop(p);
		fail(id, AF_LIMIT, "%s", e == EAGAIN ? "stopped: process limit" : strerror(e));
		goto end;
	}
	out_u32(id, AW_STARTED, (uint32_t)p->pid);
end:
	free(s.argv);
	free(s.env);
	free(s.text);
}

/* ---- stdin ---- */

static void
stdin_flush(struct proc *p)
{
	while (p->qn && p->in >= 0) {
		ssize_t k = write(p->in, p->q, p->qn);

		if (k < 0 && errno == EAGAIN)
			return;
		if (k <= 0) {
			shut(&p->in); /* nobody reads; what was sent is void */
			k = (ssize_t)p->qn;
		}
		memmove(p->q, p->q + k, p->qn - (size_t)k);
		p->qn -= (size_t)k;
		out_u32(p->id, AW_CREDIT, (uint32_t)k);
	}
	if (!p->qn && p->q_end)
		shut(&p->in);
}

void
proc_stdin(uint32_t id, struct aw_rd *r)
{
	struct proc *p = find(id);
	size_t n = r->n;
	const unsigned char *b = aw_take(r, n);

	if (!p)
		return;
	if (p->in < 0 || p->q_end) {
		out_u32(id, AW_CREDIT, (uint32_t)n);
		return;
	}
	if (!p->q && !(p->q = malloc(AW_STDIN_WINDOW)))
		broken();
	if (p->qn + n > AW_STDIN_WINDOW)
		broken();
	memcpy(p->q + p->qn, b, n);
	p->qn += n;
	stdin_flush(p);
}

void
proc_stdin_end(uint32_t id)
{
	struct proc *p = find(id);

	if (!p)
		return;
	p->q_end = true;
	stdin_flush(p);
}

void
proc_signal(uint32_t id, struct aw_rd *r)
{
	struct proc *p = find(id);
	uint32_t sig = aw_u32(r);

	if (p && sig > 0 && sig < NSIG)
		tree_signal(p->pid, (int)sig);
}

void
proc_resize(uint32_t id, struct aw_rd *r)
{
	struct proc *p = find(id);
	struct winsize w = {0};

	w.ws_col = aw_u16(r);
	w.ws_row = aw_u16(r);
	if (p && p->pty && p->out[0] >= 0)
		ioctl(p->out[0], TIOCSWINSZ, &w);
}

bool
proc_grant(uint32_t id, uint32_t n)
{
	struct proc *p = find(id);

	if (!p)
		return false;
	if (n > UINT32_MAX - p->credit)
		broken();
	p->credit += n;
	return true;
}

/* ---- output and exit ---- */

/* False when there is nothing to read now. */
static bool
pump(struct proc *p, int i)
{
	static unsigned char b[AW_CHUNK];
	unsigned char stream = (unsigned char)(p->pty ? 3 : i + 1);
	size_t want = sizeof b;
	ssize_t k;

	if (!p->done && p->credit < want)
		want = p->credit;
	if (p->pty && want > AW_CHUNK / 2)
		want = AW_CHUNK / 2;
	k = read(p->out[i], b, want);
	if (k < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (k <= 0) {
		shut(&p->out[i]); /* end, or EIO: the last slave was closed */
		return false;
	}
	if (p->done)
		return true;
	p->credit -= (uint32_t)k;
	out_frame2(p->id, AW_OUT, &stream, 1, b, (size_t)k);
	return true;
}

static bool
may_read(const struct proc *p)
{
	return p->done || (p->credit && out_room());
}

void
proc_reap(void)
{
	int st, pid;

	while ((pid = waitpid(-1, &st, WNOHANG)) > 0)
		for (size_t i = 0; i < AG_PROCS; i++) {
			struct proc *p = &procs[i];

			if (!p->used || p->exited || p->pid != pid)
				continue;
			p->exited = true;
			p->status = st;
			/* a box full of forks is why the next one failed */
			p->tasks = st ? tree_count() : 0;
			p->drain_until = now_ms() + DRAIN_MS;
		}
}

static void
finish(struct proc *p)
{
	unsigned char b[9];

	if (p->out[0] >= 0 || p->out[1] >= 0) {
		if (now_ms() < p->drain_until || !may_read(p))
			return;
		/* the last look: what the leader wrote is already in the pipe */
		for (int i = 0; i < 2; i++)
			if (p->out[i] >= 0 && pump(p, i))
				return;
	}
	b[0] = WIFSIGNALED(p->status);
	aw_store(b + 1, (uint32_t)(b[0] ? WTERMSIG(p->status) : WEXITSTATUS(p->status)), 4);
	aw_store(b + 5, p->tasks, 4);
	out_frame(p->id, AW_EXIT, b, sizeof b);
	p->done = true;
	shut(&p->in);
	free(p->q);
	p->q = NULL;
	p->qn = 0;
}

void
proc_watch(void)
{
	for (size_t i = 0; i < AG_PROCS; i++) {
		struct proc *p = &procs[i];

		if (!p->used)
			continue;
		p->wi = p->qn ? watch(p->in, POLLOUT) : -1;
		for (int k = 0; k < 2; k++)
			p->ri[k] = may_read(p) ? watch(p->out[k], POLLIN) : -1;
	}
}

void
proc_ready(void)
{
	for (size_t i = 0; i < AG_PROCS; i++) {
		struct proc *p = &procs[i];

		if (!p->used)
			continue;
		if (fired(p->wi))
			stdin_flush(p);
		for (int k = 0; k < 2; k++)
			if (fired(p->ri[k]))
				for (int n = 0;
				     n < 8 && p->out[k] >= 0 && may_read(p) && pump(p, k); n++)
					;
		p->wi = p->ri[0] = p->ri[1] = -1;
		if (p->exited && !p->done)
			finish(p);
		if (p->done && p->out[0] < 0 && p->out[1] < 0)
			drop(p);
	}
}

int
proc_timeout_ms(void)
{
	int64_t left = -1, now = now_ms();

	for (size_t i = 0; i < AG_PROCS; i++) {
		const struct proc *p = &procs[i];

		if (!p->used || !p->exited || p->done || !may_read(p))
			continue;
		int64_t d = p->drain_until > now ? p->drain_until - now : 0;

		if (left < 0 || d < left)
			left = d;
	}
	return (int)left;
}
