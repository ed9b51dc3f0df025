/* Sizes and removal of a box's home, by descriptors, links never followed. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH_MAX 128
#define PASSES_MAX 4096
#define RECOUNT_MS 1000
#define INODE_BYTES 4096 /* an empty file costs something too */

/* Entries of an open directory without one allocation: this runs in forked children too. */
struct reader {
	int fd;
	long n, at;
	/* the longest entry takes 280 */
	_Alignas(8) char b[512];
};

static const char *
next_name(struct reader *r)
{
	for (;;) {
		unsigned short len;
		const char *e;

		if (r->at >= r->n) {
			r->n = syscall(SYS_getdents64, r->fd, r->b, sizeof r->b);
			r->at = 0;
			if (r->n <= 0)
				return NULL;
		}
		e = r->b + r->at;
		memcpy(&len, e + 16, sizeof len); /* after inode and offset */
		r->at += len;
		e += 19;
		if (strcmp(e, ".") != 0 && strcmp(e, "..") != 0)
			return e;
	}
}

static int
open_dir(int at, const char *name)
{
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void
walk(int dir, int depth, int64_t max, int64_t *sum, bool able)
{
	struct reader r = {.fd = dir};
	const char *name;
	struct stat st;

	while (*sum <= max && (name = next_name(&r))) {
		bool locked;
		int sub;

		if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*sum += st.st_blocks * 512 > INODE_BYTES ? st.st_blocks * 512 : INODE_BYTES;
		if (!S_ISDIR(st.st_mode))
			continue;
		if (depth >= DEPTH_MAX) {
			*sum = max + 1; /* nobody needs this: treat it as full */
			break;
		}
		/* its owner, us, may look into what hostile code locked to hide it */
		locked = (st.st_mode & 0500) != 0500 && !able;
		if (locked &&
		    fchmodat(dir, name, (st.st_mode & 07777) | 0500, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sub = open_dir(dir, name);
		if (sub < 0)
			continue;
		walk(sub, depth + 1, max, sum, able);
		if (locked)
			fchmod(sub, st.st_mode & 07777);
		close(sub);
	}
}

int64_t
disk_count(int dir, int64_t max, bool able)
{
	int64_t sum = 0;

	walk(dir, 0, max, &sum, able);
	return sum;
}

int64_t
disk_used(const char *dir, int64_t max)
{
	int fd = open_dir(AT_FDCWD, dir);
	int64_t sum = fd < 0 ? 0 : disk_count(fd, max, false);

	if (fd >= 0)
		close(fd);
	return sum;
}

bool
disk_take(struct box *b, int64_t n)
{
	int64_t max = b->srv->disk, seen, now = az_boot_ms();
	bool stale;

	if (!b->home[0])
		return true; /* a file system of its own says so itself */
	pthread_mutex_lock(&b->mu);
	seen = b->meter.disk_used += n;
	stale = !b->meter.disk_at || now - b->meter.disk_at > RECOUNT_MS;
	pthread_mutex_unlock(&b->mu);
	/* what was counted may have gone since, and programs write too */
	if (seen > max || stale) {
		seen = home_used(b, max) + n;
		meter_disk(b, seen);
	}
	return seen <= max;
}

/* Empty the directory fd. Deep trees are flattened: a directory found at the depth
   limit is moved to the top and met again. */
static bool
clear(int top, int fd, int depth, unsigned *serial)
{
	struct reader r = {.fd = fd};
	bool again = false;
	const char *entry;

	while ((entry = next_name(&r))) {
		char name[32];
		int sub;

		if (!unlinkat(fd, entry, 0))
			continue;
		if (depth >= DEPTH_MAX) {
			int n = 0;

			for (unsigned v = ++*serial; v || !n; v >>= 4)
				name[n++] = (char)('a' + (v & 15));
			name[n] = 0;
			if (!renameat(fd, entry, top, name))
				again = true;
			continue;
		}
		/* hostile code may have locked it: the owner, us, may unlock */
		sub = open_dir(fd, entry);
		if (sub < 0 && errno == EACCES && !fchmodat(fd, entry, 0700, AT_SYMLINK_NOFOLLOW))
			sub = open_dir(fd, entry);
		if (sub >= 0) {
			if (!fchmod(sub, 0700) && clear(top, sub, depth + 1, serial))
				again = true;
			close(sub);
		}
		unlinkat(fd, entry, AT_REMOVEDIR);
	}
	return again;
}

void
disk_empty(int dir)
{
	unsigned serial = 0;

	/* each pass takes DEPTH_MAX levels at least */
	for (int i = 0; i < PASSES_MAX; i++) {
		if (fchmod(dir, 0700) < 0 || lseek(dir, 0, SEEK_SET) < 0 ||
		    !clear(dir, dir, 0, &serial))
			break;
	}
}

void
disk_remove(const char *dir)
{
	int fd = open_dir(AT_FDCWD, dir);

	if (fd >= 0) {
		disk_empty(fd);
		close(fd);
	}
	rmdir(dir);
}
