/* Bytes of files: reads with credit, writes through a temporary name and rename. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 16

struct file {
	bool used, writing, failed;
	uint32_t id, credit;
	int fd, dir;
	char path[AG_PATH]; /* as named */
	char real[AG_PATH]; /* of a write: no link itself */
	char tmp[48];
};
static struct file files[AG_FILES];
static unsigned serial;

static struct file *
find(uint32_t id)
{
	for (size_t i = 0; i < AG_FILES; i++)
		if (files[i].used && files[i].id == id)
			return &files[i];
	return NULL;
}

static struct file *
spare(uint32_t id)
{
	for (size_t i = 0; i < AG_FILES; i++)
		if (!files[i].used) {
			files[i].used = true;
			files[i].writing = files[i].failed = false;
			files[i].id = id;
			files[i].credit = 0;
			files[i].fd = files[i].dir = -1;
			return &files[i];
		}
	fail(id, AF_LIMIT, "more than %d files under way", AG_FILES);
	return NULL;
}

static void
drop(struct file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->dir >= 0) {
		if (f->tmp[0])
			unlinkat(f->dir, f->tmp, 0);
		close(f->dir);
	}
	f->used = false;
	f->tmp[0] = 0;
}

void
file_read(uint32_t id, struct aw_rd *r)
{
	static unsigned char b[AG_ENTRY];
	struct stat st;
	struct file *f;
	size_t n;

	if (!(f = spare(id)))
		return;
	if (!path_resolve(id, r, f->path)) {
		drop(f);
		return;
	}
	/* a pipe without a writer must not hold us up */
	f->fd = open_safe(f->path, O_RDONLY | O_NONBLOCK);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		fail_errno(id, f->path);
	else if (S_ISDIR(st.st_mode))
		fail(id, AF_ISDIR, "path is a directory: %s", f->path);
	else if (!S_ISREG(st.st_mode))
		fail(id, AF_INVAL, "not a regular file: %s", f->path);
	else if (!(n = entry_pack(b, f->path)))
		fail_errno(id, f->path);
	else {
		/* of what was opened, not of a link to it */
		aw_store(b + AG_ENTRY_SIZE, (uint64_t)st.st_size, 8);
		out_frame(id, AW_ENTRY, b, n);
		return;
	}
	drop(f);
}

/* Writing to a link writes to what it leads to, there or not: rename() would put the
   file in the link's place. */
static bool
follow(struct file *f)
{
	char target[AG_PATH];
	struct stat st;

	memcpy(f->real, f->path, sizeof f->real);
	for (int hops = 0; !lstat(f->real, &st) && S_ISLNK(st.st_mode); hops++) {
		ssize_t n = readlink(f->real, target, sizeof target);
		size_t at = target[0] == '/' ? 0 : (size_t)(strrchr(f->real, '/') + 1 - f->real);

		if (n < 0)
			return false;
		if (hops == LINKS_MAX || at + (size_t)n >= sizeof f->real) {
			errno = hops == LINKS_MAX ? ELOOP : ENAMETOOLONG;
			return false;
		}
		memcpy(f->real + at, target, (size_t)n);
		f->real[at + (size_t)n] = 0;
	}
	return true;
}

static bool
open_temp(struct file *f)
{
	const char *slash;
	char parent[AG_PATH];
	struct stat st;
	bool there;
	size_t n;

	if (!follow(f))
		return false;
	there = !lstat(f->real, &st);
	slash = strrchr(f->real, '/');
	if ((there && S_ISDIR(st.st_mode)) || !slash[1]) {
		errno = EISDIR;
		return false;
	}
	if (make_parents(f->real) < 0)
		return false;
	n = slash == f->real ? 1 : (size_t)(slash - f->real);
	memcpy(parent, f->real, n);
	parent[n] = 0;
	f->dir = open_safe(parent, O_PATH | O_DIRECTORY);
	if (f->dir < 0)
		return false;
	snprintf(f->tmp, sizeof f->tmp, "%s%x-%x%s", AG_TEMP, (unsigned)now_ms(), ++serial,
	    there ? AG_TEMP_OLD : AG_TEMP_NEW);
	f->fd = openat(f->dir, f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (f->fd < 0) {
		f->tmp[0] = 0;
		return false;
	}
	/* what was executable stays so */
	if (there && S_ISREG(st.st_mode))
		fchmod(f->fd, st.st_mode & 0777);
	return true;
}

void
file_write(uint32_t id, struct aw_rd *r)
{
	struct file *f;

	if (!(f = spare(id)))
		return;
	f->writing = true;
	if (!path_resolve(id, r, f->path)) {
		drop(f);
	} else if (!open_temp(f)) {
		fail_errno(id, f->path);
		drop(f);
	} else if (!meta_write(id, f->fd, r)) {
		drop(f);
	} else {
		unsigned char len[4];

		aw_store(len, strlen(f->path), 4);
		out_frame2(id, AW_OK, len, sizeof len, f->path, strlen(f->path));
	}
}

void
file_bytes(uint32_t id, struct aw_rd *r)
{
	struct file *f = find(id);
	size_t n = r->n;
	const unsigned char *p = aw_take(r, n);

	if (!f || !f->writing)
		return; /* it failed already and the sender will notice */
	while (n) {
		ssize_t k = write(f->fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0) {
			fail_errno(id, f->path);
			drop(f);
			return;
		}
		p += k;
		n -= (size_t)k;
	}
}

void
file_commit(uint32_t id)
{
	struct file *f = find(id);
	const char *base;

	if (!f || !f->writing)
		return;
	base = strrchr(f->real, '/') + 1;
	if (renameat(f->dir, f->tmp, f->dir, base) < 0) {
		fail_errno(id, f->path);
	} else {
		f->tmp[0] = 0;
		if (entry_send(id, f->path))
			out_frame(id, AW_OK, NULL, 0);
		else
			fail_errno(id, f->path);
	}
	drop(f);
}

void
file_seek(uint32_t id, struct aw_rd *r)
{
	struct file *f = find(id);
	uint64_t at = aw_u64(r);

	if (!f || f->writing)
		return;
	if (at > INT64_MAX || lseek(f->fd, (off_t)at, SEEK_SET) < 0)
		broken();
}

bool
file_abort(uint32_t id)
{
	struct file *f = find(id);

	if (f)
		drop(f);
	return f != NULL;
}

bool
file_grant(uint32_t id, uint32_t n)
{
	struct file *f = find(id);

	if (!f)
		return false;
	if (n > UINT32_MAX - f->credit)
		broken();
	f->credit += n;
	return true;
}

bool
file_pending(void)
{
	for (size_t i = 0; i < AG_FILES; i++)
		if (files[i].used && !files[i].writing && files[i].credit)
			return true;
	return false;
}

void
file_ready(void)
{
	static unsigned char b[AW_CHUNK];

	for (size_t i = 0; i < AG_FILES; i++) {
		struct file *f = &files[i];

		for (int n = 0; n < 8; n++) {
			if (!f->used || f->writing || !f->credit || !out_room())
				break;
			size_t want = f->credit < sizeof b ? f->credit : sizeof b;
			ssize_t k = read(f->fd, b, want);

			if (k < 0 && errno == EINTR)
				continue;
			if (k > 0) {
				f->credit -= (uint32_t)k;
				out_frame(f->id, AW_DATA, b, (size_t)k);
				continue;
			}
			if (k < 0)
				fail_errno(f->id, f->path);
			else
				out_frame(f->id, AW_OK, NULL, 0);
			drop(f);
		}
	}
}
