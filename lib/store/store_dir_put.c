/*
 * Uploads of the directory adapter: a file of our temporary directory, written,
 * synced, then renamed to its key.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/path.h>
#include "store_dir.h"

struct dir_put {
	struct az_put base;
	int fd;
	char tmp[27];
	char path[DIR_PATH_MAX];
	struct az_bucket bucket;
};

static struct store_dir *
of(struct az_store *s)
{
	return (struct store_dir *)s;
}

/* Open the directory that holds path's last segment, making what is missing. A new directory is
   synced into its parent before anything is put below it. */
static int
make_parent(int root, const char *path, const char **base)
{
	struct az_str rest = az_str_c(path), seg;
	char name[256];
	struct stat st;
	int at = fcntl(root, F_DUPFD_CLOEXEC, 3);

	*base = strrchr(path, '/') + 1;
	while (at >= 0 && az_str_cut(&rest, '/', &seg) && rest.p) {
		bool made;
		int next;

		memcpy(name, seg.p, seg.n);
		name[seg.n] = '\0';
		made = mkdirat(at, name, 0750) == 0;
		if (!made && errno != EEXIST)
			goto fail;
		next = az_open_beneath(at, name, O_RDONLY | O_DIRECTORY, 0);
		if (next < 0)
			goto fail;
		/* The process's umask may be stricter than nginx needs. Only
		   then: a chmod by someone outside the directory's group loses
		   the set-group-id bit, by which nginx may read below. */
		if (made && (fstat(next, &st) < 0 ||
				((st.st_mode & 0777) != 0750 &&
				    fchmod(next, (st.st_mode & 07000) | 0750) < 0) ||
				fsync(at) < 0)) {
			close(next);
			goto fail;
		}
		close(at);
		at = next;
	}
	return at;
fail : {
	int saved = errno;

	close(at);
	errno = saved;
}
	return -1;
}

enum az_code
dir_put_open(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_put **out,
    struct az_err *err)
{
	struct dir_put *p = calloc(1, sizeof *p);

	if (!p)
		return az_fail(err, AZ_ENOMEM, "store.put", "out of memory");
	p->base.store = s;
	p->bucket = *b;
	dir_path(p->path, b, key);
	dir_tmp_name(p->tmp);
	p->fd = az_open_beneath(of(s)->tmp, p->tmp, O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (p->fd < 0 || fchmod(p->fd, 0640) < 0) {
		enum az_code rc = dir_fail(err, "store.put");

		if (p->fd >= 0) {
			close(p->fd);
			unlinkat(of(s)->tmp, p->tmp, 0);
		}
		free(p);
		return rc;
	}
	*out = (struct az_put *)p;
	return AZ_OK;
}

enum az_code
dir_put_write(struct az_put *base, struct az_str chunk, struct az_err *err)
{
	struct dir_put *p = (struct dir_put *)base;

	if (az_write_all(p->fd, chunk.p, chunk.n) < 0)
		return dir_fail(err, "store.put");
	return AZ_OK;
}

enum az_code
dir_put_fd(struct az_put *base, int fd, struct az_err *err)
{
	struct dir_put *p = (struct dir_put *)base;
	char chunk[16384];
	ssize_t n;

	do
		n = copy_file_range(fd, NULL, p->fd, NULL, (size_t)1 << 30, 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n == 0)
		return AZ_OK;
	/* between file systems, or on one that cannot: what is left goes through here */
	if (errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return dir_fail(err, "store.copy");
	while ((n = read(fd, chunk, sizeof chunk)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || az_write_all(p->fd, chunk, (size_t)n) < 0)
			return dir_fail(err, "store.copy");
	}
	return AZ_OK;
}

enum az_code
dir_put_name(struct az_put *base, struct az_str key, struct az_err *err)
{
	struct dir_put *p = (struct dir_put *)base;

	(void)err;
	dir_path(p->path, &p->bucket, key);
	return AZ_OK;
}

void
dir_put_abort(struct az_put *base)
{
	struct dir_put *p = (struct dir_put *)base;

	close(p->fd);
	unlinkat(of(base->store)->tmp, p->tmp, 0);
	free(p);
}

/* A directory without any object below it, left by a crash between removal and
   pruning, does not occupy its name. 0 when it is gone. */
static int
drop_hollow(int dir, const char *name)
{
	struct dirent *e;
	DIR *d;
	int fd, rc = 0;

	if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -1;
	fd = az_open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while (rc == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = drop_hollow(fd, e->d_name);
	closedir(d);
	return rc ? rc : unlinkat(dir, name, AT_REMOVEDIR);
}

/* Give the finished temporary file its name. */
static int
publish(struct store_dir *d, const char *tmp, const char *path)
{
	int dir = -1, rc = -1, saved;

	/* somebody may prune a parent between making it and renaming into it */
	for (int tries = 0; tries < 16; tries++) {
		const char *base;

		dir = make_parent(d->root, path, &base);
		if (dir < 0 && errno == ENOENT)
			continue;
		if (dir < 0)
			return -1;
		rc = renameat(d->tmp, tmp, dir, base);
		if (rc < 0 && errno == EISDIR) {
			if (drop_hollow(dir, base) == 0)
				rc = renameat(d->tmp, tmp, dir, base);
			else
				errno = EISDIR;
		}
		if (rc == 0)
			rc = fsync(dir);
		saved = errno;
		close(dir);
		errno = saved;
		if (rc == 0 || errno != ENOENT)
			return rc;
	}
	return rc;
}

enum az_code
dir_put_commit(struct az_put *base, struct az_err *err)
{
	struct dir_put *p = (struct dir_put *)base;
	enum az_code rc = AZ_OK;

	if (fsync(p->fd) < 0 || publish(of(base->store), p->tmp, p->path) < 0) {
		rc = dir_fail(err, "store.put");
		if (rc == AZ_ENOTFOUND) /* the directory was pulled away */
			rc = az_fail_errno(err, AZ_EIO, "store.put", "the store's directory");
		dir_put_abort(base);
		return rc;
	}
	close(p->fd);
	free(p);
	return rc;
}

enum az_code
dir_put_if(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_str was,
    struct az_str body, struct az_err *err)
{
	static const char op[] = "store.put_if";
	enum az_code rc;
	struct az_buf now;
	const char *base;
	char path[DIR_PATH_MAX];
	int lock = -1;

	az_buf_init(&now, was.n + 1);
	/* the bucket's directory is the lock, so processes exclude each other; a bucket
	   removed meanwhile is made anew by the upload */
	dir_path(path, b, AZ_S("x"));
	lock = make_parent(of(s)->root, path, &base);
	if (lock < 0 || flock(lock, LOCK_EX) < 0) {
		rc = dir_fail(err, op);
		goto out;
	}
	rc = az_store_get(s, b, key, &now, err);
	if (rc == AZ_ETOOBIG ||
	    (rc == AZ_ENOTFOUND ? was.p != NULL
				: !was.p || (!rc && !az_str_eq(was, az_buf_str(&now))))) {
		rc = az_fail(err, AZ_EPRECOND, op, "the object was changed by somebody else");
		goto out;
	}
	if (rc && rc != AZ_ENOTFOUND)
		goto out;
	rc = az_store_put(s, b, key, body, err);
out:
	if (lock >= 0)
		close(lock);
	az_buf_release(&now);
	return rc;
}
