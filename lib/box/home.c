/*
 * A box's home where it is a directory of the host: made, measured and removed by its own
 * user. With a pair of ids that is another than we are: a forked child does it, which has
 * the user's ids and, once it holds the directory, no capability but that to look.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum job { MAKE, USED, EMPTY };

/* What it came to, or -1. System calls only: it runs after fork, too. */
static int64_t
work(enum job what, const char *dir, int64_t max, bool drop)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct few[2] = {{0, 0, 0}, {0, 0, 0}};
	int64_t n = 0;
	int fd;

	if (what == MAKE)
		return mkdir(dir, 0755) < 0 || chmod(dir, 0755) < 0 ? -1 : 0;
	if (what == USED)
		few[0].effective = few[0].permitted = 1u << CAP_DAC_READ_SEARCH;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || (drop && syscall(SYS_capset, &head, few) < 0))
		return -1;
	if (what == USED)
		n = disk_count(fd, max, drop);
	else
		disk_empty(fd);
	close(fd);
	return n;
}

static void __attribute__((noreturn))
as_user(int ns, int out, enum job what, const char *dir, int64_t max)
{
	int64_t n;

	/* from an id that is not 0 to another capabilities stay; connections of the server
	   are not to be held open for as long as this takes */
	if (setns(ns, CLONE_NEWUSER) < 0 || dup2(out, 3) < 0 ||
	    syscall(SYS_close_range, 4u, ~0u, 0u) < 0 || syscall(SYS_setgroups, 0, NULL) < 0 ||
	    syscall(SYS_setresgid, BOX_UID, BOX_UID, BOX_UID) < 0 ||
	    syscall(SYS_setresuid, BOX_UID, BOX_UID, BOX_UID) < 0)
		_exit(1);
	n = work(what, dir, max, true);
	_exit(write(3, &n, sizeof n) != sizeof n);
}

static int64_t
job(int ns, enum job what, const char *dir, int64_t max)
{
	int p[2], st;
	int64_t n = -1;
	pid_t pid;

	if (ns < 0)
		return work(what, dir, max, false);
	if (pipe2(p, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (!pid)
		as_user(ns, p[1], what, dir, max);
	close(p[1]);
	if (pid > 0) {
		if (read(p[0], &n, sizeof n) != sizeof n)
			n = -1;
		while (waitpid(pid, &st, 0) < 0 && errno == EINTR)
			;
	}
	close(p[0]);
	return n;
}

enum az_code
home_make(struct box *b, struct az_err *err)
{
	struct az_box_server *s = b->srv;

	snprintf(b->home, sizeof b->home, "%s/%s", s->dir, b->id);
	if (!job(slot_ns(s, b->slot), MAKE, b->home, 0))
		return AZ_OK;
	b->home[0] = 0;
	return az_fail(err, AZ_EUNAVAIL, "box.home", "cannot make a home in %s", s->dir);
}

int64_t
home_used(const struct box *b, int64_t max)
{
	int64_t n = job(slot_ns(b->srv, b->slot), USED, b->home, max);

	return n < 0 ? 0 : n;
}

static void
empty_and_remove(int ns, const char *dir)
{
	if (job(ns, EMPTY, dir, 0) < 0)
		az_log(AZ_WARN, "box.home", AZ_KC("dir", dir), AZ_KC("err", "cannot be emptied"));
	/* what it stands in is ours */
	rmdir(dir);
}

void
home_remove(struct box *b)
{
	if (b->home[0])
		empty_and_remove(slot_ns(b->srv, b->slot), b->home);
}

void
home_remove_old(const struct az_box_server *s, const char *dir)
{
	struct stat st;
	int ns = -1;

	if (lstat(dir, &st) < 0)
		return;
	if (st.st_uid != geteuid())
		ns = slot_ns_of(s, st.st_uid);
	empty_and_remove(ns, dir);
	if (ns >= 0)
		close(ns);
}
