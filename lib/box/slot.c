/*
 * Pairs of subordinate ids. A slot is a user namespace in which 1000 (the programs) and 1001
 * (the agent) are ids of the host that no other box has. Its 0, which only the mount of
 * devpts asks for, is one that nobody ever runs under; 1002 is us, so that bubblewrap may
 * read what is ours while it sets the box up.
 */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/path.h>

#define OURS 1002
#define SUBID_MAX AZ_MIB(1)
#define FREE_MS 5000

/* "name:first:count" of /etc/subuid, by name or number; false without a line of ours. */
static bool
range_of(const char *file, const char *name, uint32_t *first, uint32_t *count)
{
	struct az_buf b;
	struct az_str rest, line, who, from;
	char number[16];
	bool found = false;

	snprintf(number, sizeof number, "%u", (unsigned)geteuid());
	az_buf_init(&b, SUBID_MAX);
	if (az_read_file(file, SUBID_MAX, &b, NULL))
		goto out;
	rest = az_buf_str(&b);
	while (!found && az_str_line(&rest, &line)) {
		int64_t f, n;

		if (!az_str_cut(&line, ':', &who) || !az_str_cut(&line, ':', &from) ||
		    (!az_str_eqc(who, name) && !az_str_eqc(who, number)) ||
		    !az_str_to_i64(from, 1, UINT32_MAX - 1, &f) ||
		    !az_str_to_i64(az_str_trim(line), 1, UINT32_MAX - f, &n))
			continue;
		*first = (uint32_t)f;
		*count = (uint32_t)n;
		found = true;
	}
out:
	az_buf_release(&b);
	return found;
}

/* ---- making a namespace ---- */

/* In a forked child: stand in a new namespace until killed. */
static void __attribute__((noreturn)) stand(int ready)
{
	char c = 'y';

	/* not the pipe of another that is being made at this moment */
	if (dup2(ready, 0) < 0 || syscall(SYS_close_range, 1u, ~0u, 0u) < 0 ||
	    unshare(CLONE_NEWUSER) < 0)
		_exit(1);
	/* newuidmap serves the owner of /proc/PID, and that is root's of what cannot be dumped */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write(0, &c, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static bool
map(const char *tool, pid_t pid, uint32_t first, uint32_t at, uint32_t own)
{
	static char none[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char num[14][16], *argv[15], *const envp[] = {none, NULL};
	const uint32_t v[] = {
	    (uint32_t)pid, 0, first, 1, BOX_UID, at + 1, 1, BOX_AGENT_UID, at, 1, OURS, own, 1};
	size_t n = 0;
	char name[32];
	int st;
	pid_t kid;

	snprintf(name, sizeof name, "%s", tool);
	argv[n++] = name;
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		snprintf(num[i], sizeof num[i], "%u", v[i]);
		argv[n++] = num[i];
	}
	argv[n] = NULL;
	kid = fork();
	if (!kid) {
		int null = open("/dev/null", O_RDWR);

		for (int i = 0; i < 3; i++)
			dup2(null, i);
		syscall(SYS_close_range, 3u, ~0u, 0u);
		execvpe(name, argv, envp);
		_exit(127);
	}
	if (kid < 0)
		return false;
	while (waitpid(kid, &st, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(st) && !WEXITSTATUS(st);
}

/* The namespace of slot k, or -1. */
static int
make(const struct slots *t, uint32_t k)
{
	int ready[2], fd = -1, st;
	uint32_t at = 1 + 2 * k;
	char path[64], c;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (!pid)
		stand(ready[1]);
	close(ready[1]);
	if (pid > 0 && read(ready[0], &c, 1) == 1 &&
	    map("newuidmap", pid, t->uid, t->uid + at, (uint32_t)geteuid()) &&
	    map("newgidmap", pid, t->gid, t->gid + at, (uint32_t)getegid())) {
		snprintf(path, sizeof path, "/proc/%d/ns/user", (int)pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	close(ready[0]);
	if (pid > 0)
		kill(pid, SIGKILL);
	while (pid > 0 && waitpid(pid, &st, 0) < 0 && errno == EINTR)
		;
	return fd;
}

/* ---- slots ---- */

void
slots_open(struct az_box_server *s, unsigned need)
{
	struct slots *t = &s->slots;
	struct passwd pw, *who = NULL;
	char text[1024];
	uint32_t uids = 0, gids = 0, pairs;
	const char *why = NULL;

	if (getpwuid_r(geteuid(), &pw, text, sizeof text, &who))
		who = NULL;
	if (!range_of("/etc/subuid", who ? who->pw_name : "", &t->uid, &uids) ||
	    !range_of("/etc/subgid", who ? who->pw_name : "", &t->gid, &gids)) {
		why = "no subordinate ids";
		goto out;
	}
	pairs = ((uids < gids ? uids : gids) - 1) / 2;
	if (pairs < need) {
		why = "too few subordinate ids";
		goto out;
	}
	t->pairs = pairs;
	t->v = calloc(need, sizeof *t->v);
	if (!t->v) {
		why = "out of memory";
		goto out;
	}
	/* another server of this user takes others, most likely */
	t->first = (uint32_t)az_random_below(pairs - need + 1);
	for (unsigned i = 0; i < need; i++)
		t->v[i] = (struct slot){.ns = -1};
	t->n = need;
	t->v[0].ns = make(t, t->first);
	if (t->v[0].ns < 0) {
		why = "newuidmap and newgidmap do not serve us";
		free(t->v);
		t->v = NULL;
		t->n = 0;
	}
out:
	snprintf(t->why, sizeof t->why, "%s", why ? why : "");
}

void
slots_close(struct az_box_server *s)
{
	for (unsigned i = 0; i < s->slots.n; i++)
		if (s->slots.v[i].ns >= 0)
			close(s->slots.v[i].ns);
	free(s->slots.v);
	s->slots.v = NULL;
	s->slots.n = 0;
}

enum az_code
slot_alloc(struct az_box_server *s, int *slot, struct az_err *err)
{
	struct slots *t = &s->slots;
	int64_t deadline = az_boot_ms() + FREE_MS;
	unsigned i;

	*slot = -1;
	if (!t->n)
		return AZ_OK;
	pthread_mutex_lock(&s->mu);
	do {
		for (i = 0; i < t->n && t->v[i].taken; i++)
			;
		/* those that are being buried give theirs back */
	} while (i == t->n && az_cond_wait(&s->changed, &s->mu, deadline));
	if (i < t->n)
		t->v[i].taken = true;
	pthread_mutex_unlock(&s->mu);
	if (i == t->n)
		return az_fail(err, AZ_EUNAVAIL, "box.slot", "no pair of ids is free");
	if (t->v[i].ns < 0)
		t->v[i].ns = make(t, t->first + i);
	*slot = (int)i;
	if (t->v[i].ns >= 0)
		return AZ_OK;
	slot_free(s, *slot);
	*slot = -1;
	return az_fail(err, AZ_EUNAVAIL, "box.slot", "newuidmap and newgidmap do not serve us");
}

void
slot_free(struct az_box_server *s, int slot)
{
	if (slot < 0)
		return;
	pthread_mutex_lock(&s->mu);
	s->slots.v[slot].taken = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}

int
slot_ns(const struct az_box_server *s, int slot)
{
	return slot < 0 ? -1 : s->slots.v[slot].ns;
}

int
slot_ns_of(const struct az_box_server *s, uint32_t uid)
{
	const struct slots *t = &s->slots;

	/* the users' are the even ones after the first */
	if (!t->n || uid < t->uid + 2 || (uid - t->uid) % 2 || uid - t->uid > 2 * t->pairs)
		return -1;
	return make(t, (uid - t->uid) / 2 - 1);
}
