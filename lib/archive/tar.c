/*
 * A tar made by somebody who may be hostile, held in memory and taken entry by entry: what
 * is no plain file is told and passed over, what breaks a limit ends the reading.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "archive_room.h"

#define CHUNK ((size_t)64 * 1024)

static const char op[] = "archive.tar";

struct tar {
	struct archive *a;
	const struct az_archive_limits *lim;
	const struct az_tar_in *in;
	char *chunk;
	int64_t total;
};

static enum az_code
damaged(struct tar *t, struct az_err *err)
{
	if (archive_errno(t->a) == ENOMEM)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	return az_fail(err, AZ_EINVAL, op, "the archive is damaged");
}

/* Holes of sparse files are filled in by libarchive: they count like other bytes. */
static enum az_code
contents(struct tar *t, struct az_err *err)
{
	int64_t bytes = 0;

	for (;;) {
		la_ssize_t k = archive_read_data(t->a, t->chunk, CHUNK);
		enum az_code rc;

		if (k < 0)
			return damaged(t, err);
		if (k == 0)
			return AZ_OK;
		bytes += k;
		t->total += k;
		if (bytes > t->lim->file_bytes || t->total > t->lim->total_bytes)
			return az_fail(err, AZ_ETOOBIG, op, "the archive holds too much");
		rc = t->in->data(t->in->arg, az_str_n(t->chunk, (size_t)k), err);
		if (rc)
			return rc;
	}
}

static enum az_tar_kind
kind_of(struct archive_entry *e)
{
	if (archive_entry_hardlink(e))
		return AZ_TAR_HARDLINK;
	return archive_entry_filetype(e) == AE_IFREG ? AZ_TAR_FILE : AZ_TAR_OTHER;
}

static enum az_code
one(struct tar *t, struct archive_entry *e, struct az_err *err)
{
	const char *p = archive_entry_pathname_utf8(e);
	struct az_str path = az_str_c(p);
	enum az_tar_kind kind = kind_of(e);
	bool take = false;
	enum az_code rc;

	if (az_str_starts(path, AZ_S("./")))
		path = az_str_sub(path, 2, path.n);
	if (!p || az_path_ok(path, NULL) != AZ_OK)
		return AZ_OK;
	rc = t->in->entry(t->in->arg, path, kind, &take, err);
	if (rc || !take || kind != AZ_TAR_FILE)
		return rc;
	rc = contents(t, err);
	return rc ? rc : t->in->entry_end(t->in->arg, err);
}

enum az_code
az_archive_tar(struct az_str bytes, const struct az_archive_limits *lim, const struct az_tar_in *in,
    struct az_err *err)
{
	struct tar t = {.lim = lim, .in = in};
	struct archive_entry *e;
	locale_t was = archive_locale_enter();
	enum az_code rc = AZ_OK;
	size_t entries = 0;
	int k;

	if (!was)
		return az_fail(err, AZ_EUNSUPPORTED, op, "no C.UTF-8 locale on this host");
	t.chunk = malloc(CHUNK);
	t.a = archive_read_new();
	if (!t.chunk || !t.a) {
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
		goto out;
	}
	if (archive_read_support_format_tar(t.a) != ARCHIVE_OK ||
	    archive_read_open_memory(t.a, bytes.p, bytes.n) != ARCHIVE_OK) {
		rc = az_fail(err, AZ_EINVAL, op, "not a tar archive");
		goto out;
	}
	/* a warning is about an attribute we do not look at */
	while ((k = archive_read_next_header(t.a, &e)) == ARCHIVE_OK || k == ARCHIVE_WARN) {
		if (++entries > lim->entries)
			rc = az_fail(err, AZ_ETOOBIG, op, "more than %zu entries", lim->entries);
		else
			rc = one(&t, e, err);
		if (rc)
			goto out;
	}
	if (k != ARCHIVE_EOF)
		rc = damaged(&t, err);
out:
	if (t.a)
		archive_read_free(t.a);
	free(t.chunk);
	archive_locale_leave(was);
	return rc;
}
