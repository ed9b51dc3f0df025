/* Blobs: bodies hashed while they are stored, and named by their sha256 where that is in time. */
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/manifest.h>

struct az_blob_writer {
	struct az_store *store;
	struct az_bucket bucket;
	struct az_put *put;
	struct az_sha256 *hash;
	int64_t size;
	bool run; /* owner is a workflow id, else an input set */
	char owner[256];
	size_t owner_n;
	char first[27]; /* its name until its digest is known */
};

static void
key_of(struct az_buf *b, bool run, struct az_str owner, struct az_str name)
{
	if (run)
		az_key_blob(b, owner, name);
	else
		az_key_input_blob(b, owner, name);
}

static void
release(struct az_blob_writer *w)
{
	az_store_put_abort(w->put);
	az_sha256_free(w->hash);
	free(w);
}

enum az_code
az_blob_open(struct az_store *s, const struct az_bucket *b, struct az_str wid, struct az_str set,
    struct az_blob_writer **out, struct az_err *err)
{
	static const char op[] = "blob.open";
	struct az_str owner = wid.n ? wid : set;
	struct az_blob_writer *w;
	enum az_code rc;
	struct az_buf key, name;

	*out = NULL;
	w = calloc(1, sizeof *w);
	if (!w)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	az_buf_init(&key, 1024);
	az_buf_init(&name, 64);
	if (owner.n == 0 || owner.n > sizeof w->owner) {
		rc = az_fail(err, AZ_EINVAL, op, "neither run nor input set");
		goto out;
	}
	w->store = s;
	w->bucket = *b;
	w->run = wid.n != 0;
	memcpy(w->owner, owner.p, owner.n);
	w->owner_n = owner.n;
	w->hash = az_sha256_new();
	if (!w->hash) {
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
		goto out;
	}
	az_random_id(&name, 26);
	key_of(&key, w->run, owner, az_buf_str(&name));
	rc = az_buf_check(&name, op, err);
	if (!rc)
		rc = az_buf_check(&key, op, err);
	if (!rc)
		memcpy(w->first, name.p, 26);
	if (!rc)
		rc = az_store_put_open(s, b, az_buf_str(&key), &w->put, err);
	if (!rc) {
		*out = w;
		w = NULL;
	}
out:
	az_buf_release(&key);
	az_buf_release(&name);
	if (w)
		release(w);
	return rc;
}

enum az_code
az_blob_write(struct az_blob_writer *w, struct az_str chunk, struct az_err *err)
{
	az_sha256_add(w->hash, chunk.p, chunk.n);
	w->size += (int64_t)chunk.n;
	return az_store_put_write(w->put, chunk, err);
}

/* Is the blob there already? A wrong size means a damaged one: write it again. */
static enum az_code
have(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t size, bool *yes,
    struct az_err *err)
{
	struct az_obj o;
	enum az_code rc = az_store_stat(s, b, key, &o, err);

	*yes = !rc && o.bytes == size;
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

enum az_code
az_blob_commit(struct az_blob_writer *w, struct az_file *f, struct az_err *err)
{
	unsigned char d[32];
	struct az_buf key;
	enum az_code rc;
	bool there;

	az_sha256_done(w->hash, d);
	w->hash = NULL;
	az_hex(d, sizeof d, f->sha256);
	f->blob[0] = '\0';
	f->size = w->size;
	az_buf_init(&key, 1024);
	key_of(&key, w->run, az_str_n(w->owner, w->owner_n), az_str_n(f->sha256, 64));
	rc = az_buf_check(&key, "blob.commit", err);
	if (!rc)
		rc = have(w->store, &w->bucket, az_buf_str(&key), w->size, &there, err);
	if (!rc && !there) {
		rc = az_store_put_name(w->put, az_buf_str(&key), err);
		if (rc == AZ_EUNSUPPORTED) {
			memcpy(f->blob, w->first, sizeof f->blob);
			rc = AZ_OK;
		}
		if (!rc) {
			rc = az_store_put_commit(w->put, err);
			w->put = NULL;
		}
	}
	az_buf_release(&key);
	release(w);
	return rc;
}

void
az_blob_abort(struct az_blob_writer *w)
{
	if (w)
		release(w);
}

enum az_code
az_blob_put(struct az_store *s, const struct az_bucket *b, struct az_str wid, struct az_str set,
    struct az_str body, char sha256[65], struct az_err *err)
{
	struct az_buf key;
	enum az_code rc;
	bool there;

	az_sha256_hex(body, sha256);
	az_buf_init(&key, 1024);
	key_of(&key, wid.n != 0, wid.n ? wid : set, (struct az_str){sha256, 64});
	rc = az_buf_check(&key, "blob.put", err);
	if (!rc)
		rc = have(s, b, az_buf_str(&key), (int64_t)body.n, &there, err);
	if (!rc && !there)
		rc = az_store_put(s, b, az_buf_str(&key), body, err);
	az_buf_release(&key);
	return rc;
}
