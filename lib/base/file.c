/* Files beneath a root: every lookup is confined by the kernel (openat2). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <azlon/path.h>

int
az_open_beneath(int root, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
	    .flags = (unsigned)(flags | O_CLOEXEC),
	    .mode = flags & (O_CREAT | __O_TMPFILE) ? mode : 0,
	    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	do
		fd = syscall(SYS_openat2, root, path, &how, sizeof how);
	while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return (int)fd;
}

int
az_mkparents_beneath(int root, const char *path)
{
	struct az_str rest = az_str_c(path), seg;
	int at = dup(root), next, rc = -1;
	char name[256];

	if (at < 0)
		return -1;
	while (az_str_cut(&rest, '/', &seg) && rest.p) {
		if (seg.n == 0 || seg.n >= sizeof name) {
			errno = EINVAL;
			goto out;
		}
		memcpy(name, seg.p, seg.n);
		name[seg.n] = '\0';
		if (mkdirat(at, name, 0777) < 0 && errno != EEXIST)
			goto out;
		next = az_open_beneath(at, name, O_PATH | O_DIRECTORY, 0);
		if (next < 0)
			goto out;
		close(at);
		at = next;
	}
	rc = 0;
out:
	close(at);
	return rc;
}

int
az_open_spool(const char *dir)
{
	char path[PATH_MAX];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	/* some file systems, and old kernels, know no files without a name */
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (snprintf(path, sizeof path, "%s/.azlon-XXXXXX", dir) >= (int)sizeof path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0 && unlink(path) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		fd = -1;
	}
	return fd;
}

/* Empty directory fd (consumed), depth bounded by the path length of the fs. */
static int
empty_dir(int fd, int depth)
{
	DIR *d;
	struct dirent *e;
	int rc = 0;

	if (depth > 200) {
		close(fd);
		errno = ELOOP;
		return -1;
	}
	d = fdopendir(fd);
	if (!d) {
		close(fd);
		return -1;
	}
	while ((e = readdir(d))) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			rc = -1;
			break;
		}
		sub = az_open_beneath(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY, 0);
		if (sub < 0 || empty_dir(sub, depth + 1) < 0 ||
		    unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) < 0) {
			rc = -1;
			break;
		}
	}
	closedir(d);
	return rc;
}

int
az_remove_tree(int root, const char *path)
{
	struct az_str p = az_str_c(path);
	ptrdiff_t cut = az_str_rchr(p, '/');
	char parent[4096];
	int dir = root, fd, rc = -1;

	if (!path || p.n >= sizeof parent) {
		errno = path ? ENAMETOOLONG : EINVAL;
		return -1;
	}
	if (cut >= 0) {
		memcpy(parent, path, (size_t)cut);
		parent[cut] = '\0';
		dir = az_open_beneath(root, parent, O_PATH | O_DIRECTORY, 0);
		if (dir < 0)
			return errno == ENOENT ? 0 : -1;
	}
	path += cut + 1;
	if (unlinkat(dir, path, 0) == 0 || errno == ENOENT) {
		rc = 0;
		goto out;
	}
	fd = az_open_beneath(dir, path, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		goto out;
	if (empty_dir(fd, 0) == 0)
		rc = unlinkat(dir, path, AT_REMOVEDIR);
out:
	if (dir != root)
		close(dir);
	return rc;
}

int
az_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n) {
		ssize_t k = write(fd, at, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		at += k;
		n -= (size_t)k;
	}
	return 0;
}

enum az_code
az_read_file(const char *path, size_t max, struct az_buf *b, struct az_err *err)
{
	static const char op[] = "file.read";
	enum az_code rc = AZ_OK;
	char chunk[16384];
	size_t total = 0;
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return az_fail_errno(
		    err, errno == ENOENT ? AZ_ENOTFOUND : AZ_EIO, op, "cannot open %s", path);
	for (;;) {
		n = read(fd, chunk, sizeof chunk);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			rc = az_fail_errno(err, AZ_EIO, op, "cannot read %s", path);
			goto out;
		}
		if (n == 0)
			break;
		total += (size_t)n;
		if (total > max) {
			rc = az_fail(err, AZ_ETOOBIG, op, "%s is larger than %zu bytes", path, max);
			goto out;
		}
		az_buf_add(b, chunk, (size_t)n);
	}
	rc = az_buf_check(b, op, err);
out:
	close(fd);
	return rc;
}
