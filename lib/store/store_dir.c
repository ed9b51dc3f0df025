/*
 * Directory adapter: <root>/azlon-<tag>/<key>. An upload is a file of our temporary
 * directory, synced and then renamed, so readers (nginx among them, by group) see the
 * old object or the new one. Every lookup is confined beneath the root by the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <azlon/crypto.h>
#include <azlon/path.h>
#include "store_dir.h"

struct dir_get {
	struct az_get base;
	int fd;
};

static struct store_dir *
of(struct az_store *s)
{
	return (struct store_dir *)s;
}

void
dir_path(char out[DIR_PATH_MAX], const struct az_bucket *b, struct az_str key)
{
	size_t n = key.n <= 1025 ? key.n : 1025;

	memcpy(out, b->name, 38);
	out[38] = '/';
	if (n)
		memcpy(out + 39, key.p, n);
	out[39 + n] = '\0';
}

enum az_code
dir_fail(struct az_err *err, const char *op)
{
	switch (errno) {
	case ENOENT:
	case ENAMETOOLONG:
		return az_fail_errno(err, AZ_ENOTFOUND, op, "no such object");
	case ENOTDIR:
	case EISDIR:
	case ENOTEMPTY:
	case EEXIST:
		return az_fail_errno(err, AZ_ECONFLICT, op,
		    "a file stands where a directory is needed, or the reverse");
	case ENOSPC:
	case EDQUOT:
		(void)az_fail_errno(err, AZ_EUNAVAIL, op, "the store is full");
		(void)az_err_reason(err, "store_full");
		return AZ_EUNAVAIL;
	case ENOMEM:
		return az_fail_errno(err, AZ_ENOMEM, op, "out of memory");
	default:
		return az_fail_errno(err, AZ_EIO, op, "the store's directory");
	}
}

/* The directory that holds path's last segment, which *base then names. */
static int
open_parent(int root, const char *path, const char **base)
{
	const char *cut = strrchr(path, '/');
	char dir[DIR_PATH_MAX];

	*base = cut + 1;
	memcpy(dir, path, (size_t)(cut - path));
	dir[cut - path] = '\0';
	return az_open_beneath(root, dir, O_RDONLY | O_DIRECTORY, 0);
}

/* Remove the directories above path that became empty, not the bucket. */
static void
prune(int root, const char *path)
{
	char p[DIR_PATH_MAX];
	char *cut;

	snprintf(p, sizeof p, "%s", path);
	while ((cut = strrchr(p, '/')) && strchr(p, '/') != cut) {
		const char *base;
		int dir, rc;

		*cut = '\0';
		dir = open_parent(root, p, &base);
		if (dir < 0)
			return;
		rc = unlinkat(dir, base, AT_REMOVEDIR);
		close(dir);
		if (rc < 0)
			return;
	}
}

static enum az_code
get_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	static const char op[] = "store.get";
	enum az_code rc;
	struct dir_get *g = NULL;
	struct stat st;
	char path[DIR_PATH_MAX];
	int fd;

	dir_path(path, b, key);
	/* never wait for the writer of a fifo that should not be there */
	fd = az_open_beneath(of(s)->root, path, O_RDONLY | O_NONBLOCK, 0);
	if (fd < 0 || fstat(fd, &st) < 0) {
		if (errno == ENOTDIR)
			errno = ENOENT;
		rc = dir_fail(err, op);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		rc = az_fail(err, AZ_ENOTFOUND, op, "no such object");
		goto fail;
	}
	if (offset > st.st_size) {
		rc = az_fail(err, AZ_ERANGE, op, "beyond the end");
		goto fail;
	}
	g = calloc(1, sizeof *g);
	if (!g || (offset && lseek(fd, offset, SEEK_SET) < 0)) {
		rc = az_fail(err, g ? AZ_EIO : AZ_ENOMEM, op, "cannot read");
		goto fail;
	}
	g->base.store = s;
	g->fd = fd;
	if (obj) {
		memset(obj, 0, sizeof *obj);
		obj->bytes = st.st_size;
		obj->modified_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
	}
	*out = (struct az_get *)g;
	return AZ_OK;
fail:
	free(g);
	if (fd >= 0)
		close(fd);
	return rc;
}

static enum az_code
get_read(struct az_get *base, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct dir_get *g = (struct dir_get *)base;
	ssize_t k;

	do
		k = read(g->fd, p, n);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return dir_fail(err, "store.get");
	*got = (size_t)k;
	return AZ_OK;
}

static void
get_close(struct az_get *base)
{
	struct dir_get *g = (struct dir_get *)base;

	close(g->fd);
	free(g);
}

static enum az_code
stat_(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_obj *out,
    struct az_err *err)
{
	struct az_get *g = NULL;
	enum az_code rc = get_open(s, b, key, 0, out, &g, err);

	if (!rc && g)
		get_close(g);
	return rc;
}

static enum az_code
remove_(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	char path[DIR_PATH_MAX];
	const char *base;
	int dir;

	dir_path(path, b, key);
	dir = open_parent(of(s)->root, path, &base);
	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR ? AZ_OK : dir_fail(err, "store.remove");
	if (unlinkat(dir, base, 0) < 0) {
		if (errno != ENOENT && errno != EISDIR)
			rc = dir_fail(err, "store.remove");
	} else if (fsync(dir) < 0) {
		rc = dir_fail(err, "store.remove");
	}
	close(dir);
	if (!rc)
		prune(of(s)->root, path);
	return rc;
}

/* Out of sight in one step, then deleted at leisure; a crash leaves it to the
   sweep. path has no trailing '/'. */
static enum az_code
remove_at(struct store_dir *d, char *path, struct az_err *err)
{
	static const char op[] = "store.remove";
	enum az_code rc = AZ_OK;
	char tmp[27];
	const char *base;
	struct stat st;
	int dir = strchr(path, '/')
		      ? open_parent(d->root, path, &base)
		      : (base = path, az_open_beneath(d->root, ".", O_RDONLY | O_DIRECTORY, 0));

	if (dir < 0)
		return errno == ENOENT || errno == ENOTDIR ? AZ_OK : dir_fail(err, op);
	dir_tmp_name(tmp);
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			rc = dir_fail(err, op);
	} else if (S_ISDIR(st.st_mode)) {
		if (renameat(dir, base, d->tmp, tmp) < 0) {
			if (errno != ENOENT)
				rc = dir_fail(err, op);
		} else if (fsync(dir) < 0 || az_remove_tree(d->tmp, tmp) < 0) {
			rc = dir_fail(err, op);
		}
	}
	close(dir);
	return rc;
}

static enum az_code
remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	char path[DIR_PATH_MAX];
	enum az_code rc;

	prefix.n--;
	dir_path(path, b, prefix);
	rc = remove_at(of(s), path, err);
	if (!rc)
		prune(of(s)->root, path);
	return rc;
}

static enum az_code
remove_bucket(struct az_store *s, const struct az_bucket *b, struct az_err *err)
{
	char path[DIR_PATH_MAX];

	dir_path(path, b, AZ_S(""));
	path[38] = '\0';
	return remove_at(of(s), path, err);
}

/* The kernel moves the bytes, where the file system can without writing them again. */
static enum az_code
copy(struct az_store *s, const struct az_bucket *b, struct az_str from, struct az_str to,
    struct az_err *err)
{
	struct az_get *g = NULL;
	struct az_put *p = NULL;
	enum az_code rc = get_open(s, b, from, 0, NULL, &g, err);

	if (!rc)
		rc = dir_put_open(s, b, to, &p, err);
	if (!rc && g)
		rc = dir_put_fd(p, ((struct dir_get *)g)->fd, err);
	if (!rc) {
		rc = dir_put_commit(p, err);
		p = NULL;
	}
	if (p)
		dir_put_abort(p);
	if (g)
		get_close(g);
	return rc;
}

static enum az_code
accel(struct az_store *s, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	(void)s, (void)method, (void)mime, (void)path;
	az_buf_addf(target, "/_dir/%s/", b->name);
	az_pct_encode(target, key, "/");
	return az_buf_check(target, "store.accel", err);
}

static enum az_code
link_(struct az_store *s, const struct az_bucket *b, struct az_str key, const struct az_link *l,
    struct az_buf *out, struct az_err *err)
{
	(void)s, (void)b, (void)key, (void)l, (void)out;
	return az_fail(err, AZ_EUNSUPPORTED, "store.link", "a directory has no address");
}

static enum az_code
ping(struct az_store *s, struct az_err *err)
{
	struct statvfs v;
	struct stat st;

	/* nlink 0: the root was removed under us */
	if (fstat(of(s)->tmp, &st) < 0 || fstatvfs(of(s)->tmp, &v) < 0)
		return dir_fail(err, "store.ping");
	if (st.st_nlink == 0)
		return az_fail(err, AZ_EUNAVAIL, "store.ping", "the store's directory is gone");
	if (v.f_bavail == 0 || (v.f_files && v.f_favail == 0)) {
		errno = ENOSPC;
		return dir_fail(err, "store.ping");
	}
	return AZ_OK;
}

static void
close_(struct az_store *s)
{
	struct store_dir *d = of(s);

	dir_tmp_close(d);
	close(d->root);
	free(d);
}

static const struct az_store_ops ops = {
    .name = "dir",
    .put_open = dir_put_open,
    .put_write = dir_put_write,
    .put_name = dir_put_name,
    .put_commit = dir_put_commit,
    .put_abort = dir_put_abort,
    .put_if = dir_put_if,
    .get_open = get_open,
    .get_read = get_read,
    .get_close = get_close,
    .stat = stat_,
    .remove = remove_,
    .list = dir_list,
    .remove_prefix = remove_prefix,
    .remove_bucket = remove_bucket,
    .copy = copy,
    .accel = accel,
    .link = link_,
    .ping = ping,
    .close = close_,
};

enum az_code
az_store_dir_open(const char *root, struct az_store **out, struct az_err *err)
{
	struct store_dir *d = calloc(1, sizeof *d);
	enum az_code rc;

	*out = NULL;
	if (!d)
		return az_fail(err, AZ_ENOMEM, "store.open", "out of memory");
	d->base.ops = &ops;
	d->tmp = d->tmp_all = -1;
	if (mkdir(root, 0750) < 0 && errno != EEXIST) {
		rc = az_fail_errno(err, AZ_EIO, "store.open", "cannot make %s", root);
		free(d);
		return rc;
	}
	d->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->root < 0) {
		rc = az_fail_errno(err, AZ_EIO, "store.open", "cannot open %s", root);
		free(d);
		return rc;
	}
	rc = dir_tmp_open(d, err);
	if (rc) {
		close_((struct az_store *)d);
		return rc;
	}
	*out = (struct az_store *)d;
	return AZ_OK;
}
