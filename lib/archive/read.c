/*
 * Archives in. What may come out of one is decided here, entry by entry, on the bytes
 * that really come and never on the sizes it declares.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "archive_room.h"

#define CHUNK ((size_t)64 * 1024)
#define NAMES_BYTES AZ_MIB(64) /* 10,000 of the longest names, folded too */

static const char op[] = "archive.read";

struct reader {
	struct archive *a;
	const struct az_archive_limits *lim;
	const struct az_archive_in *in;
	struct az_arena *arena;
	struct names *seen;
	struct zip_dir zip;
	bool is_zip;
	size_t entries, files;
	int64_t total;
	char *chunk;
};

static enum az_code
damaged(struct reader *r, struct az_err *err)
{
	const char *text = archive_error_string(r->a);

	if (archive_errno(r->a) == ENOMEM)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	return az_fail(err, AZ_EINVAL, op, "the archive is damaged: %s",
	    text && az_str_utf8_ok(az_str_c(text)) ? text : "unreadable");
}

/* The name as the archive has it, and whether it is a directory. */
static enum az_code
raw_name(struct reader *r, struct archive_entry *e, struct az_str *name, bool *dir, unsigned *mode,
    struct az_err *err)
{
	const char *p;

	if (r->is_zip) {
		const struct zip_entry *z = &r->zip.v[r->entries - 1];

		*name = z->name;
		*dir = z->dir;
		*mode = z->mode;
	} else {
		p = archive_entry_pathname_utf8(e);
		if (!p)
			return az_fail(err, AZ_EINVAL, op, "entry %zu: its name is not valid UTF-8",
			    r->entries);
		*name = az_str_c(p);
		*dir = archive_entry_filetype(e) == AE_IFDIR;
		*mode = archive_entry_perm(e) & 0111 ? 0755 : 0644;
		/* what "tar -C dir ." writes */
		if (az_str_starts(*name, AZ_S("./")))
			*name = az_str_sub(*name, 2, name->n);
	}
	if (*dir && name->n && name->p[name->n - 1] == '/')
		name->n--;
	return AZ_OK;
}

static enum az_code
kind_ok(struct archive_entry *e, struct az_str name, bool dir, struct az_err *err)
{
	if (archive_entry_hardlink(e) || archive_entry_symlink(e) ||
	    archive_entry_filetype(e) == AE_IFLNK)
		return archive_refuse(err, AZ_EINVAL, name, "links are not taken");
	if (archive_entry_filetype(e) != (dir ? AE_IFDIR : AE_IFREG))
		return archive_refuse(err, AZ_EINVAL, name, "not a regular file or directory");
	if (archive_entry_is_encrypted(e))
		return archive_refuse(err, AZ_EINVAL, name, "it is encrypted");
	return AZ_OK;
}

static enum az_code
too_much(struct reader *r, struct az_str path, int64_t bytes, struct az_err *err)
{
	int64_t packed, real = bytes;

	if (bytes > r->lim->file_bytes)
		return archive_refuse(
		    err, AZ_ETOOBIG, path, "it is larger than the limit for one file");
	if (r->total > r->lim->total_bytes)
		return archive_refuse(err, AZ_ETOOBIG, path,
		    "with it the archive holds more than the limit in total");
	if (r->is_zip) {
		packed = r->zip.v[r->entries - 1].packed;
	} else {
		packed = archive_filter_bytes(r->a, -1);
		real = r->total;
	}
	if (real > (int64_t)AZ_MIB(1) && real / r->lim->ratio > packed)
		return archive_refuse(
		    err, AZ_ETOOBIG, path, "it inflates beyond the allowed ratio");
	return AZ_OK;
}

static enum az_code
one_file(struct reader *r, struct az_str path, unsigned mode, struct az_err *err)
{
	int64_t bytes = 0;
	enum az_code rc = r->in->entry(r->in->arg, path, mode, err);

	while (!rc) {
		la_ssize_t k = archive_read_data(r->a, r->chunk, CHUNK);

		if (k < 0) /* a wrong checksum is only a warning there */
			return damaged(r, err);
		if (k == 0)
			break;
		bytes += k;
		r->total += k;
		rc = too_much(r, path, bytes, err);
		if (!rc)
			rc = r->in->data(r->in->arg, az_str_n(r->chunk, (size_t)k), err);
	}
	if (!rc)
		rc = r->in->entry_end(r->in->arg, err);
	return rc;
}

static enum az_code
one_entry(struct reader *r, struct archive_entry *e, struct az_err *err)
{
	struct az_str raw = {NULL, 0};
	struct az_buf path;
	unsigned mode = 0644;
	struct az_err why;
	bool dir = false;
	enum az_code rc;

	if (++r->entries > r->lim->entries)
		return az_fail(
		    err, AZ_ETOOBIG, op, "the archive has more than %zu entries", r->lim->entries);
	if (r->is_zip && r->entries > r->zip.n)
		return az_fail(
		    err, AZ_EINVAL, op, "the archive has entries its directory does not know");
	az_buf_init(&path, 4096);
	rc = raw_name(r, e, &raw, &dir, &mode, err);
	if (rc || (dir && !r->is_zip && (raw.n == 0 || az_str_eqc(raw, "."))))
		goto out; /* the root itself */
	rc = az_path_ok(raw, &why);
	if (!rc)
		rc = az_name_nfc(raw, &path, &why);
	if (!rc) /* composing may have changed what the rules looked at */
		rc = az_path_ok(az_buf_str(&path), &why);
	if (rc) {
		rc = archive_refuse(err, rc, raw, why.text);
		goto out;
	}
	rc = kind_ok(e, raw, dir, err);
	if (!rc)
		rc = names_add(r->seen, az_buf_str(&path), dir, err);
	if (!rc && !dir)
		rc = one_file(r, az_buf_str(&path), mode, err);
out:
	az_buf_release(&path);
	return rc;
}

/* Only what the first bytes say it is: libarchive is not left to guess. */
static enum az_code
open_by_magic(struct reader *r, int fd, struct az_err *err)
{
	unsigned char m[4] = {0};
	struct stat st;
	enum az_code rc;
	int k;

	if (fstat(fd, &st) < 0 || pread(fd, m, sizeof m, 0) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return az_fail_errno(err, AZ_EIO, op, "cannot read the upload");
	r->is_zip = m[0] == 'P' && m[1] == 'K';
	if (r->is_zip) {
		rc = zip_dir_read(fd, (int64_t)st.st_size, r->lim->entries, r->arena, &r->zip, err);
		if (rc || r->zip.n == 0)
			return rc;
		k = archive_read_support_format_zip_seekable(r->a);
	} else {
		k = archive_read_support_format_tar(r->a);
		if (k == ARCHIVE_OK && m[0] == 0x1f && m[1] == 0x8b)
			k = archive_read_support_filter_gzip(r->a);
	}
	if (k != ARCHIVE_OK)
		return az_fail(err, AZ_EINTERNAL, op, "this libarchive cannot read the format");
	if (archive_read_open_fd(r->a, fd, CHUNK) != ARCHIVE_OK)
		return az_fail(err, AZ_EINVAL, op, "neither a zip nor a tar archive");
	return AZ_OK;
}

enum az_code
az_archive_read(
    int fd, const struct az_archive_limits *lim, const struct az_archive_in *in, struct az_err *err)
{
	struct reader r = {.lim = lim, .in = in};
	struct archive_entry *e;
	locale_t was = archive_locale_enter();
	enum az_code rc;
	int k;

	if (!was)
		return az_fail(err, AZ_EUNSUPPORTED, op, "no C.UTF-8 locale on this host");
	r.arena = az_arena_new(NAMES_BYTES);
	r.chunk = malloc(CHUNK);
	r.a = archive_read_new();
	if (!r.arena || !r.chunk || !r.a || !(r.seen = names_new(r.arena, lim->entries))) {
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
		goto out;
	}
	rc = open_by_magic(&r, fd, err);
	/* an empty zip is well-formed, but libarchive does not know it for one */
	if (rc || (r.is_zip && r.zip.n == 0))
		goto out;
	while ((k = archive_read_next_header(r.a, &e)) == ARCHIVE_OK) {
		rc = one_entry(&r, e, err);
		if (rc)
			goto out;
	}
	if (k != ARCHIVE_EOF)
		rc = r.entries || r.is_zip
			 ? damaged(&r, err)
			 : az_fail(err, AZ_EINVAL, op, "neither a zip nor a tar archive");
	else if (r.is_zip && r.entries != r.zip.n)
		rc = az_fail(
		    err, AZ_EINVAL, op, "the archive's directory names entries that are not there");
out:
	if (r.a)
		archive_read_free(r.a);
	free(r.chunk);
	az_arena_free(r.arena);
	archive_locale_leave(was);
	return rc;
}
