/* Watches: what happens to the names of a directory, told as far as there is credit. */
#include "notify.h"
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define WATCHERS 64
#define QUEUE_MAX (512u * 1024u) /* of events that have no credit yet */
#define MOVES 32                 /* renames of files we write, between their two events */

struct watcher {
	bool used, recursive, entries;
	uint32_t id;
	int64_t credit;
	char root[AG_PATH];
	unsigned char *q;     /* u8 kind, u32 length, name */
	size_t qn, cap, last; /* last: where the newest begins */
};
static struct watcher watchers[WATCHERS];
static struct {
	uint32_t cookie;
	bool there; /* the name it was moved to stood for a file before */
} moves[MOVES];
static unsigned next_move;
static bool some_lost; /* their directories are still watched */

static void
drop(struct watcher *w)
{
	free(w->q);
	*w = (struct watcher){0};
}

static bool
covers(const struct watcher *w, const char *dir)
{
	return w->used && (w->recursive ? path_below(dir, w->root) : !strcmp(dir, w->root));
}

static bool
unwanted(const char *dir, const char *arg)
{
	(void)arg;
	for (size_t i = 0; i < WATCHERS; i++)
		if (covers(&watchers[i], dir))
			return false;
	return true;
}

static bool
recursive_at(const char *dir)
{
	for (size_t i = 0; i < WATCHERS; i++)
		if (watchers[i].recursive && covers(&watchers[i], dir))
			return true;
	return false;
}

/* Whoever hears of it must not take what it got for all there was. */
static void
lost(struct watcher *w)
{
	fail(w->id, AF_LIMIT, "events were lost: too many at once, or too many directories");
	drop(w);
	some_lost = true;
}

/* ---- the queue of a watcher ---- */

static void
queue(struct watcher *w, enum aw_event kind, const char *name)
{
	size_t n = strlen(name), need = w->qn + 5 + n;
	unsigned char *p = w->q ? w->q + w->last : NULL;

	/* a big write is many events that say the same */
	if (p && w->qn && kind == AE_WRITE && p[0] == AE_WRITE && w->qn - w->last == 5 + n &&
	    !memcmp(p + 5, name, n))
		return;
	if (!w->q || need > w->cap) {
		size_t cap = w->cap ? w->cap : 1024;
		unsigned char *q;

		while (cap < need)
			cap *= 2;
		if (cap > QUEUE_MAX || !(q = realloc(w->q, cap))) {
			lost(w);
			return;
		}
		w->q = q;
		w->cap = cap;
	}
	w->last = w->qn;
	p = w->q + w->last;
	p[0] = (unsigned char)kind;
	aw_store(p + 1, n, 4);
	memcpy(p + 5, name, n);
	w->qn = need;
}

static void
send_event(struct watcher *w, unsigned char kind, const char *name, size_t n)
{
	static unsigned char b[1 + 4 + AG_PATH + AG_ENTRY];
	char path[AG_PATH];
	size_t at = 5 + n;
	int k = snprintf(path, sizeof path, "%s/%.*s", w->root[1] ? w->root : "", (int)n, name);

	b[0] = kind;
	aw_store(b + 1, n, 4);
	memcpy(b + 5, name, n);
	if (w->entries && (kind == AE_CREATE || kind == AE_WRITE || kind == AE_CHMOD) && k > 0 &&
	    (size_t)k < sizeof path)
		at += entry_pack(b + at, n == 1 && name[0] == '.' ? w->root : path);
	w->credit -= (int64_t)at;
	out_frame(w->id, AW_EVENT, b, at);
}

static void
flush(struct watcher *w)
{
	size_t at = 0;

	while (at < w->qn && w->credit > 0 && out_room()) {
		struct aw_rd r = {w->q + at, w->qn - at, false};
		unsigned char kind = aw_u8(&r);
		size_t n;
		const char *name = aw_text(&r, &n);

		send_event(w, kind, name, n);
		at += 5 + n;
	}
	if (!at)
		return;
	memmove(w->q, w->q + at, w->qn - at);
	w->qn -= at;
	w->last = w->qn ? w->last - at : 0;
}

/* ---- what happened ---- */

/* path is a watched directory (self) or a name in one. */
static void
tell(enum aw_event kind, const char *dir, const char *path, bool self)
{
	for (size_t i = 0; i < WATCHERS; i++) {
		struct watcher *w = &watchers[i];
		size_t skip = strlen(w->root);

		if (!covers(w, dir))
			continue;
		if (!self)
			queue(w, kind, path + skip + (skip > 1));
		else if (!strcmp(dir, w->root)) /* below it the parent tells */
			queue(w, kind, ".");
	}
}

static bool
under_way(const char *name, bool *there)
{
	size_t n = strlen(name);

	if (strncmp(name, AG_TEMP, strlen(AG_TEMP)) != 0 || n < strlen(AG_TEMP_NEW) ||
	    strcmp(name + n - strlen(AG_TEMP_OLD), AG_TEMP_OLD) != 0)
		return false;
	*there = strcmp(name + n - strlen(AG_TEMP_NEW), AG_TEMP_NEW) != 0;
	return true;
}

static const char *
base(const char *path)
{
	return strrchr(path, '/') + 1;
}

/* In a directory that is new, or was before we could watch it. */
static void
found(const char *path)
{
	char dir[AG_PATH];
	size_t n = (size_t)(base(path) - path);
	bool there;

	if (under_way(base(path), &there))
		return;
	memcpy(dir, path, n);
	dir[n > 1 ? n - 1 : n] = 0;
	tell(AE_CREATE, dir, path, false);
}

static void
new_directory(const char *path, bool moved)
{
	/* what came with a directory that was moved is not news; what is in a new one is */
	if (!recursive_at(path) || dirs_add(path, true, false, moved ? NULL : found))
		return;
	if (errno == ENOENT || errno == ENOTDIR || errno == EACCES)
		return; /* gone again, or forbidden */
	for (size_t i = 0; i < WATCHERS; i++)
		if (watchers[i].recursive && covers(&watchers[i], path))
			lost(&watchers[i]);
}

/* Its watches would go on under names that are no longer theirs. */
static void
moved_away(const char *path)
{
	for (size_t i = 0; i < WATCHERS; i++)
		if (watchers[i].used && path_below(watchers[i].root, path))
			queue(&watchers[i], AE_RENAME, ".");
	dirs_forget(path_below, path);
}

/* A rename of a file we wrote is that: a write. */
static bool
written(uint32_t cookie, const char *dir, const char *path)
{
	for (size_t i = 0; i < MOVES; i++) {
		if (!cookie || moves[i].cookie != cookie)
			continue;
		moves[i].cookie = 0;
		if (!moves[i].there)
			tell(AE_CREATE, dir, path, false);
		tell(AE_WRITE, dir, path, false);
		return true;
	}
	return false;
}

static void
named(const struct inotify_event *e, const char *dir)
{
	char path[AG_PATH];
	int k = snprintf(path, sizeof path, "%s/%s", dir[1] ? dir : "", e->name);
	bool there;

	if (k < 0 || (size_t)k >= sizeof path)
		return;
	if (under_way(e->name, &there)) {
		if (e->mask & IN_MOVED_FROM) {
			moves[next_move].cookie = e->cookie;
			moves[next_move].there = there;
			next_move = (next_move + 1) % MOVES;
		}
		return;
	}
	if (e->mask & IN_MOVED_TO && written(e->cookie, dir, path))
		return;
	if (e->mask & (IN_CREATE | IN_MOVED_TO))
		tell(AE_CREATE, dir, path, false);
	if (e->mask & IN_MODIFY)
		tell(AE_WRITE, dir, path, false);
	if (e->mask & IN_ATTRIB)
		tell(AE_CHMOD, dir, path, false);
	if (e->mask & IN_DELETE)
		tell(AE_REMOVE, dir, path, false);
	if (e->mask & IN_MOVED_FROM)
		tell(AE_RENAME, dir, path, false);
	if (!(e->mask & IN_ISDIR))
		return;
	if (e->mask & (IN_CREATE | IN_MOVED_TO))
		new_directory(path, e->mask & IN_MOVED_TO);
	else if (e->mask & IN_MOVED_FROM)
		moved_away(path);
}

static void
happened(const struct inotify_event *e)
{
	char dir[AG_PATH];
	const char *p;
	struct stat st;
	size_t at = 0;

	if (e->mask & IN_Q_OVERFLOW) {
		for (size_t i = 0; i < WATCHERS; i++)
			if (watchers[i].used)
				lost(&watchers[i]);
		return;
	}
	while ((p = dirs_path(e->wd, &at))) {
		/* a copy: the table may change under it */
		memcpy(dir, p, strlen(p) + 1);
		if (e->len && e->name[0])
			named(e, dir);
		else if (e->mask & IN_DELETE_SELF)
			tell(AE_REMOVE, dir, dir, true);
		else if (e->mask & IN_MOVE_SELF)
			tell(AE_RENAME, dir, dir, true);
		else if (e->mask & IN_ATTRIB && !lstat(dir, &st)) /* not its removal */
			tell(AE_CHMOD, dir, dir, true);
	}
	if (e->mask & IN_IGNORED)
		dirs_ended(e->wd);
}

/* ---- from the server, and the loop ---- */

static struct watcher *
find(uint32_t id)
{
	for (size_t i = 0; i < WATCHERS; i++)
		if (watchers[i].used && watchers[i].id == id)
			return &watchers[i];
	return NULL;
}

static bool
take_root(struct watcher *w, uint32_t id)
{
	int fd = open_safe(w->root, O_PATH | O_DIRECTORY);

	if (fd >= 0) {
		close(fd);
		if (dirs_add(w->root, w->recursive, true, NULL))
			return true;
	}
	if (errno == ENOTDIR)
		fail(id, AF_INVAL, "path is not a directory: %s", w->root);
	else if (errno == EMFILE)
		fail(id, AF_LIMIT, "too many watches, or directories below %s", w->root);
	else if (errno == ENOSPC)
		fail(id, AF_LIMIT, "this host's limit on watches is reached");
	else
		fail_errno(id, w->root);
	return false;
}

void
notify_open(uint32_t id, struct aw_rd *r)
{
	uint8_t flags = aw_u8(r);
	struct watcher *w = NULL;

	for (size_t i = 0; i < WATCHERS && !w; i++)
		if (!watchers[i].used)
			w = &watchers[i];
	if (!w) {
		fail(id, AF_LIMIT, "more than %d watches in this sandbox", WATCHERS);
		return;
	}
	if (!path_resolve(id, r, w->root))
		return;
	w->id = id;
	w->recursive = flags & AW_WATCH_RECURSIVE;
	w->entries = flags & AW_WATCH_ENTRY;
	w->used = true;
	if (take_root(w, id)) {
		out_frame(id, AW_OK, NULL, 0);
		return;
	}
	drop(w);
	dirs_forget(unwanted, NULL);
}

bool
notify_close(uint32_t id)
{
	struct watcher *w = find(id);

	if (!w)
		return false;
	drop(w);
	dirs_forget(unwanted, NULL);
	return true;
}

bool
notify_grant(uint32_t id, uint32_t n)
{
	struct watcher *w = find(id);

	if (w)
		w->credit += n;
	return w != NULL;
}

void
notify_watch(void)
{
	watch(notify_fd(), POLLIN);
}

void
notify_ready(void)
{
	static union {
		struct inotify_event e; /* for its alignment */
		char b[32 * 1024];
	} in;
	ssize_t n = 0;

	/* whether or not poll() saw any: what was done a moment ago counts */
	for (int i = 0; i < 4 && notify_fd() >= 0; i++) {
		n = read(notify_fd(), in.b, sizeof in.b);
		if (n <= 0)
			break;
		for (size_t at = 0; at + sizeof in.e <= (size_t)n;) {
			const struct inotify_event *e = (const void *)(in.b + at);

			happened(e);
			at += sizeof *e + e->len;
		}
	}
	for (size_t i = 0; i < WATCHERS; i++)
		if (watchers[i].used)
			flush(&watchers[i]);
	if (some_lost)
		dirs_forget(unwanted, NULL);
	some_lost = false;
}
