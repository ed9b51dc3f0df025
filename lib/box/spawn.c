/* Starting bubblewrap: its arguments, and the one thread that forks. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct spawner {
	const struct az_box_server *s;
	pthread_t thread;
	pthread_mutex_t mu, one; /* one: callers take turns */
	pthread_cond_t cond;
	struct spawn *job;
	struct az_err *err;
	enum az_code rc;
	bool done, stop;
};

/* ---- arguments: NUL-separated, through a descriptor, never in argv ---- */

static void
arg(struct az_buf *b, const char *s)
{
	az_buf_add(b, s, strlen(s) + 1);
}

#define ARGS(b, ...) args((b), (const char *const[]){__VA_ARGS__, NULL})
static void
args(struct az_buf *b, const char *const *v)
{
	for (; *v; v++)
		arg(b, *v);
}

static bool
join(char out[600], const char *root, const char *rest)
{
	int n = snprintf(out, 600, "%s%s", root, rest);

	return n > 0 && n < 600;
}

/* /bin and friends: links into /usr on merged systems, directories on others. root is ""
   for the host's. */
static void
system_dirs(struct az_buf *b, const char *root)
{
	static const char *const dirs[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
	char from[600];

	if (join(from, root, "/usr"))
		ARGS(b, "--ro-bind", from, "/usr");
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		char to[256];
		ssize_t n;

		if (!join(from, root, dirs[i]))
			continue;
		n = readlink(from, to, sizeof to - 1);
		if (n > 0) {
			to[n] = 0;
			ARGS(b, "--symlink", to, dirs[i]);
		} else if (!access(from, F_OK)) {
			ARGS(b, "--ro-bind", from, dirs[i]);
		}
	}
}

/* Of the host as little as possible; of a template all but what speaks of users and names. */
static void
etc_dir(struct az_buf *b, const struct az_box_server *s, const char *root)
{
	static const char *const shared[] = {"/etc/ssl/certs", "/etc/alternatives", "/etc/fonts"};
	char etc[600], from[600], to[64];
	const char *name;

	if (!root[0]) {
		snprintf(etc, sizeof etc, "%s/etc", s->dir);
		ARGS(b, "--ro-bind", etc, "/etc");
		for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
			ARGS(b, "--ro-bind-try", shared[i], shared[i]);
		return;
	}
	if (join(etc, root, "/etc"))
		ARGS(b, "--ro-bind", etc, "/etc");
	for (size_t i = 0; (name = etc_ours(i)); i++) {
		struct stat st;

		snprintf(to, sizeof to, "/etc/%s", name);
		if (!join(from, root, to) || lstat(from, &st) < 0 || !S_ISREG(st.st_mode))
			continue; /* nothing to mount it on */
		snprintf(from, sizeof from, "%s/etc/%s", s->dir, name);
		ARGS(b, "--ro-bind", from, to);
	}
	if (join(from, root, "/var/lib"))
		ARGS(b, "--ro-bind-try", from, "/var/lib");
}

/* A name that people expect, where the system has only another. */
static void
alias(struct az_buf *b, const char *root, const char *name, const char *target)
{
	char path[600], to[64];

	snprintf(path, sizeof path, "%s/usr/bin/%s", root, name);
	if (!access(path, F_OK))
		return;
	snprintf(to, sizeof to, "/opt/azlon/bin/%s", name);
	ARGS(b, "--symlink", target, to);
}

static void
proc_masks(struct az_buf *b)
{
	/* what tells about the host, its disks, its kernel's addresses or its boot */
	static const char *const files[] = {"cmdline", "config.gz", "partitions", "diskstats",
	    "kallsyms", "kcore", "keys", "key-users", "modules", "sched_debug", "timer_list",
	    "latency_stats", "swaps", "interrupts", "iomem", "ioports", "sysrq-trigger",
	    "kpagecount", "kpageflags", "vmallocinfo", "slabinfo", "sys/kernel/random/boot_id",
	    "sys/kernel/core_pattern"};
	static const char *const dirs[] = {"acpi", "scsi", "bus", "fs", "irq"};
	char p[64];

	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(p, sizeof p, "/proc/%s", files[i]);
		if (!access(p, F_OK))
			ARGS(b, "--ro-bind", "/dev/null", p);
	}
	for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
		snprintf(p, sizeof p, "/proc/%s", dirs[i]);
		if (!access(p, F_OK))
			ARGS(b, "--size", "4096", "--perms", "0555", "--tmpfs", p, "--remount-ro",
			    p);
	}
}

static void
build_args(struct az_buf *b, const struct az_box_server *s, const struct spawn *j)
{
	const char *root = j->root ? j->root : "";
	char num[32];
	int64_t tmp;

	if (j->ns >= 0)
		/* the agent is born as the user and becomes another: what bwrap makes
		   belongs to the user, as everywhere */
		ARGS(b, "--userns", "6", "--cap-drop", "ALL", "--cap-add", "CAP_SETUID",
		    "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_KILL");
	else
		ARGS(b, "--unshare-user", "--cap-drop", "ALL");
	snprintf(num, sizeof num, "%d", BOX_UID);
	ARGS(b, "--uid", num, "--gid", num, "--unshare-pid", "--unshare-net", "--unshare-ipc",
	    "--unshare-uts", "--unshare-cgroup-try", "--hostname", "e2b.local", "--die-with-parent",
	    "--new-session", "--as-pid-1", "--info-fd", "5", "--seccomp", "4");
	system_dirs(b, root);
	etc_dir(b, s, root);
	ARGS(b, "--proc", "/proc");
	proc_masks(b);
	ARGS(b, "--dev", "/dev");
	/* counted as memory: both together never more than a quarter of it */
	tmp = j->memory / 8 < (int64_t)AZ_LIM_BOX_TMP_BYTES ? j->memory / 8
							    : (int64_t)AZ_LIM_BOX_TMP_BYTES;
	snprintf(num, sizeof num, "%lld", (long long)tmp);
	ARGS(b, "--size", num, "--perms", "1777", "--tmpfs", "/tmp");
	ARGS(b, "--size", num, "--perms", "1777", "--tmpfs", "/dev/shm");
	ARGS(b, "--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp", "--dir",
	    "/opt/azlon/bin");
	alias(b, root, "python", "/usr/bin/python3");
	alias(b, root, "pip", "/usr/bin/pip3");
	if (s->wheels)
		ARGS(b, "--ro-bind", s->wheels, BOX_WHEELS);
	ARGS(b, "--ro-bind", s->agent, "/opt/azlon/agent");
	/* nothing is made under the writable directory by bwrap: hostile names there
	   could lead it out */
	if (j->home) {
		ARGS(b, "--bind", j->home, BOX_HOME);
	} else {
		snprintf(num, sizeof num, "%lld", (long long)j->home_bytes);
		ARGS(b, "--size", num, "--perms", "0755", "--tmpfs", BOX_HOME);
	}
	ARGS(b, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", BOX_HOME);
}

/* ---- the child ---- */

#define FDS 7 /* agent's socket, null, complaints, arguments, filter, info, namespace */

static void
limit(int what, int64_t v)
{
	struct rlimit l = {(rlim_t)v, (rlim_t)v};

	setrlimit((__rlimit_resource_t)what, &l);
}

/* After fork in a threaded process: system calls only. */
static void __attribute__((noreturn))
child(const struct az_box_server *s, const struct spawn *j, const int fd[FDS])
{
	static char a0[] = "bwrap", a1[] = "--args", a2[] = "3", a3[] = "--",
		    a4[] = "/opt/azlon/agent", a5[] = "--pair";
	char *const argv[] = {a0, a1, a2, a3, a4, j->ns >= 0 ? a5 : NULL, NULL};
	int fds = j->ns >= 0 ? FDS : FDS - 1;
	char *const envp[] = {NULL};
	sigset_t none;

	for (int k = 0; k < CG_KINDS; k++)
		if (j->procs[k] >= 0 && write(j->procs[k], "0", 1) != 1)
			_exit(125);
	for (int i = 0; i < fds; i++)
		if (dup2(fd[i], i) < 0)
			_exit(125);
	syscall(SYS_close_range, (unsigned)fds, ~0u, 0u);
	setsid();
	/* the session keyring of whoever started us is inherited otherwise */
	syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, 1024);
	limit(RLIMIT_FSIZE, (int64_t)AZ_LIM_BOX_FILE_BYTES);
	limit(RLIMIT_MEMLOCK, 64 * 1024);
	limit(RLIMIT_MSGQUEUE, 64 * 1024);
	limit(RLIMIT_SIGPENDING, 1024);
	if (j->rlimits)
		limit(RLIMIT_DATA, j->memory);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(s->bwrap, argv, envp);
	dprintf(2, "cannot run %s: %s\n", s->bwrap, strerror(errno));
	_exit(125);
}

/* A sealed-off copy above the numbers the child needs; closes fd. */
static int
high(int fd)
{
	int h = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 32);

	if (fd >= 0)
		close(fd);
	return h;
}

static int
memory_file(const char *name, struct az_str s)
{
	int fd = high(memfd_create(name, MFD_CLOEXEC));

	if (fd >= 0 && (write(fd, s.p, s.n) != (ssize_t)s.n || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static enum az_code
launch(const struct az_box_server *s, struct spawn *j, struct az_err *err)
{
	int sv[2] = {-1, -1}, info[2] = {-1, -1}, ep[2] = {-1, -1};
	int fd[FDS] = {-1, -1, -1, -1, -1, -1, -1};
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	build_args(&b, s, j);
	if ((rc = az_buf_check(&b, "box.spawn", err)))
		goto out;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
	    pipe2(info, O_CLOEXEC) < 0 || pipe2(ep, O_CLOEXEC) < 0)
		goto fail;
	fd[0] = high(sv[1]);
	fd[1] = high(open("/dev/null", O_RDWR | O_CLOEXEC));
	fd[2] = high(ep[1]);
	fd[3] = memory_file("args", az_buf_str(&b));
	fd[4] = memory_file("filter", az_buf_str(&s->bpf));
	fd[5] = high(info[1]);
	sv[1] = ep[1] = info[1] = -1;
	if (j->ns >= 0)
		fd[6] = fcntl(j->ns, F_DUPFD_CLOEXEC, 32);
	for (int i = 0; i < (j->ns >= 0 ? FDS : FDS - 1); i++)
		if (fd[i] < 0)
			goto fail;
	j->pid = fork();
	if (!j->pid)
		child(s, j, fd);
	if (j->pid < 0)
		goto fail;
	j->sock = sv[0];
	j->info = info[0];
	j->err = ep[0];
	sv[0] = info[0] = ep[0] = -1;
	rc = AZ_OK;
	goto out;
fail:
	az_fail_errno(err, AZ_EUNAVAIL, "box.spawn", "cannot start bubblewrap");
	rc = AZ_EUNAVAIL;
out:
	for (int i = 0; i < FDS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	for (int i = 0; i < 2; i++) {
		if (sv[i] >= 0)
			close(sv[i]);
		if (info[i] >= 0)
			close(info[i]);
		if (ep[i] >= 0)
			close(ep[i]);
	}
	az_buf_release(&b);
	return rc;
}

/* ---- the thread ---- */

static void *
spawner_main(void *arg_)
{
	struct spawner *sp = arg_;

	prctl(PR_SET_NAME, "box-spawn");
	pthread_mutex_lock(&sp->mu);
	while (!sp->stop) {
		if (!sp->job || sp->done) {
			pthread_cond_wait(&sp->cond, &sp->mu);
			continue;
		}
		sp->rc = launch(sp->s, sp->job, sp->err);
		sp->done = true;
		pthread_cond_broadcast(&sp->cond);
	}
	pthread_mutex_unlock(&sp->mu);
	return NULL;
}

enum az_code
spawner_open(const struct az_box_server *s, struct spawner **out, struct az_err *err)
{
	struct spawner *sp = calloc(1, sizeof *sp);

	if (!sp)
		return az_fail(err, AZ_ENOMEM, "box.spawn", "out of memory");
	sp->s = s;
	pthread_mutex_init(&sp->mu, NULL);
	pthread_mutex_init(&sp->one, NULL);
	pthread_cond_init(&sp->cond, NULL);
	if (!thread_start(&sp->thread, spawner_main, sp, false)) {
		free(sp);
		return az_fail(err, AZ_EIO, "box.spawn", "cannot start a thread");
	}
	*out = sp;
	return AZ_OK;
}

enum az_code
spawner_run(struct spawner *sp, struct spawn *job, struct az_err *err)
{
	enum az_code rc;

	pthread_mutex_lock(&sp->one);
	pthread_mutex_lock(&sp->mu);
	sp->job = job;
	sp->err = err;
	sp->done = false;
	pthread_cond_broadcast(&sp->cond);
	while (!sp->done)
		pthread_cond_wait(&sp->cond, &sp->mu);
	rc = sp->rc;
	sp->job = NULL;
	pthread_mutex_unlock(&sp->mu);
	pthread_mutex_unlock(&sp->one);
	return rc;
}

void
spawner_close(struct spawner *sp)
{
	if (!sp)
		return;
	pthread_mutex_lock(&sp->mu);
	sp->stop = true;
	pthread_cond_broadcast(&sp->cond);
	pthread_mutex_unlock(&sp->mu);
	pthread_join(sp->thread, NULL);
	pthread_cond_destroy(&sp->cond);
	pthread_mutex_destroy(&sp->mu);
	pthread_mutex_destroy(&sp->one);
	free(sp);
}
