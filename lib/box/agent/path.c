/* Names from clients, and opening without following /proc's magic links. */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

bool
path_resolve(uint32_t id, struct aw_rd *r, char out[AG_PATH])
{
	size_t n, len = 0;
	const char *p = aw_text(r, &n);
	const char *base = "";

	if (memchr(p, 0, n) || n >= AG_PATH / 2) {
		fail(id, AF_INVAL, "bad path");
		return false;
	}
	if (n && p[0] == '~') {
		if (n > 1 && p[1] != '/') {
			fail(id, AF_INVAL, "other users' homes are not here: %.*s", (int)n, p);
			return false;
		}
		p++;
		n--;
		base = AG_HOME;
	} else if (!n || p[0] != '/') {
		base = AG_HOME;
	}
	/* segment by segment, "." and empty skipped, ".." taking one back */
	len = strlen(base);
	memcpy(out, base, len);
	for (size_t i = 0; i < n;) {
		size_t j = i;

		while (j < n && p[j] != '/')
			j++;
		if (j - i == 2 && p[i] == '.' && p[i + 1] == '.') {
			while (len && out[--len] != '/')
				;
		} else if (j > i && !(j - i == 1 && p[i] == '.')) {
			out[len++] = '/';
			memcpy(out + len, p + i, j - i);
			len += j - i;
		}
		i = j + 1;
	}
	if (!len)
		out[len++] = '/';
	out[len] = 0;
	return true;
}

/* Links are followed (the box is the boundary), magic links and /proc are not. */
int
open_safe(const char *path, int flags)
{
	struct open_how how = {
	    .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC |
					  (flags & O_PATH ? 0 : O_NOCTTY)), /* openat2 is strict */
	    .resolve = RESOLVE_NO_MAGICLINKS,
	};
	struct statfs fs;
	int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);

	if (fd < 0)
		return -1;
	/* our own memory is a file there */
	if (!fstatfs(fd, &fs) && fs.f_type == PROC_SUPER_MAGIC) {
		close(fd);
		errno = EACCES;
		return -1;
	}
	return fd;
}

int
make_path(const char *path)
{
	char p[AG_PATH];
	size_t n = strlen(path);

	if (n >= sizeof p) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(p, path, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (p[i] != '/' && p[i])
			continue;
		char c = p[i];

		p[i] = 0;
		if (mkdir(p, 0755) < 0 && errno != EEXIST) {
			struct stat st;
			int e = errno;

			/* a read-only parent refuses before it says "exists" */
			if (stat(p, &st) < 0 || !S_ISDIR(st.st_mode)) {
				errno = e;
				return -1;
			}
		}
		p[i] = c;
	}
	return 0;
}

int
make_parents(const char *path)
{
	char p[AG_PATH];
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (!n)
		return 0;
	memcpy(p, path, n);
	p[n] = 0;
	return make_path(p);
}
