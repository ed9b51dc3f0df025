/* Metadata of a file: what clients name, kept as extended attributes user.e2b.*. */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <sys/xattr.h>

static const char prefix[] = "user.e2b.";
#define PREFIX (sizeof prefix - 1)

bool
meta_write(uint32_t id, int fd, struct aw_rd *r)
{
	uint32_t count = aw_u32(r);

	for (uint32_t i = 0; i < count && !r->bad; i++) {
		char name[PREFIX + AW_META_KEY + 1];
		size_t kn, vn;
		const char *k = aw_text(r, &kn), *v = aw_text(r, &vn);

		if (!kn || kn > AW_META_KEY || memchr(k, 0, kn))
			broken();
		memcpy(name, prefix, PREFIX);
		memcpy(name + PREFIX, k, kn);
		name[PREFIX + kn] = 0;
		if (!fsetxattr(fd, name, v, vn, 0))
			continue;
		if (errno == ENOTSUP)
			fail(id, AF_UNSUPPORTED,
			    "metadata: the file system there has no extended attributes");
		else
			fail_errno(id, "metadata");
		return false;
	}
	return true;
}

size_t
meta_pack(unsigned char *b, const char *path)
{
	/* static: PID 1 has one thread, and its stack need not hold this */
	static char names[64 * 1024];
	ssize_t n = listxattr(path, names, sizeof names);
	size_t at = 4, sum = 0, kn;
	uint32_t count = 0;

	for (const char *p = names; n > 0 && count < AW_META_MAX;
	     p += kn + 1, n -= (ssize_t)kn + 1) {
		char value[AW_META_BYTES];
		ssize_t vn;
		size_t len;

		kn = strlen(p);
		if (strncmp(p, prefix, PREFIX) != 0 || kn == PREFIX)
			continue;
		/* programs of the box may put anything there: the odd is left out */
		len = kn - PREFIX;
		vn = len > AW_META_KEY ? -1 : getxattr(path, p, value, sizeof value);
		if (vn < 0 || sum + len + (size_t)vn > AW_META_BYTES)
			continue;
		sum += len + (size_t)vn;
		aw_store(b + at, len, 4);
		memcpy(b + at + 4, p + PREFIX, len);
		at += 4 + len;
		aw_store(b + at, (uint64_t)vn, 4);
		memcpy(b + at + 4, value, (size_t)vn);
		at += 4 + (size_t)vn;
		count++;
	}
	aw_store(b, count, 4);
	return at;
}
