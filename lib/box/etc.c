/* The /etc of every box: a directory of ours with as little of the host as possible. */
#include "box.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/path.h>

static const struct {
	const char *name, *text;
} made[] = {
    {"passwd", "root:x:0:0:root:/root:/usr/sbin/nologin\n"
	       "user:x:1000:1000:user:" BOX_HOME ":/bin/bash\n"
	       "agent:x:1001:1001:agent:/nonexistent:/usr/sbin/nologin\n"
	       "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
    {"group", "root:x:0:\nuser:x:1000:\nagent:x:1001:\nnogroup:x:65534:\n"},
    {"hosts", "127.0.0.1 localhost e2b.local\n::1 localhost\n"},
    {"hostname", "e2b.local\n"},
    {"nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"
		      "services: files\nprotocols: files\n"},
    {"profile", "PATH=" BOX_PATH "\nexport PATH\n"},
    {"shells", "/bin/sh\n/bin/bash\n"},
};
/* read from the host when there */
static const char *const copied[] = {"ld.so.cache", "services", "protocols", "mime.types",
    "os-release", "debian_version", "localtime", "timezone", "inputrc", "bash.bashrc"};
/* mount points for what is bound from the host, see spawn.c */
static const char *const points[] = {"ssl", "ssl/certs", "alternatives", "fonts"};

const char *
etc_ours(size_t i)
{
	static const char *const ours[] = {"passwd", "group", "hosts", "hostname", "profile"};

	return i < sizeof ours / sizeof *ours ? ours[i] : NULL;
}

static bool
put(int dir, const char *name, struct az_str text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	/* whatever the umask: in a box they are read by another user */
	bool ok = fd >= 0 && !az_write_all(fd, text.p, text.n) && !fchmod(fd, 0644);

	if (fd >= 0)
		close(fd);
	return ok;
}

enum az_code
etc_make(const char *dir, struct az_err *err)
{
	enum az_code rc = AZ_EIO;
	struct az_buf b;
	char path[600];
	int fd = -1;

	az_buf_init(&b, AZ_MIB(4));
	snprintf(path, sizeof path, "%s/etc", dir);
	if ((mkdir(path, 0755) < 0 && errno != EEXIST) ||
	    (fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 || fchmod(fd, 0755) < 0)
		goto out;
	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		if (!put(fd, made[i].name, az_str_c(made[i].text)))
			goto out;
	for (size_t i = 0; i < sizeof copied / sizeof *copied; i++) {
		snprintf(path, sizeof path, "/etc/%s", copied[i]);
		az_buf_reset(&b);
		if (!az_read_file(path, AZ_MIB(4), &b, NULL) && !put(fd, copied[i], az_buf_str(&b)))
			goto out;
	}
	for (size_t i = 0; i < sizeof points / sizeof *points; i++)
		if ((mkdirat(fd, points[i], 0755) < 0 && errno != EEXIST) ||
		    fchmodat(fd, points[i], 0755, 0) < 0)
			goto out;
	rc = AZ_OK;
out:
	if (rc)
		az_fail_errno(err, rc, "box.etc", "cannot make %s/etc", dir);
	az_buf_release(&b);
	if (fd >= 0)
		close(fd);
	return rc;
}
