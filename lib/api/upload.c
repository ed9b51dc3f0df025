/*
 * Files on their way into an input set: blobs as they come, the manifest last. Until
 * upload_commit() nothing is listed; without it what was written is removed again.
 */
#include <azlon/clock.h>
#include <azlon/path.h>
#include "files.h"
#include "quota.h"

struct upload {
	const struct az_api *api;
	struct az_bucket b;
	struct az_str set;
	struct az_arena *a;
	bool fresh, began, committed;
	struct quota quota;
	struct az_manifest files;    /* what this upload brought */
	struct az_manifest replaced; /* what stood in the set under the same names */
	struct az_blob_writer *w;
	struct az_file now; /* the file under way */
	int64_t file_bytes, total;
};

static const char op[] = "files.upload";

enum az_code
upload_open(const struct az_api *api, const struct az_bucket *b, struct az_str set,
    struct az_arena *a, bool fresh, struct upload **out, struct az_err *err)
{
	struct upload *u = az_arena_alloc(a, sizeof *u);
	enum az_code rc;

	*out = NULL;
	if (!u)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	rc = quota_begin(&u->quota, api, b, err);
	if (rc)
		return rc;
	u->api = api;
	u->b = *b;
	u->set = set;
	u->a = a;
	u->fresh = fresh;
	az_manifest_init(&u->files, a);
	/* its manifest is an object too */
	rc = fresh ? quota_claim(&u->quota, 0, 1, err) : AZ_OK;
	if (rc)
		quota_end(&u->quota, false);
	else
		*out = u;
	return rc;
}

enum az_code
upload_fits(struct upload *u, int64_t bytes, struct az_err *err)
{
	return quota_fits(&u->quota, bytes, 1, err);
}

enum az_code
upload_begin(struct upload *u, struct az_str path, unsigned mode, struct az_err *err)
{
	enum az_code rc;

	memset(&u->now, 0, sizeof u->now);
	rc = files_path(u->a, path, &u->now.path, err);
	if (rc)
		return rc;
	if (az_manifest_find(&u->files, u->now.path))
		return az_fail(err, AZ_EINVAL, op, "the upload has two files named \"%.*s\"",
		    AZ_FMT(u->now.path));
	if (u->files.n >= FILES_SET_MAX)
		return az_fail(
		    err, AZ_ETOOBIG, op, "an input set holds at most %d files", FILES_SET_MAX);
	rc = quota_claim(&u->quota, 0, 1, err);
	if (rc)
		return rc;
	u->began = true;
	u->now.mode = mode;
	u->now.modified_ms = az_wall_ms();
	u->file_bytes = 0;
	rc = az_blob_open(u->api->store, &u->b, AZ_S(""), u->set, &u->w, err);
	return api_store_rc(rc, err);
}

enum az_code
upload_data(struct upload *u, struct az_str bytes, struct az_err *err)
{
	enum az_code rc;

	u->file_bytes += (int64_t)bytes.n;
	u->total += (int64_t)bytes.n;
	if (u->file_bytes > u->api->upload_bytes || u->total > u->api->upload_bytes)
		return az_fail(err, AZ_ETOOBIG, op,
		    "the upload is larger than %lld bytes, the limit for one file "
		    "and for one upload",
		    (long long)u->api->upload_bytes);
	rc = quota_claim(&u->quota, (int64_t)bytes.n, 0, err);
	return rc ? rc : api_store_rc(az_blob_write(u->w, bytes, err), err);
}

enum az_code
upload_end(struct upload *u, struct az_err *err)
{
	struct az_blob_writer *w = u->w;
	enum az_code rc;

	u->w = NULL;
	rc = az_blob_commit(w, &u->now, err);
	if (rc)
		return api_store_rc(rc, err);
	quota_stored(&u->quota);
	return az_manifest_set(&u->files, &u->now, err);
}

static enum az_code
on_entry(void *arg, struct az_str path, unsigned mode, struct az_err *err)
{
	return upload_begin(arg, path, mode, err);
}

static enum az_code
on_data(void *arg, struct az_str bytes, struct az_err *err)
{
	return upload_data(arg, bytes, err);
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	return upload_end(arg, err);
}

enum az_code
upload_archive(struct upload *u, int fd, struct az_err *err)
{
	struct az_archive_limits lim = {
	    .entries = AZ_LIM_ARCHIVE_ENTRIES,
	    .file_bytes = u->api->upload_bytes,
	    .total_bytes = u->api->upload_bytes,
	    .ratio = AZ_LIM_ARCHIVE_RATIO,
	};
	struct az_archive_in in = {on_entry, on_data, on_end, u};

	return az_archive_read(fd, &lim, &in, err);
}

const struct az_manifest *
upload_files(const struct upload *u)
{
	return &u->files;
}

static enum az_code
merge(struct az_manifest *m, void *arg, bool *changed, struct az_err *err)
{
	struct upload *u = arg;
	enum az_code rc = AZ_OK;

	az_manifest_init(&u->replaced, u->a);
	for (size_t i = 0; !rc && i < u->files.n; i++) {
		const struct az_file *f = &u->files.files[i];
		const struct az_file *there = az_manifest_find(m, f->path);

		if (there && !az_file_same_blob(there, f))
			rc = az_manifest_set(&u->replaced, there, err);
		if (!rc)
			rc = az_manifest_set(m, f, err);
	}
	if (!rc && m->n > FILES_SET_MAX)
		rc = az_fail(
		    err, AZ_ETOOBIG, op, "an input set holds at most %d files", FILES_SET_MAX);
	*changed = true;
	return rc;
}

static enum az_code
forget(struct az_manifest *m, void *arg, bool *changed, struct az_err *err)
{
	struct upload *u = arg;

	(void)err;
	for (size_t i = 0; i < u->files.n; i++) {
		const struct az_file *f = &u->files.files[i];
		const struct az_file *there = az_manifest_find(m, f->path);

		if (there && az_file_same_blob(there, f)) {
			az_manifest_drop(m, f->path);
			*changed = true;
		}
	}
	return AZ_OK;
}

/* Somebody who removed a file of the same content may have taken the blob with it,
   between our writing it and our naming it. */
static enum az_code
all_there(struct upload *u, struct az_str manifest, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct az_buf key;

	az_buf_init(&key, 1024);
	for (size_t i = 0; !rc && i < u->files.n; i++) {
		struct az_obj o;

		az_buf_reset(&key);
		az_key_input_blob(&key, u->set, az_file_blob(&u->files.files[i]));
		rc = az_store_stat(u->api->store, &u->b, az_buf_str(&key), &o, err);
	}
	az_buf_release(&key);
	if (rc != AZ_ENOTFOUND)
		return api_store_rc(rc, err);
	rc = files_edit(u->api, &u->b, manifest, false, forget, u, err);
	if (rc && rc != AZ_ENOTFOUND)
		return rc;
	(void)az_fail(err, AZ_EUNAVAIL, op, "a file was removed while it was uploaded; try again");
	err->retry_after_ms = 1000;
	return az_err_reason(err, "busy");
}

enum az_code
upload_commit(struct upload *u, struct az_err *err)
{
	struct az_err ignored;
	struct az_buf key;
	enum az_code rc;

	if (u->files.n == 0)
		return az_fail(err, AZ_EINVAL, op, "the upload holds no file");
	az_buf_init(&key, 1024);
	az_key_input_manifest(&key, u->set);
	rc = files_edit(u->api, &u->b, az_buf_str(&key), true, merge, u, err);
	if (!rc) {
		u->committed = true;
		if (!u->fresh)
			rc = all_there(u, az_buf_str(&key), err);
		/* the upload is in; what it replaced only takes room now */
		if (!rc && u->replaced.n) {
			(void)!upload_drop_blobs(u->api, &u->b, u->set, &u->replaced, &ignored);
			quota_forget(u->api, &u->b);
		}
	}
	az_buf_release(&key);
	return rc;
}

enum az_code
upload_drop_blobs(const struct az_api *api, const struct az_bucket *b, struct az_str set,
    const struct az_manifest *gone, struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct az_manifest left;
	struct az_str *keys;
	struct az_buf key;
	size_t n = 0;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_buf_init(&key, 1024);
	az_manifest_init(&left, a);
	rc = files_set_load(api, b, set, &left, err);
	if (rc == AZ_ENOTFOUND)
		rc = AZ_OK;
	keys = az_arena_alloc(a, (gone->n + 1) * sizeof *keys);
	if (!rc && !keys)
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	for (size_t i = 0; keys && !rc && i < gone->n; i++) {
		bool named = false;

		for (size_t k = 0; !named && k < left.n; k++)
			named = az_file_same_blob(&left.files[k], &gone->files[i]);
		if (named)
			continue;
		az_buf_reset(&key);
		az_key_input_blob(&key, set, az_file_blob(&gone->files[i]));
		keys[n] = az_arena_str(a, az_buf_str(&key));
		if (!keys[n++].p)
			rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	}
	if (!rc)
		rc = api_store_rc(az_store_remove_many(api->store, b, keys, n, err), err);
	az_buf_release(&key);
	az_arena_free(a);
	return rc;
}

void
upload_close(struct upload *u)
{
	struct az_err ignored;
	struct az_buf prefix;

	if (!u)
		return;
	az_blob_abort(u->w);
	u->w = NULL;
	quota_end(&u->quota, u->committed);
	if (u->committed || !u->began)
		return;
	/* best effort: the caller answers with the failure that brought us here, and
	   nothing names what would be left */
	if (u->fresh) {
		az_buf_init(&prefix, 1024);
		az_key_input(&prefix, u->set, AZ_S(""));
		(void)!az_store_remove_prefix(u->api->store, &u->b, az_buf_str(&prefix), &ignored);
		az_buf_release(&prefix);
	} else if (u->files.n) {
		(void)!upload_drop_blobs(u->api, &u->b, u->set, &u->files, &ignored);
	}
}
