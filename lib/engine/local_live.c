/*
 * The file "live": which workers there are and the latest heartbeat of every
 * function that runs. Plain reads and writes, no fsync, no mapping (a full disk is an
 * error, not a signal). It is worth nothing after a reboot and is then emptied.
 *
 *   0      head: magic, boot id
 *   4096   64 workers
 *   8192   runs whose fold killed a worker (local_fold.c)
 *   12288  1024 slots of 24 KiB: head, details
 *          then, for each worker, the folds under way (local_fold.c)
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "local.h"

/* How late the crash of the last worker may be noticed by who asks if there is one. */
enum { LIVE_NEWS_MS = 100 };

struct head {
	char magic[8];
	char boot[40];
};

struct slot {
	int64_t token;
	uint64_t seq, sum;
	uint32_t n, pad;
};

_Static_assert(sizeof(struct live_worker) * LIVE_WORKERS <= LIVE_CRASHES_AT - LIVE_WORKERS_AT,
    "the registry fits");
_Static_assert(sizeof(struct slot) + LOCAL_HEARTBEAT_BYTES <= LIVE_SLOT_BYTES, "a heartbeat fits");

static bool
put(int fd, const void *p, size_t n, off_t at)
{
	return pwrite(fd, p, n, at) == (ssize_t)n;
}

enum az_code
live_open(struct live *l, int dirfd, struct az_err *err)
{
	static const char none[LIVE_SLOTS_AT - LIVE_WORKERS_AT];
	struct head want = {.magic = "AZLIVE1"}, have = {0};
	struct stat st;

	snprintf(want.boot, sizeof want.boot, "%s", az_boot_id());
	l->fd = openat(dirfd, "live", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (l->fd < 0 || fstat(l->fd, &st) < 0)
		goto fail;
	if (st.st_size == 0 && fchmod(l->fd, 0660) < 0)
		goto fail;
	if (pread(l->fd, &have, sizeof have, 0) == (ssize_t)sizeof have &&
	    memcmp(&have, &want, sizeof have) == 0)
		return AZ_OK;
	if (!put(l->fd, none, sizeof none, LIVE_WORKERS_AT) || !put(l->fd, &want, sizeof want, 0))
		goto fail;
	return AZ_OK;
fail:
	az_fail_errno(err, AZ_EIO, "engine.open", "the file live");
	az_err_reason(err, "engine");
	return AZ_EIO;
}

void
live_close(struct live *l)
{
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
}

/* Start time of a process in clock ticks: with the pid it is unique. 0 when it is
   dead, be it unburied. */
static uint64_t
proc_start(int32_t pid)
{
	char path[40], buf[1024];
	struct az_str rest, field = {0};
	int64_t v;
	ssize_t n;
	int fd;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, buf, sizeof buf);
	close(fd);
	if (n <= 0)
		return 0;
	rest = az_str_n(buf, (size_t)n);
	/* the name in parentheses may hold anything */
	rest = az_str_sub(rest, (size_t)(az_str_rchr(rest, ')') + 2), rest.n);
	for (int i = 3; i <= 22; i++)
		if (!az_str_cut(&rest, ' ', &field) ||
		    (i == 3 && (az_str_eqc(field, "Z") || az_str_eqc(field, "X"))))
			return 0;
	return az_str_to_i64(field, 0, INT64_MAX, &v) ? (uint64_t)v : 0;
}

static uint64_t
pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : (uint64_t)st.st_ino;
}

bool
live_workers(struct live *l, struct live_worker w[LIVE_WORKERS])
{
	size_t n = sizeof *w * LIVE_WORKERS;

	return pread(l->fd, w, n, LIVE_WORKERS_AT) == (ssize_t)n;
}

bool
live_ok(const struct live_worker *w, int64_t now)
{
	if (!w->id || now - w->seen > LOCAL_LEASE_MS)
		return false;
	if (w->ns != pid_namespace())
		return true; /* its pid says nothing here */
	if (w->pid == getpid())
		return true;
	return proc_start(w->pid) == w->start;
}

bool
live_gone(const struct live_worker *w, int64_t now)
{
	if (!w->id || live_ok(w, now))
		return false;
	return w->ns != pid_namespace() || (w->pid != getpid() && proc_start(w->pid) != w->start);
}

bool
live_any(struct live *l)
{
	struct live_worker w[LIVE_WORKERS];
	int64_t now = az_boot_ms();

	if (!live_workers(l, w))
		return false;
	/* to ask after a process costs more than all else of a read */
	if (now < atomic_load(&l->lives_until))
		for (int i = 0; i < LIVE_WORKERS; i++)
			if (w[i].state == 1 && w[i].id == atomic_load(&l->lives) &&
			    now - w[i].seen <= LOCAL_LEASE_MS)
				return true;
	for (int i = 0; i < LIVE_WORKERS; i++) {
		if (w[i].state != 1 || !live_ok(&w[i], now)) /* dead at once, be it unburied */
			continue;
		atomic_store(&l->lives, w[i].id);
		atomic_store(&l->lives_until, now + LIVE_NEWS_MS);
		return true;
	}
	return false;
}

static off_t
entry_at(int index)
{
	return LIVE_WORKERS_AT + (off_t)index * (off_t)sizeof(struct live_worker);
}

int
live_enter(struct live *l, uint64_t id)
{
	struct live_worker w[LIVE_WORKERS], mine = {.id = id, .state = 1};
	int64_t now = az_boot_ms();

	if (!live_workers(l, w))
		return -1;
	for (int i = 0; i < LIVE_WORKERS; i++) {
		if (live_ok(&w[i], now))
			continue;
		mine.seen = now;
		mine.pid = getpid();
		mine.start = proc_start(mine.pid);
		mine.ns = pid_namespace();
		return put(l->fd, &mine, sizeof mine, entry_at(i)) ? i : -1;
	}
	return -1;
}

/* Somebody may have taken the entry while we were stopped. */
static bool
ours(struct live *l, int index, uint64_t id, struct live_worker *w)
{
	return pread(l->fd, w, sizeof *w, entry_at(index)) == (ssize_t)sizeof *w && w->id == id;
}

bool
live_touch(struct live *l, int index, uint64_t id, uint32_t state)
{
	struct live_worker w;

	if (!ours(l, index, id, &w))
		return false;
	w.seen = az_boot_ms();
	w.state = state;
	(void)put(l->fd, &w, sizeof w, entry_at(index));
	return true;
}

void
live_leave(struct live *l, int index, uint64_t id)
{
	struct live_worker w;

	if (!ours(l, index, id, &w))
		return;
	memset(&w, 0, sizeof w);
	(void)put(l->fd, &w, sizeof w, entry_at(index));
}

static off_t
slot_at(int slot)
{
	return LIVE_SLOTS_AT + (off_t)slot * LIVE_SLOT_BYTES;
}

static uint64_t
sum_of(const struct slot *s, const char *p)
{
	uint64_t h = (uint64_t)s->token ^ (s->seq << 20) ^ s->n;

	for (uint32_t i = 0; i < s->n; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return h;
}

bool
slot_put(struct live *l, int slot, int64_t token, uint64_t seq, struct az_str details)
{
	struct slot s = {.token = token, .seq = seq, .n = (uint32_t)details.n};
	struct iovec io[2];
	size_t all = sizeof s + details.n;

	if (slot < 0 || details.n > LOCAL_HEARTBEAT_BYTES)
		return false;
	s.sum = sum_of(&s, details.p);
	io[0] = (struct iovec){.iov_base = &s, .iov_len = sizeof s};
	/* struct iovec has no const; pwritev only reads */
	io[1].iov_len = details.n;
	memcpy(&io[1].iov_base, &details.p, sizeof details.p);
	return pwritev(l->fd, io, details.n ? 2 : 1, slot_at(slot)) == (ssize_t)all;
}

bool
slot_clear(struct live *l, int slot, int64_t token)
{
	return slot_put(l, slot, token, 0, AZ_S(""));
}

uint64_t
slot_seq(struct live *l, int slot, int64_t token)
{
	struct slot s;

	if (slot < 0 || pread(l->fd, &s, sizeof s, slot_at(slot)) != (ssize_t)sizeof s ||
	    s.token != token)
		return 0;
	return s.seq;
}

struct az_str
slot_get(struct live *l, int slot, int64_t token, struct az_arena *a)
{
	struct slot s;
	char *p;

	/* a write may be under way: the sum tells, a second look is enough */
	for (int tries = 0; slot >= 0 && tries < 3; tries++) {
		if (pread(l->fd, &s, sizeof s, slot_at(slot)) != (ssize_t)sizeof s ||
		    s.token != token || s.n == 0 || s.n > LOCAL_HEARTBEAT_BYTES)
			break;
		p = az_arena_alloc(a, s.n + 1);
		if (!p)
			break;
		if (pread(l->fd, p, s.n, slot_at(slot) + (off_t)sizeof s) == (ssize_t)s.n &&
		    sum_of(&s, p) == s.sum)
			return az_str_n(p, s.n);
	}
	return AZ_S("");
}
