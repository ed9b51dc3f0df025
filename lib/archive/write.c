/*
 * Archives out: straight into the caller's sink, nothing kept but libarchive's state
 * and, for zip, the directory of what was written (about 100 bytes an entry).
 */
#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <azlon/path.h>
#include "archive_room.h"

struct az_archive_writer {
	struct archive *a;
	struct archive_entry *e;
	enum az_code (*sink)(void *arg, struct az_str bytes, struct az_err *err);
	void *arg;
	struct az_err sunk; /* how the sink failed, if it did */
	int64_t left;       /* bytes the entry under way still needs */
	bool dead;          /* aborted: nothing reaches the sink any more */
};

static la_ssize_t
on_write(struct archive *a, void *arg, const void *p, size_t n)
{
	struct az_archive_writer *w = arg;

	if (!w->dead && w->sink(w->arg, az_str_n(p, n), &w->sunk) == AZ_OK)
		return (la_ssize_t)n;
	if (w->sunk.code == AZ_OK)
		w->sunk.code = AZ_EIO;
	archive_set_error(a, 1, "the receiver failed");
	return -1;
}

/* The sink's own failure where it is the cause, else libarchive's. */
static enum az_code
failed(struct az_archive_writer *w, struct az_err *err)
{
	const char *text;

	if (w->sunk.code) {
		if (err)
			*err = w->sunk;
		return w->sunk.code;
	}
	text = archive_error_string(w->a);
	return az_fail(
	    err, AZ_EIO, "archive.write", "%s", text ? text : "cannot write the archive");
}

static void
release(struct az_archive_writer *w)
{
	if (w->e)
		archive_entry_free(w->e);
	if (w->a)
		archive_write_free(w->a);
	free(w);
}

/* Every option is one this libarchive knows: a refusal is our bug. */
static bool
set_format(struct archive *a, enum az_archive_format f)
{
	if (f == AZ_ZIP)
		return archive_write_set_format_zip(a) == ARCHIVE_OK &&
		       archive_write_set_options(a, "zip:compression=store,zip:hdrcharset=UTF-8") ==
			   ARCHIVE_OK;
	/* the gzip header's time would make equal trees differ */
	return archive_write_set_format_pax_restricted(a) == ARCHIVE_OK &&
	       archive_write_add_filter_gzip(a) == ARCHIVE_OK &&
	       archive_write_set_options(a, "pax:hdrcharset=UTF-8,gzip:!timestamp") == ARCHIVE_OK;
}

enum az_code
az_archive_begin(enum az_archive_format f,
    enum az_code (*sink)(void *arg, struct az_str bytes, struct az_err *err), void *arg,
    struct az_archive_writer **out, struct az_err *err)
{
	static const char op[] = "archive.begin";
	struct az_archive_writer *w = calloc(1, sizeof *w);
	enum az_code rc = AZ_OK;
	locale_t was = archive_locale_enter();

	*out = NULL;
	if (!w || !was || !(w->a = archive_write_new()) || !(w->e = archive_entry_new())) {
		rc = az_fail(err, was ? AZ_ENOMEM : AZ_EUNSUPPORTED, op,
		    was ? "out of memory" : "no C.UTF-8 locale on this host");
		goto out;
	}
	w->sink = sink;
	w->arg = arg;
	if (!set_format(w->a, f)) {
		rc = az_fail(err, AZ_EINTERNAL, op, "%s", archive_error_string(w->a));
		goto out;
	}
	archive_write_set_bytes_per_block(w->a, 0);
	if (archive_write_open(w->a, w, NULL, on_write, NULL) != ARCHIVE_OK) {
		rc = failed(w, err);
		goto out;
	}
	*out = w;
	w = NULL;
out:
	archive_locale_leave(was);
	if (w)
		az_archive_abort(w);
	return rc;
}

enum az_code
az_archive_entry(struct az_archive_writer *w, struct az_str path, int64_t size, unsigned mode,
    int64_t modified_ms, struct az_err *err)
{
	enum az_code rc = az_path_ok(path, err);
	locale_t was;
	char *name;

	if (rc)
		return rc;
	if (w->left)
		return az_fail(
		    err, AZ_EINTERNAL, "archive.entry", "the entry before is short of bytes");
	if (size < 0 || !(name = az_str_dup(path)))
		return az_fail(
		    err, size < 0 ? AZ_EINVAL : AZ_ENOMEM, "archive.entry", "no such entry");
	was = archive_locale_enter();
	archive_entry_clear(w->e);
	archive_entry_set_pathname_utf8(w->e, name);
	free(name);
	archive_entry_set_filetype(w->e, AE_IFREG);
	archive_entry_set_perm(w->e, mode & 0111 ? 0755 : 0644);
	archive_entry_set_size(w->e, size);
	archive_entry_set_mtime(w->e, (time_t)(modified_ms / 1000), 0);
	if (archive_write_header(w->a, w->e) != ARCHIVE_OK)
		rc = failed(w, err);
	archive_locale_leave(was);
	if (!rc)
		w->left = size;
	return rc;
}

enum az_code
az_archive_data(struct az_archive_writer *w, struct az_str bytes, struct az_err *err)
{
	if ((uint64_t)bytes.n > (uint64_t)w->left)
		return az_fail(err, AZ_EINTERNAL, "archive.data", "more bytes than the entry has");
	while (bytes.n) {
		la_ssize_t k = archive_write_data(w->a, bytes.p, bytes.n);

		if (k <= 0)
			return failed(w, err);
		w->left -= k;
		bytes = az_str_sub(bytes, (size_t)k, bytes.n);
	}
	return AZ_OK;
}

enum az_code
az_archive_finish(struct az_archive_writer *w, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	locale_t was;

	if (w->left) {
		az_archive_abort(w);
		return az_fail(
		    err, AZ_EINTERNAL, "archive.finish", "the last entry is short of bytes");
	}
	was = archive_locale_enter();
	if (archive_write_close(w->a) != ARCHIVE_OK)
		rc = failed(w, err);
	archive_locale_leave(was);
	release(w);
	return rc;
}

void
az_archive_abort(struct az_archive_writer *w)
{
	if (!w)
		return;
	/* closing is what frees the compressor; with a sink that takes nothing no end is
	   written, and the zeros a tar entry is padded with stop at the first block */
	w->dead = true;
	if (w->a)
		(void)archive_write_close(w->a);
	release(w);
}
