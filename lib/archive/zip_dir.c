/*
 * A zip file says everything twice: in its central directory and before each entry.
 * Programs that believe different halves see different files, so we read both and
 * refuse an archive whose halves disagree. libarchive then only inflates.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/limits.h>
#include "archive_room.h"

#define EOCD 22
#define CENTRAL 46
#define LOCAL 30
#define DIRECTORY_BYTES AZ_MIB(16)
#define NAME_BYTES 1024 /* longer ones break the path rules anyway */

static const char op[] = "archive.read";

/* What IBM's code page 437 has above 0x7f: the meaning of names without the UTF-8 flag. */
static const uint16_t cp437[128] = {
    0xc7,
    0xfc,
    0xe9,
    0xe2,
    0xe4,
    0xe0,
    0xe5,
    0xe7,
    0xea,
    0xeb,
    0xe8,
    0xef,
    0xee,
    0xec,
    0xc4,
    0xc5,
    0xc9,
    0xe6,
    0xc6,
    0xf4,
    0xf6,
    0xf2,
    0xfb,
    0xf9,
    0xff,
    0xd6,
    0xdc,
    0xa2,
    0xa3,
    0xa5,
    0x20a7,
    0x192,
    0xe1,
    0xed,
    0xf3,
    0xfa,
    0xf1,
    0xd1,
    0xaa,
    0xba,
    0xbf,
    0x2310,
    0xac,
    0xbd,
    0xbc,
    0xa1,
    0xab,
    0xbb,
    0x2591,
    0x2592,
    0x2593,
    0x2502,
    0x2524,
    0x2561,
    0x2562,
    0x2556,
    0x2555,
    0x2563,
    0x2551,
    0x2557,
    0x255d,
    0x255c,
    0x255b,
    0x2510,
    0x2514,
    0x2534,
    0x252c,
    0x251c,
    0x2500,
    0x253c,
    0x255e,
    0x255f,
    0x255a,
    0x2554,
    0x2569,
    0x2566,
    0x2560,
    0x2550,
    0x256c,
    0x2567,
    0x2568,
    0x2564,
    0x2565,
    0x2559,
    0x2558,
    0x2552,
    0x2553,
    0x256b,
    0x256a,
    0x2518,
    0x250c,
    0x2588,
    0x2584,
    0x258c,
    0x2590,
    0x2580,
    0x3b1,
    0xdf,
    0x393,
    0x3c0,
    0x3a3,
    0x3c3,
    0xb5,
    0x3c4,
    0x3a6,
    0x398,
    0x3a9,
    0x3b4,
    0x221e,
    0x3c6,
    0x3b5,
    0x2229,
    0x2261,
    0xb1,
    0x2265,
    0x2264,
    0x2320,
    0x2321,
    0xf7,
    0x2248,
    0xb0,
    0x2219,
    0xb7,
    0x221a,
    0x207f,
    0xb2,
    0x25a0,
    0xa0,
};

static uint32_t
le(const char *p, int bytes)
{
	uint32_t v = 0;

	for (int i = bytes; i-- > 0;)
		v = v << 8 | (unsigned char)p[i];
	return v;
}

static uint64_t
le64(const char *p)
{
	return (uint64_t)le(p + 4, 4) << 32 | le(p, 4);
}

static bool
read_at(int fd, int64_t at, char *p, size_t n)
{
	while (n) {
		ssize_t k = pread(fd, p, n, (off_t)at);

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		at += k;
		n -= (size_t)k;
	}
	return true;
}

static enum az_code
malformed(struct az_err *err, const char *what)
{
	return az_fail(err, AZ_EINVAL, op, "not a well-formed zip archive: %s", what);
}

struct where {
	int64_t at, bytes, entries;
};

/* The record at the very end, and its 64-bit twin where there is one. */
static enum az_code
find_directory(int fd, int64_t size, struct where *w, struct az_err *err)
{
	int64_t n = size < EOCD + 65535 ? size : EOCD + 65535, i, end;
	char *tail = NULL;
	enum az_code rc = AZ_OK;
	char z[56];

	if (size < EOCD)
		return malformed(err, "it is too short");
	tail = malloc((size_t)n);
	if (!tail)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (!read_at(fd, size - n, tail, (size_t)n)) {
		rc = az_fail_errno(err, AZ_EIO, op, "cannot read the upload");
		goto out;
	}
	for (i = n - EOCD; i >= 0 && memcmp(tail + i, "PK\5\6", 4) != 0; i--)
		;
	if (i < 0 || i + EOCD + le(tail + i + 20, 2) != n) {
		rc = malformed(err, "its end is missing");
		goto out;
	}
	if (le(tail + i + 4, 2) != le(tail + i + 6, 2) ||
	    le(tail + i + 8, 2) != le(tail + i + 10, 2)) {
		rc = malformed(err, "it is one part of several");
		goto out;
	}
	w->entries = le(tail + i + 10, 2);
	w->bytes = le(tail + i + 12, 4);
	w->at = le(tail + i + 16, 4);
	end = size - n + i;
	if (i >= 20 && memcmp(tail + i - 20, "PK\6\7", 4) == 0) {
		uint64_t at = le64(tail + i - 20 + 8);

		if (at > (uint64_t)end || (int64_t)at + 56 + 20 > end ||
		    !read_at(fd, (int64_t)at, z, sizeof z) || memcmp(z, "PK\6\6", 4) != 0 ||
		    le(z + 16, 4) || le(z + 20, 4) || le64(z + 24) != le64(z + 32) ||
		    le64(z + 4) + 12 != (uint64_t)(end - 20 - (int64_t)at)) {
			rc = malformed(err, "its 64-bit end is wrong");
			goto out;
		}
		/* where the short record has a real number, both must say the same */
		if ((w->entries != 0xffff && (uint64_t)w->entries != le64(z + 32)) ||
		    (w->bytes != 0xffffffff && (uint64_t)w->bytes != le64(z + 40)) ||
		    (w->at != 0xffffffff && (uint64_t)w->at != le64(z + 48)) ||
		    le64(z + 32) > INT32_MAX || le64(z + 40) > INT32_MAX ||
		    le64(z + 48) > (uint64_t)size) {
			rc = malformed(err, "its two ends disagree");
			goto out;
		}
		w->entries = (int64_t)le64(z + 32);
		w->bytes = (int64_t)le64(z + 40);
		w->at = (int64_t)le64(z + 48);
		end = (int64_t)at;
	}
	if (w->at + w->bytes != end)
		rc = malformed(err, "bytes stand where none belong");
out:
	free(tail);
	return rc;
}

/* The name as UTF-8 in the arena. */
static enum az_code
name_of(struct az_str raw, bool utf8, struct az_arena *a, struct az_str *out, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	if (utf8 || az_str_utf8_ok(raw)) {
		*out = az_arena_str(a, raw);
		return out->p ? AZ_OK : az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	az_buf_init(&b, (size_t)3 * NAME_BYTES);
	for (size_t i = 0; i < raw.n; i++) {
		unsigned char c = (unsigned char)raw.p[i];
		unsigned u = c < 0x80 ? c : cp437[c - 0x80];

		if (u < 0x80) {
			az_buf_addch(&b, (char)u);
		} else if (u < 0x800) {
			az_buf_addch(&b, (char)(0xc0 | u >> 6));
			az_buf_addch(&b, (char)(0x80 | (u & 63)));
		} else {
			az_buf_addch(&b, (char)(0xe0 | u >> 12));
			az_buf_addch(&b, (char)(0x80 | (u >> 6 & 63)));
			az_buf_addch(&b, (char)(0x80 | (u & 63)));
		}
	}
	rc = az_buf_check(&b, op, err);
	if (!rc) {
		*out = az_arena_str(a, az_buf_str(&b));
		if (!out->p)
			rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	az_buf_release(&b);
	return rc;
}

/* Replace what the 32-bit fields could not hold by the extra field's numbers. */
static bool
zip64_fields(struct az_str extra, uint64_t *usize, uint64_t *csize, uint64_t *at)
{
	bool need = *usize == 0xffffffff || *csize == 0xffffffff || (at && *at == 0xffffffff);

	while (extra.n >= 4) {
		size_t id = le(extra.p, 2), n = le(extra.p + 2, 2);
		struct az_str x;

		if (n > extra.n - 4)
			return !need;
		x = az_str_sub(extra, 4, 4 + n);
		extra = az_str_sub(extra, 4 + n, extra.n);
		if (id != 1 || !need)
			continue;
		for (int i = 0; i < 3; i++) {
			uint64_t *v = i == 0 ? usize : i == 1 ? csize : at;

			if (!v || *v != 0xffffffff)
				continue;
			if (x.n < 8)
				return false;
			*v = le64(x.p);
			x = az_str_sub(x, 8, x.n);
		}
		return true;
	}
	return !need;
}

/* What kind of entry? Unix modes where the archive has them. */
static enum az_code
kind_of(const char *c, struct zip_entry *e, struct az_err *err)
{
	unsigned host = le(c + 5, 1), attr = le(c + 38, 4) >> 16;
	unsigned type = host == 3 || host == 19 ? attr & S_IFMT : 0;

	e->dir = e->name.n && e->name.p[e->name.n - 1] == '/';
	e->mode = type && attr & 0111 ? 0755 : 0644;
	if (type == 0 || type == (e->dir ? S_IFDIR : S_IFREG))
		return AZ_OK;
	return archive_refuse(err, AZ_EINVAL, e->name,
	    S_ISLNK(type) ? "links are not taken" : "not a regular file or directory");
}

/* The header before the data against the directory's copy c. */
static enum az_code
check_local(
    int fd, const char *c, struct zip_entry *e, uint64_t usize, int64_t limit, struct az_err *err)
{
	char h[LOCAL], name[NAME_BYTES], *extra = NULL;
	size_t n = le(c + 28, 2), xn;
	uint64_t lu, lc;
	enum az_code rc = AZ_OK;

	if (e->at > limit - LOCAL || !read_at(fd, e->at, h, LOCAL) || memcmp(h, "PK\3\4", 4) != 0)
		return malformed(err, "an entry is not where it should be");
	xn = le(h + 28, 2);
	e->end = e->at + LOCAL + (int64_t)n + (int64_t)xn + e->packed;
	if (e->end > limit)
		return malformed(err, "an entry reaches into the directory");
	if (le(h + 26, 2) != n || !read_at(fd, e->at + LOCAL, name, n) ||
	    memcmp(name, c + CENTRAL, n) != 0 ||
	    /* encryption, descriptor and UTF-8 flags, method */
	    ((le(h + 6, 2) ^ le(c + 8, 2)) & (1 | 8 | 0x800)) || le(h + 8, 2) != le(c + 10, 2))
		goto differ;
	if (le(h + 6, 2) & 8)
		return AZ_OK; /* sizes follow the data */
	lu = le(h + 22, 4);
	lc = le(h + 18, 4);
	extra = malloc(xn + 1);
	if (!extra)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (!read_at(fd, e->at + LOCAL + (int64_t)n, extra, xn) ||
	    !zip64_fields((struct az_str){extra, xn}, &lu, &lc, NULL) || lu != usize ||
	    lc != (uint64_t)e->packed || le(h + 14, 4) != le(c + 16, 4))
		goto differ;
	goto out;
differ:
	rc = archive_refuse(
	    err, AZ_EINVAL, e->name, "its header and the archive's directory disagree");
out:
	free(extra);
	return rc;
}

static enum az_code
one_entry(int fd, struct az_str *dir, int64_t limit, struct az_arena *a, struct zip_entry *e,
    struct az_err *err)
{
	const char *c = dir->p;
	size_t n, xn, total;
	uint64_t usize, csize, at;
	unsigned flags, method;
	enum az_code rc;

	if (dir->n < CENTRAL || memcmp(c, "PK\1\2", 4) != 0)
		return malformed(err, "its directory is damaged");
	n = le(c + 28, 2);
	xn = le(c + 30, 2);
	total = CENTRAL + n + xn + le(c + 32, 2);
	if (total > dir->n)
		return malformed(err, "its directory is damaged");
	if (n > NAME_BYTES)
		return az_fail(
		    err, AZ_EINVAL, op, "an entry's name is longer than %d bytes", NAME_BYTES);
	flags = le(c + 8, 2);
	method = le(c + 10, 2);
	rc = name_of(az_str_n(c + CENTRAL, n), flags & 0x800, a, &e->name, err);
	if (rc)
		return rc;
	if (flags & (1 | 0x40 | 0x2000))
		return archive_refuse(err, AZ_EINVAL, e->name, "it is encrypted");
	if (method != 0 && method != 8)
		return archive_refuse(
		    err, AZ_EINVAL, e->name, "its compression method is not stored or deflated");
	usize = le(c + 24, 4);
	csize = le(c + 20, 4);
	at = le(c + 42, 4);
	if (!zip64_fields(az_str_n(c + CENTRAL + n, xn), &usize, &csize, &at) ||
	    csize > (uint64_t)limit || at > (uint64_t)limit || le(c + 34, 2) != 0)
		return malformed(err, "an entry lies outside the file");
	if (method == 0 && csize != usize)
		return malformed(err, "a stored entry has two sizes");
	e->packed = (int64_t)csize;
	e->at = (int64_t)at;
	rc = kind_of(c, e, err);
	if (!rc && e->dir && usize)
		rc = archive_refuse(err, AZ_EINVAL, e->name, "a directory with contents");
	if (!rc)
		rc = check_local(fd, c, e, usize, limit, err);
	*dir = az_str_sub(*dir, total, dir->n);
	return rc;
}

static int
by_offset(const void *x, const void *y)
{
	const struct zip_entry *a = x, *b = y;

	return a->at < b->at ? -1 : a->at > b->at;
}

enum az_code
zip_dir_read(
    int fd, int64_t size, size_t max, struct az_arena *a, struct zip_dir *out, struct az_err *err)
{
	struct where w = {0};
	char *text = NULL;
	struct az_str rest;
	enum az_code rc = find_directory(fd, size, &w, err);

	if (rc)
		return rc;
	if ((uint64_t)w.entries > max)
		return az_fail(err, AZ_ETOOBIG, op, "the archive has more than %zu entries", max);
	if ((uint64_t)w.bytes > DIRECTORY_BYTES)
		return az_fail(err, AZ_ETOOBIG, op, "the archive's directory is too large");
	out->v = az_arena_alloc(a, ((size_t)w.entries + 1) * sizeof *out->v);
	text = malloc((size_t)w.bytes + 1);
	if (!out->v || !text) {
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
		goto out;
	}
	if (!read_at(fd, w.at, text, (size_t)w.bytes)) {
		rc = az_fail_errno(err, AZ_EIO, op, "cannot read the upload");
		goto out;
	}
	rest = (struct az_str){text, (size_t)w.bytes};
	for (out->n = 0; out->n < (size_t)w.entries; out->n++) {
		rc = one_entry(fd, &rest, w.at, a, &out->v[out->n], err);
		if (rc)
			goto out;
	}
	if (rest.n) {
		rc = malformed(err, "its directory is longer than it says");
		goto out;
	}
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_offset);
	for (size_t i = 1; i < out->n; i++)
		if (out->v[i].at < out->v[i - 1].end) {
			rc = archive_refuse(
			    err, AZ_EINVAL, out->v[i].name, "it overlaps another entry");
			goto out;
		}
out:
	free(text);
	return rc;
}
