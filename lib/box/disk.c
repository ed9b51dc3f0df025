/* Sizes and removal of a box's home, by descriptors, links never followed. */
#include "box.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 256
#define INODE_BYTES 4096 /* an empty file costs something too */

static void
walk(int dir, int depth, int64_t max, int64_t *sum)
{
	int fd = dir < 0 ? -1 : dup(dir);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (*sum <= max && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		*sum += st.st_blocks * 512 > INODE_BYTES ? st.st_blocks * 512 : INODE_BYTES;
		if (!S_ISDIR(st.st_mode))
			continue;
		if (depth >= DEPTH_MAX) {
			*sum = max + 1; /* nobody needs this: treat it as full */
			break;
		}
		int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (sub >= 0) {
			walk(sub, depth + 1, max, sum);
			close(sub);
		}
	}
	closedir(d);
}

int64_t
disk_used(const char *dir, int64_t max)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int64_t sum = 0;

	if (fd >= 0) {
		walk(fd, 0, max, &sum);
		close(fd);
	}
	return sum;
}

/* Empty the directory fd. Deep trees are flattened: a directory found at the depth
   limit is moved to the top and met again. */
static bool
clear(int top, int fd, int depth, unsigned *serial)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	bool again = false;

	if (!d) {
		close(fd);
		return false;
	}
	while ((e = readdir(d))) {
		char name[32];
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    !unlinkat(dirfd(d), e->d_name, 0))
			continue;
		if (depth >= DEPTH_MAX) {
			int n = 0;

			for (unsigned v = ++*serial; v || !n; v >>= 4)
				name[n++] = (char)('a' + (v & 15));
			name[n] = 0;
			if (!renameat(dirfd(d), e->d_name, top, name))
				again = true;
			continue;
		}
		/* hostile code may have locked it: the owner, us, may unlock */
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0 && errno == EACCES &&
		    !fchmodat(dirfd(d), e->d_name, 0700, AT_SYMLINK_NOFOLLOW))
			sub = openat(
			    dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0 && fchmod(sub, 0700) < 0) {
			close(sub);
			sub = -1;
		}
		if (sub >= 0 && clear(top, sub, depth + 1, serial))
			again = true;
		unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
	}
	closedir(d);
	return again;
}

void
disk_remove(const char *dir)
{
	unsigned serial = 0;

	for (int i = 0; i < 64; i++) {
		int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		int top = fd < 0 ? -1 : dup(fd);
		bool again = fd >= 0 && clear(top, fd, 0, &serial);

		if (top >= 0)
			close(top);
		if (!again)
			break;
	}
	rmdir(dir);
}
