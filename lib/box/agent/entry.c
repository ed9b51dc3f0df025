/* Names: stat, list, make, move, remove. */
#include "agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

size_t
entry_pack(unsigned char *b, const char *path)
{
	char target[PATH_MAX] = "";
	struct stat st, to;
	bool link;
	size_t n = strlen(path), tn = 0, at = 34;

	if (lstat(path, &st) < 0)
		return 0;
	link = S_ISLNK(st.st_mode);
	if (link) {
		/* a link shows the kind and mode of what it leads to and where that is; a
		   broken one leads to itself and shows as neither file nor directory */
		st.st_mode = stat(path, &to) ? 0 : to.st_mode;
		if (!st.st_mode || !realpath(path, target))
			snprintf(target, sizeof target, "%s", path);
		tn = strlen(target);
	}
	b[0] = S_ISREG(st.st_mode) ? AK_FILE : S_ISDIR(st.st_mode) ? AK_DIR : AK_OTHER;
	b[1] = link;
	aw_store(b + 2, st.st_mode & 07777, 4);
	aw_store(b + 6, st.st_uid, 4);
	aw_store(b + 10, st.st_gid, 4);
	aw_store(b + AG_ENTRY_SIZE, (uint64_t)st.st_size, 8);
	aw_store(
	    b + 22, (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec, 8);
	aw_store(b + 30, n, 4);
	memcpy(b + at, path, n);
	at += n;
	aw_store(b + at, tn, 4);
	memcpy(b + at + 4, target, tn);
	at += 4 + tn;
	return at + meta_pack(b + at, path);
}

bool
entry_send(uint32_t id, const char *path)
{
	static unsigned char b[AG_ENTRY];
	size_t n = entry_pack(b, path);

	if (n)
		out_frame(id, AW_ENTRY, b, n);
	return n != 0;
}

static void
send_or_fail(uint32_t id, const char *path)
{
	if (entry_send(id, path))
		out_frame(id, AW_OK, NULL, 0);
	else
		fail_errno(id, path);
}

void
entry_stat(uint32_t id, struct aw_rd *r)
{
	char path[AG_PATH];

	if (path_resolve(id, r, path))
		send_or_fail(id, path);
}

/* ---- list ---- */

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
free_names(char **v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i]);
	free(v);
}

/* Sorted names of a directory that is not a link, or NULL. */
static char **
names(const char *path, bool follow, size_t *n)
{
	int fd = open_safe(path, O_RDONLY | O_DIRECTORY | (follow ? 0 : O_NOFOLLOW));
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	char **v = NULL;
	size_t cap = 0;

	*n = 0;
	if (!d) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	while ((e = readdir(d)) && *n < AG_LIST_MAX) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (*n == cap) {
			char **w = realloc(v, (cap = cap ? 2 * cap : 32) * sizeof *w);

			if (!w)
				break;
			v = w;
		}
		if (!(v[*n] = strdup(e->d_name)))
			break;
		++*n;
	}
	closedir(d);
	if (!v)
		v = calloc(1, sizeof *v);
	if (v)
		qsort(v, *n, sizeof *v, by_name);
	return v;
}

/* False once the limit on entries is passed. */
static bool
list(uint32_t id, const char *path, uint32_t depth, bool top, size_t *left)
{
	size_t n;
	char **v = names(path, top, &n);
	bool ok = true;

	if (!v)
		return true; /* vanished or forbidden: the rest still counts */
	for (size_t i = 0; ok && i < n; i++) {
		char sub[AG_PATH];
		struct stat st;
		int k = snprintf(sub, sizeof sub, "%s/%s", path[1] ? path : "", v[i]);

		if (k < 0 || (size_t)k >= sizeof sub)
			continue;
		if (!*left) {
			ok = false;
			break;
		}
		--*left;
		if (entry_send(id, sub) && depth > 1 && !lstat(sub, &st) && S_ISDIR(st.st_mode))
			ok = list(id, sub, depth - 1, false, left);
	}
	free_names(v, n);
	return ok;
}

void
entry_list(uint32_t id, struct aw_rd *r)
{
	char path[AG_PATH];
	size_t left = AG_LIST_MAX;
	uint32_t depth;
	int fd;

	if (!path_resolve(id, r, path))
		return;
	depth = aw_u32(r);
	if (depth < 1)
		depth = 1;
	if (depth > 64)
		depth = 64;
	fd = open_safe(path, O_RDONLY | O_DIRECTORY);
	if (fd < 0 && errno == ENOTDIR) {
		fail(id, AF_INVAL, "path is not a directory: %s", path);
		return;
	}
	if (fd < 0) {
		fail_errno(id, path);
		return;
	}
	close(fd);
	if (list(id, path, depth, true, &left))
		out_frame(id, AW_OK, NULL, 0);
	else
		fail(id, AF_LIMIT, "more than %d entries below %s", AG_LIST_MAX, path);
}

/* ---- change ---- */

void
entry_mkdir(uint32_t id, struct aw_rd *r)
{
	char path[AG_PATH];
	struct stat st;

	if (!path_resolve(id, r, path))
		return;
	if (!stat(path, &st)) {
		if (S_ISDIR(st.st_mode))
			fail(id, AF_EXISTS, "directory already exists: %s", path);
		else
			fail(id, AF_INVAL, "path already exists but it is not a directory: %s",
			    path);
	} else if (make_path(path) < 0) {
		fail_errno(id, path);
	} else {
		send_or_fail(id, path);
	}
}

void
entry_move(uint32_t id, struct aw_rd *r)
{
	char from[AG_PATH], to[AG_PATH];
	struct stat st;

	if (!path_resolve(id, r, from) || !path_resolve(id, r, to))
		return;
	if (lstat(from, &st) < 0)
		fail_errno(id, from);
	else if (make_parents(to) < 0 || rename(from, to) < 0)
		fail_errno(id, to);
	else
		send_or_fail(id, to);
}

/* Depth first, by descriptor, links not followed; locked directories are opened up. */
static int
remove_at(int dir, const char *name, int depth)
{
	struct stat st;
	struct dirent *e;
	DIR *d;
	int fd, rc = 0;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -1;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dir, name, 0);
	if (depth > 512) {
		errno = ELOOP;
		return -1;
	}
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == EACCES && !fchmodat(dir, name, 0700, 0))
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	fchmod(fd, 0700);
	if (!(d = fdopendir(fd))) {
		close(fd);
		return -1;
	}
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    remove_at(dirfd(d), e->d_name, depth + 1) < 0)
			rc = -1;
	closedir(d);
	return rc < 0 ? rc : unlinkat(dir, name, AT_REMOVEDIR);
}

void
entry_remove(uint32_t id, struct aw_rd *r)
{
	char path[AG_PATH], keep[AG_PATH];
	struct stat st, kept;

	if (!path_resolve(id, r, path) || !path_resolve(id, r, keep))
		return;
	if (!lstat(path, &st) && S_ISREG(st.st_mode) && !stat(keep, &kept) &&
	    st.st_dev == kept.st_dev && st.st_ino == kept.st_ino)
		out_frame(id, AW_OK, NULL, 0);
	else if (lstat(path, &st) < 0 ? errno != ENOENT : remove_at(AT_FDCWD, path, 0) < 0)
		fail_errno(id, path);
	else
		out_frame(id, AW_OK, NULL, 0);
}
