/* The installation's secrets: one, made once however many processes start together, and one
   more while it is being changed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/path.h>

enum { SECRET = AZ_SECRET_BYTES };

static const char OP[] = "secret.load", ALSO[] = ".also";

/* AZ_ENOTFOUND when there is no file yet. */
static enum az_code
read_secret(const char *path, unsigned char out[SECRET], struct az_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	enum az_code rc = AZ_OK;
	struct stat st;
	size_t got = 0;
	ssize_t n;

	if (fd < 0)
		return az_fail_errno(err, errno == ENOENT ? AZ_ENOTFOUND : AZ_EIO, OP, "%s", path);
	if (fstat(fd, &st) != 0) {
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", path);
		goto out;
	}
	if (!S_ISREG(st.st_mode) || st.st_size != SECRET) {
		rc = az_fail(err, AZ_EINVAL, OP, "%s is not a file of %d bytes", path, SECRET);
		goto out;
	}
	if (st.st_mode & (S_IWGRP | S_IRWXO)) {
		rc = az_fail(err, AZ_EPERM, OP, "%s has mode %03o, others may read or change it",
		    path, (unsigned)(st.st_mode & 0777));
		goto out;
	}
	while (got < SECRET) {
		n = read(fd, out + got, SECRET - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = az_fail(err, AZ_EIO, OP, "%s cannot be read", path);
			goto out;
		}
		got += (size_t)n;
	}
out:
	close(fd);
	return rc;
}

static void
sync_dir(const char *path)
{
	char dir[PATH_MAX];
	ptrdiff_t at = az_str_rchr(az_str_c(path), '/');
	int fd;

	snprintf(dir, sizeof dir, "%.*s", at > 0 ? (int)at : 1, at < 0 ? "." : path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
}

/* Whole under a name of our own first, then linked: link() never replaces, so of two
   processes one wins and both read the winner's. */
static enum az_code
make_secret(const char *path, struct az_err *err)
{
	unsigned char key[SECRET];
	char tmp[PATH_MAX];
	enum az_code rc = AZ_OK;
	uint64_t salt;
	int fd;

	az_random(&salt, sizeof salt);
	if (snprintf(tmp, sizeof tmp, "%s.%016llx", path, (unsigned long long)salt) >=
	    (int)sizeof tmp)
		return az_fail(err, AZ_EINVAL, OP, "path too long");
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return az_fail_errno(err, AZ_EIO, OP, "%s", tmp);
	az_random(key, sizeof key);
	if (az_write_all(fd, key, sizeof key) != 0 || fsync(fd) != 0)
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", tmp);
	else if (link(tmp, path) != 0 && errno != EEXIST)
		rc = az_fail_errno(err, AZ_EIO, OP, "%s", path);
	close(fd);
	unlink(tmp);
	az_wipe(key, sizeof key);
	sync_dir(path);
	return rc;
}

enum az_code
az_secrets_load(const char *path, struct az_secrets *out, struct az_err *err)
{
	struct az_err why = AZ_ERR_INIT;
	enum az_code rc = read_secret(path, out->key[0], &why);
	char also[PATH_MAX];

	out->n = 1;
	if (rc == AZ_ENOTFOUND && !(rc = make_secret(path, &why)))
		rc = read_secret(path, out->key[0], &why);
	if (rc == AZ_OK && snprintf(also, sizeof also, "%s%s", path, ALSO) >= (int)sizeof also)
		rc = az_fail(&why, AZ_EINVAL, OP, "path too long");
	if (rc == AZ_OK) {
		rc = read_secret(also, out->key[1], &why);
		out->n += rc == AZ_OK;
		rc = rc == AZ_ENOTFOUND ? AZ_OK : rc;
	}
	if (rc != AZ_OK && err)
		*err = why;
	return rc;
}

enum az_code
az_user_key(const unsigned char secret[SECRET], struct az_str uid, const char *purpose,
    char out[65], struct az_err *err)
{
	unsigned char key[SECRET];
	enum az_code rc = az_hkdf(
	    az_str_n((const char *)secret, SECRET), uid, az_str_c(purpose), key, sizeof key, err);

	if (rc == AZ_OK)
		az_hex(key, sizeof key, out);
	az_wipe(key, sizeof key);
	return rc;
}
