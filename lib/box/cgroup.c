/* Limits by control groups: v2 where delegated, else v1 directories given to us. */
#include "box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
at(char out[600], const char *dir, const char *name, const char *file)
{
	int n = snprintf(out, 600, "%s/%s%s%s", dir, name, *file ? "/" : "", file);

	return n > 0 && n < 600;
}

static bool
put(const char *dir, const char *name, const char *file, int64_t v)
{
	char path[600], b[32];
	int fd, n = snprintf(b, sizeof b, "%lld", (long long)v);
	bool ok;

	if (!at(path, dir, name, file) || (fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
		return false;
	ok = write(fd, b, (size_t)n) == n;
	close(fd);
	return ok;
}

static bool
put_text_at(const char *dir, const char *file, const char *text)
{
	char path[600];
	int fd;
	bool ok;

	if (!at(path, dir, file, "") || (fd = open(path, O_WRONLY | O_CLOEXEC)) < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static size_t
get(const char *dir, const char *name, const char *file, char *b, size_t size)
{
	char path[600];
	ssize_t n;
	int fd;

	b[0] = 0;
	if (!at(path, dir, name, file) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	n = read(fd, b, size - 1);
	close(fd);
	b[n > 0 ? n : 0] = 0;
	return n > 0 ? (size_t)n : 0;
}

static bool
has(const char *dir, const char *file)
{
	char path[600];

	return at(path, dir, file, "") && !access(path, F_OK);
}

/* ---- which mode ---- */

static bool
open_v2(struct cgroups *c, const char *dir)
{
	char b[512];

	/* fails harmlessly where it is on already or not ours to turn on */
	put_text_at(dir, "cgroup.subtree_control", "+memory +pids");
	put_text_at(dir, "cgroup.subtree_control", "+cpu");
	get(dir, "cgroup.subtree_control", "", b, sizeof b);
	if (!strstr(b, "memory") || !strstr(b, "pids"))
		return false;
	c->dir[CG_MEMORY] = az_str_dup(az_str_c(dir));
	c->mode = CG_V2;
	return c->dir[CG_MEMORY] != NULL;
}

enum az_code
cg_open(struct cgroups *c, const char *list, struct az_err *err)
{
	/* files that tell which controller a v1 directory belongs to */
	static const char *const mark[CG_KINDS] = {
	    "memory.limit_in_bytes", "pids.current", "cpu.cfs_quota_us", "freezer.state"};
	struct az_str rest = az_str_c(list), part;

	*c = (struct cgroups){.mode = CG_NONE};
	while (list && az_str_cut(&rest, ',', &part)) {
		char *dir;

		part = az_str_trim(part);
		if (!part.n)
			continue;
		dir = az_str_dup(part);
		if (!dir)
			return az_fail(err, AZ_ENOMEM, "box.cgroup", "out of memory");
		if (access(dir, W_OK | X_OK) < 0) {
			az_log(AZ_WARN, "box.cgroup", AZ_KC("dir", dir),
			    AZ_KC("err", "not writable, left out"));
		} else if (has(dir, "cgroup.controllers")) {
			if (c->mode != CG_V1 && !c->dir[CG_MEMORY])
				open_v2(c, dir);
		} else if (c->mode != CG_V2) {
			for (int k = 0; k < CG_KINDS; k++)
				if (!c->dir[k] && has(dir, mark[k])) {
					c->dir[k] = dir;
					dir = NULL;
					break;
				}
		}
		free(dir);
	}
	if (c->mode == CG_NONE && c->dir[CG_MEMORY] && c->dir[CG_PIDS])
		c->mode = CG_V1;
	if (c->mode == CG_NONE)
		cg_release(c);
	return AZ_OK;
}

void
cg_release(struct cgroups *c)
{
	for (int k = 0; k < CG_KINDS; k++)
		free(c->dir[k]);
	*c = (struct cgroups){.mode = CG_NONE};
}

const char *
cg_mode_name(enum cg_mode m)
{
	return m == CG_V2 ? "v2" : m == CG_V1 ? "v1" : "rlimits";
}

/* ---- one box ---- */

static bool
limit(const struct cgroups *c, const char *name, const struct cg_limits *l)
{
	const char *m = c->dir[CG_MEMORY];
	char b[64];
	bool ok;

	/* bwrap's monitor and the agent count too */
	if (c->mode == CG_V1) {
		ok = put(m, name, "memory.limit_in_bytes", l->memory) &&
		     put(c->dir[CG_PIDS], name, "pids.max", l->pids + 2);
		put(m, name, "memory.memsw.limit_in_bytes", l->memory);
		if (c->dir[CG_CPU]) {
			put(c->dir[CG_CPU], name, "cpu.cfs_period_us", 100000);
			put(c->dir[CG_CPU], name, "cpu.cfs_quota_us", (int64_t)l->cpu_pct * 1000);
		}
		return ok;
	}
	ok = put(m, name, "memory.max", l->memory) && put(m, name, "pids.max", l->pids + 2);
	put(m, name, "memory.swap.max", 0);
	snprintf(b, sizeof b, "%d 100000", l->cpu_pct * 1000);
	{
		char sub[600];

		if (at(sub, m, name, ""))
			put_text_at(sub, "cpu.max", b);
	}
	return ok;
}

enum az_code
cg_make(const struct cgroups *c, const char *name, const struct cg_limits *lim, int procs[CG_KINDS],
    struct az_err *err)
{
	char path[600];
	enum az_code rc = AZ_OK;

	for (int k = 0; k < CG_KINDS; k++)
		procs[k] = -1;
	for (int k = 0; k < CG_KINDS; k++) {
		if (!c->dir[k])
			continue;
		if (!at(path, c->dir[k], name, "") || (mkdir(path, 0700) < 0 && errno != EEXIST) ||
		    !at(path, c->dir[k], name, "cgroup.procs") ||
		    (procs[k] = open(path, O_WRONLY | O_CLOEXEC)) < 0) {
			rc = az_fail_errno(
			    err, AZ_EUNAVAIL, "box.cgroup", "cannot make a control group");
			goto out;
		}
	}
	if (c->mode != CG_NONE && !limit(c, name, lim))
		rc = az_fail_errno(err, AZ_EUNAVAIL, "box.cgroup", "cannot set limits");
out:
	if (rc) {
		for (int k = 0; k < CG_KINDS; k++)
			if (procs[k] >= 0) {
				close(procs[k]);
				procs[k] = -1;
			}
		cg_remove(c, name);
	}
	return rc;
}

/* The number after "key " at the start of a line; dflt without one. */
static int64_t
field(const char *text, const char *key, int64_t dflt)
{
	size_t n = strlen(key);
	struct az_str rest = az_str_c(text), line;
	int64_t v = 0;

	while (az_str_line(&rest, &line))
		if (line.n > n + 1 && !memcmp(line.p, key, n) && line.p[n] == ' ' &&
		    az_str_to_i64(az_str_trim(az_str_sub(line, n + 1, line.n)), 0, INT64_MAX, &v))
			return v;
	return dflt;
}

int64_t
cg_oom_kills(const struct cgroups *c, const char *name)
{
	char b[1024];

	if (c->mode == CG_NONE)
		return 0;
	get(c->dir[CG_MEMORY], name, c->mode == CG_V2 ? "memory.events" : "memory.oom_control", b,
	    sizeof b);
	return field(b, "oom_kill", 0);
}

int64_t
cg_pids_hits(const struct cgroups *c, const char *name)
{
	char b[1024];

	if (c->mode == CG_NONE)
		return 0;
	get(c->dir[c->mode == CG_V2 ? CG_MEMORY : CG_PIDS], name, "pids.events", b, sizeof b);
	return field(b, "max", 0);
}

int64_t
cg_memory_used(const struct cgroups *c, const char *name)
{
	char b[64];
	int64_t v;

	if (c->mode == CG_NONE)
		return -1;
	get(c->dir[CG_MEMORY], name, c->mode == CG_V2 ? "memory.current" : "memory.usage_in_bytes",
	    b, sizeof b);
	return az_str_to_i64(az_str_trim(az_str_c(b)), 0, INT64_MAX, &v) ? v : -1;
}

int64_t
cg_memory_cache(const struct cgroups *c, const char *name)
{
	char b[8192];
	int64_t files, shared;

	if (c->mode == CG_NONE)
		return 0;
	get(c->dir[CG_MEMORY], name, "memory.stat", b, sizeof b);
	files = field(b, c->mode == CG_V2 ? "file" : "cache", 0);
	/* what a tmpfs holds is on that account too, and cannot be dropped */
	shared = field(b, "shmem", 0);
	return files > shared ? files - shared : 0;
}

int64_t
cg_cpu_us(const struct cgroups *c, const char *name)
{
	char b[1024];

	if (c->mode != CG_V2)
		return -1;
	get(c->dir[CG_MEMORY], name, "cpu.stat", b, sizeof b);
	return field(b, "usage_usec", -1);
}

/* ---- freezing ---- */

enum cg_freezer
cg_freezer(const struct cgroups *c)
{
	if (c->mode == CG_V2)
		return has(c->dir[CG_MEMORY], "cgroup.freeze") ? CG_FREEZE_V2 : CG_FREEZE_NONE;
	return c->mode == CG_V1 && c->dir[CG_FREEZER] ? CG_FREEZE_V1 : CG_FREEZE_NONE;
}

static bool
frozen(const struct cgroups *c, const char *name)
{
	char b[512];

	if (c->mode == CG_V2) {
		get(c->dir[CG_MEMORY], name, "cgroup.events", b, sizeof b);
		return field(b, "frozen", 0) == 1;
	}
	get(c->dir[CG_FREEZER], name, "freezer.state", b, sizeof b);
	return !strncmp(b, "FROZEN", 6);
}

static bool
set_frozen(const struct cgroups *c, const char *name, bool on)
{
	char dir[600];

	if (c->mode == CG_V2)
		return put(c->dir[CG_MEMORY], name, "cgroup.freeze", on);
	return at(dir, c->dir[CG_FREEZER], name, "") &&
	       put_text_at(dir, "freezer.state", on ? "FROZEN" : "THAWED");
}

bool
cg_freeze(const struct cgroups *c, const char *name, int64_t deadline_ms)
{
	if (!set_frozen(c, name, true))
		return false;
	while (!frozen(c, name)) {
		if (az_boot_ms() >= deadline_ms) {
			set_frozen(c, name, false);
			return false;
		}
		poll(NULL, 0, 2);
		/* v1 stops looking for those that forked meanwhile unless asked again */
		set_frozen(c, name, true);
	}
	return true;
}

bool
cg_thaw(const struct cgroups *c, const char *name)
{
	return cg_freezer(c) != CG_FREEZE_NONE && set_frozen(c, name, false);
}

/* ---- the end ---- */

static void
kill_listed(const char *dir, const char *name)
{
	char b[4096];
	struct az_str rest, line;
	int64_t pid;

	put(dir, name, "cgroup.kill", 1);
	rest = az_str_n(b, get(dir, name, "cgroup.procs", b, sizeof b));
	while (az_str_line(&rest, &line))
		if (az_str_to_i64(line, 2, INT32_MAX, &pid))
			kill((pid_t)pid, SIGKILL);
}

void
cg_remove(const struct cgroups *c, const char *name)
{
	char path[600];

	for (int k = 0; k < CG_KINDS; k++) {
		if (!c->dir[k] || !at(path, c->dir[k], name, ""))
			continue;
		/* the group empties when the last dead process is off its books */
		for (int i = 0; i < 200; i++) {
			if (!rmdir(path) || errno == ENOENT)
				break;
			/* who is frozen does not die before it is thawed */
			cg_thaw(c, name);
			kill_listed(c->dir[k], name);
			poll(NULL, 0, 5);
		}
	}
}

void
cg_sweep(const struct cgroups *c)
{
	for (int k = 0; k < CG_KINDS; k++) {
		DIR *d = c->dir[k] ? opendir(c->dir[k]) : NULL;
		struct dirent *e;

		while (d && (e = readdir(d)))
			if (box_id_ok(e->d_name))
				cg_remove(c, e->d_name);
		if (d)
			closedir(d);
	}
}
