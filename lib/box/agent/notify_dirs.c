/* Which directories are watched: one inotify watch for each, whoever asked for it. */
#include "agent.h"
#include "notify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS                                                                                     \
	(IN_CREATE | IN_MODIFY | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB |             \
	    IN_DELETE_SELF | IN_MOVE_SELF)
#define DIRS_MAX 8192
#define LOOK_MAX 200000 /* entries looked at for the directories among them */
#define DEPTH_MAX 64

/* A directory that goes by two names stands here twice. */
static struct dir {
	int wd;
	char *path;
} dirs[DIRS_MAX];
static size_t n_dirs;
static int fd = -1;

int
notify_fd(void)
{
	return fd;
}

bool
path_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (n == 1) /* "/" */
		return true;
	return !strncmp(path, root, n) && (!path[n] || path[n] == '/');
}

static bool
add(const char *path, uint32_t how)
{
	int wd = inotify_add_watch(fd, path, EVENTS | IN_ONLYDIR | how);

	if (wd < 0)
		return false;
	for (size_t i = 0; i < n_dirs; i++)
		if (dirs[i].wd == wd && !strcmp(dirs[i].path, path))
			return true;
	if (n_dirs == DIRS_MAX || !(dirs[n_dirs].path = strdup(path))) {
		errno = EMFILE;
		return false;
	}
	dirs[n_dirs++].wd = wd;
	return true;
}

/* The directories below path, and found() for all that is there. */
static bool
add_below(const char *path, int depth, void (*found)(const char *path), size_t *left)
{
	int dfd = open_safe(path, O_RDONLY | O_DIRECTORY);
	DIR *d = dfd < 0 ? NULL : fdopendir(dfd);
	struct dirent *e;
	bool ok = true;

	if (!d) {
		if (dfd >= 0)
			close(dfd);
		return true; /* vanished or forbidden: nothing will be heard of it */
	}
	while (ok && (e = readdir(d))) {
		char sub[AG_PATH];
		int k = snprintf(sub, sizeof sub, "%s/%s", path[1] ? path : "", e->d_name);
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || k < 0 ||
		    (size_t)k >= sizeof sub)
			continue;
		if (!*left || depth == DEPTH_MAX) {
			errno = EMFILE;
			ok = false;
			break;
		}
		--*left;
		if (found)
			found(sub);
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISDIR(st.st_mode))
			continue;
		if (!add(sub, IN_DONT_FOLLOW))
			ok = errno == ENOENT || errno == ENOTDIR || errno == EACCES;
		else
			ok = add_below(sub, depth + 1, found, left);
	}
	closedir(d);
	return ok;
}

bool
dirs_add(const char *path, bool below, bool follow, void (*found)(const char *path))
{
	size_t left = LOOK_MAX;

	if (fd < 0 && (fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) < 0)
		return false;
	return add(path, follow ? 0 : IN_DONT_FOLLOW) &&
	       (!below || add_below(path, 1, found, &left));
}

/* i goes; its watch too unless the directory is here under another name. */
static void
forget(size_t i, bool ended)
{
	int wd = dirs[i].wd;

	free(dirs[i].path);
	dirs[i] = dirs[--n_dirs];
	for (size_t k = 0; k < n_dirs; k++)
		ended |= dirs[k].wd == wd;
	if (!ended)
		inotify_rm_watch(fd, wd);
}

void
dirs_forget(bool (*which)(const char *path, const char *arg), const char *arg)
{
	for (size_t i = n_dirs; i-- > 0;)
		if (which(dirs[i].path, arg))
			forget(i, false);
	if (!n_dirs && fd >= 0) {
		/* an instance is scarce: a host has 128 for each of its users */
		close(fd);
		fd = -1;
	}
}

void
dirs_ended(int wd)
{
	for (size_t i = n_dirs; i-- > 0;)
		if (dirs[i].wd == wd)
			forget(i, true);
}

const char *
dirs_path(int wd, size_t *at)
{
	while (*at < n_dirs) {
		const struct dir *d = &dirs[(*at)++];

		if (d->wd == wd)
			return d->path;
	}
	return NULL;
}
