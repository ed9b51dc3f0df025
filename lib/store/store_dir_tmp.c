/*
 * Temporary names of the directory adapter: <root>/.tmp/<random>/, one directory a
 * process, held by flock while the process lives. The kernel drops the lock with the
 * process, so whoever opens the store next can tell leftovers from work in progress.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "store_dir.h"

void
dir_tmp_name(char out[27])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char r[26];

	az_random(r, sizeof r);
	for (size_t i = 0; i < sizeof r; i++)
		out[i] = digits[r[i] & 31];
	out[26] = '\0';
}

/* Remove the directories whose lock nobody holds. Best effort: what stays is tried
   again at the next open. */
static void
sweep(int tmp_all)
{
	int fd = az_open_beneath(tmp_all, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((e = readdir(d))) {
		int sub;

		if (e->d_name[0] == '.')
			continue;
		sub = az_open_beneath(tmp_all, e->d_name, O_RDONLY | O_DIRECTORY, 0);
		if (sub < 0)
			continue;
		if (flock(sub, LOCK_EX | LOCK_NB) == 0)
			(void)az_remove_tree(tmp_all, e->d_name);
		close(sub);
	}
	closedir(d);
}

enum az_code
dir_tmp_open(struct store_dir *d, struct az_err *err)
{
	static const char op[] = "store.open";
	enum az_code rc = AZ_OK;
	int lock = -1;

	if (mkdirat(d->root, ".tmp", 0750) < 0 && errno != EEXIST)
		return dir_fail(err, op);
	d->tmp_all = az_open_beneath(d->root, ".tmp", O_RDONLY | O_DIRECTORY, 0);
	if (d->tmp_all < 0)
		return dir_fail(err, op);
	/* between mkdir and flock a directory looks dead: one opener at a time */
	lock = az_open_beneath(d->tmp_all, ".lock", O_RDWR | O_CREAT, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) < 0) {
		rc = dir_fail(err, op);
		goto out;
	}
	sweep(d->tmp_all);
	dir_tmp_name(d->tmp_name);
	if (mkdirat(d->tmp_all, d->tmp_name, 0700) < 0 ||
	    (d->tmp = az_open_beneath(d->tmp_all, d->tmp_name, O_RDONLY | O_DIRECTORY, 0)) < 0 ||
	    flock(d->tmp, LOCK_EX | LOCK_NB) < 0)
		rc = dir_fail(err, op);
out:
	if (lock >= 0)
		close(lock);
	return rc;
}

void
dir_tmp_close(struct store_dir *d)
{
	if (d->tmp >= 0)
		(void)az_remove_tree(d->tmp_all, d->tmp_name);
	if (d->tmp >= 0)
		close(d->tmp);
	if (d->tmp_all >= 0)
		close(d->tmp_all);
}
