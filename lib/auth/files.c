#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "files.h"

static const char OP[] = "auth.file";

enum { LOOK_MS = 20 };

enum az_code
auth_file_read(const char *path, size_t max, struct az_buf *b, struct stat *st, struct az_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum az_code rc = AZ_OK;
	struct stat own;
	char chunk[16384];
	size_t total = 0;
	ssize_t n;

	if (fd < 0)
		return az_fail_errno(
		    err, errno == ENOENT ? AZ_ENOTFOUND : AZ_EIO, OP, "cannot open %s", path);
	if (!st)
		st = &own;
	if (fstat(fd, st) != 0)
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", path);
	else if (!S_ISREG(st->st_mode))
		rc = az_fail(err, AZ_EINVAL, OP, "%s is not a file", path);
	else if (st->st_mode & (S_IWGRP | S_IWOTH))
		rc = az_fail(err, AZ_EPERM, OP, "%s has mode %03o, others may change it", path,
		    (unsigned)(st->st_mode & 0777));
	while (!rc) {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n < 0)
				rc = az_fail_errno(err, AZ_EIO, OP, "cannot read %s", path);
			break;
		}
		total += (size_t)n;
		if (total > max)
			rc = az_fail(err, AZ_ETOOBIG, OP, "%s has over %zu bytes", path, max);
		else
			az_buf_add(b, chunk, (size_t)n);
	}
	close(fd);
	return rc ? rc : az_buf_check(b, OP, err);
}

/* The directory of a path, opened. */
static int
parent(const char *path)
{
	ptrdiff_t at = az_str_rchr(az_str_c(path), '/');
	char dir[PATH_MAX];

	if (snprintf(dir, sizeof dir, "%.*s", at > 0 ? (int)at : 1, at < 0 ? "." : path) >=
	    (int)sizeof dir) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum az_code
auth_file_write(const char *path, struct az_str text, struct az_err *err)
{
	int dir = parent(path), fd = -1;
	enum az_code rc = AZ_OK;
	char tmp[PATH_MAX];
	uint64_t salt;

	az_random(&salt, sizeof salt);
	if (dir < 0)
		return az_fail_errno(err, AZ_EIO, OP, "the directory of %s", path);
	if (snprintf(tmp, sizeof tmp, "%s.%016llx", path, (unsigned long long)salt) >=
	    (int)sizeof tmp) {
		rc = az_fail(err, AZ_EINVAL, OP, "path too long");
		goto out;
	}
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", tmp);
		goto out;
	}
	if (az_write_all(fd, text.p, text.n) != 0 || fchmod(fd, 0640) != 0 || fsync(fd) != 0 ||
	    rename(tmp, path) != 0) {
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", path);
		unlink(tmp);
	} else {
		fsync(dir);
	}
out:
	if (fd >= 0)
		close(fd);
	close(dir);
	return rc;
}

int
auth_file_lock(const char *path, bool (*stop)(void *), void *arg)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -1;
	while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || (stop && stop(arg))) {
			close(fd);
			return -1;
		}
		usleep(LOOK_MS * 1000);
	}
	return fd;
}
