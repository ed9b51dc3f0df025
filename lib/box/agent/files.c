/* Bytes of files: reads with credit, writes through a temporary name and rename. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
	bool used, writing, failed;
	uint32_t id, credit;
	int fd, dir;
	char path[AG_PATH], tmp[40];
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
	struct stat st;
	struct file *f;

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
	else if (!entry_send(id, f->path))
		fail_errno(id, f->path);
	else
		return;
	drop(f);
}

static bool
open_temp(struct file *f)
{
	const char *slash = strrchr(f->path, '/');
	char parent[AG_PATH];
	struct stat st;
	size_t n = slash == f->path ? 1 : (size_t)(slash - f->path);

	if (!fstatat(AT_FDCWD, f->path, &st, 0) && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return false;
	}
	if (make_parents(f->path) < 0)
		return false;
	memcpy(parent, f->path, n);
	parent[n] = 0;
	f->dir = open_safe(parent, O_PATH | O_DIRECTORY);
	if (f->dir < 0)
		return false;
	snprintf(f->tmp, sizeof f->tmp, ".azlon-%x-%x.part", (unsigned)now_ms(), ++serial);
	f->fd = openat(f->dir, f->tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (f->fd < 0) {
		f->tmp[0] = 0;
		return false;
	}
	/* what was executable stays so */
	if (!fstatat(f->dir, slash + 1, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode))
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
	} else {
		out_frame(id, AW_OK, NULL, 0);
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
	base = strrchr(f->path, '/') + 1;
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
file_abort(uint32_t id)
{
	struct file *f = find(id);

	if (f)
		drop(f);
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
