/*
 * GET /files/{id}?format=: an archive made while it is sent. A few objects are open at a
 * time, so memory does not depend on what is in it. Each archive holds a thread for as long
 * as the client takes to read: a few at once, and of one user fewer, the rest are told to come
 * back; who hardly reads is left.
 */
#include <pthread.h>
#include <azlon/ahead.h>
#include <azlon/clock.h>
#include "files.h"

#define ARCHIVES_MAX 16
#define ARCHIVES_OF_USER 4 /* once half of the places are taken */
#define ARCHIVES_RETRY_MS 5000

static pthread_mutex_t places_mu = PTHREAD_MUTEX_INITIALIZER;
static const struct az_bucket *places[ARCHIVES_MAX]; /* whose archives are under way */

struct job {
	struct az_rq *rq;
	const struct az_api *api;
	const struct az_bucket *b;
	struct az_str wid, prefix;
	struct az_str path; /* a file, or a directory with all in it; empty = everything */
	const struct az_manifest *m;
	enum az_archive_format format;
	struct az_archive_writer *w;
	struct az_ahead *ahead;
	size_t asked; /* files of m up to here were asked for ahead */
	char *chunk;
	int64_t sent, waited_ms; /* bytes, and for how long the client did not take them */
};

/* A minute, and 16 KiB/s. Time that the store takes is not the client's. */
bool
files_archive_too_slow(int64_t waited_ms, int64_t sent)
{
	return waited_ms > 60000 + sent / 16;
}

static enum az_code
to_client(void *arg, struct az_str bytes, struct az_err *err)
{
	struct job *j = arg;
	int64_t from = az_boot_ms();
	enum az_code rc = az_rs_write(j->rq, bytes, err);

	j->waited_ms += az_boot_ms() - from;
	j->sent += (int64_t)bytes.n;
	if (!rc && files_archive_too_slow(j->waited_ms, j->sent))
		rc = az_fail(err, AZ_ECANCELLED, "files.archive", "the client hardly reads");
	return rc;
}

static void
headers(struct job *j)
{
	struct az_buf b;
	bool zip = j->format == AZ_ZIP;

	az_buf_init(&b, 1024);
	az_buf_addf(
	    &b, "attachment; filename=\"%.*s%s\"", AZ_FMT(j->wid), zip ? ".zip" : ".tar.gz");
	az_rs_header(
	    j->rq, "Content-Type", zip ? AZ_S("application/zip") : AZ_S("application/gzip"));
	az_rs_header(j->rq, "Content-Disposition", az_buf_str(&b));
	az_rs_header(j->rq, "Cache-Control", AZ_S("private, no-store"));
	az_buf_release(&b);
}

static enum az_code
begin(struct job *j, struct az_err *err)
{
	return j->w ? AZ_OK : az_archive_begin(j->format, to_client, j, &j->w, err);
}

static bool
wanted(const struct job *j, struct az_str path)
{
	if (!az_str_starts(path, j->prefix))
		return false;
	return j->path.n == 0 || az_str_eq(path, j->path) || files_below(path, j->path);
}

static bool
any_wanted(const struct job *j)
{
	for (size_t i = 0; i < j->m->n; i++)
		if (wanted(j, j->m->files[i].path))
			return true;
	return false;
}

/* The key of the next file to be opened ahead: in the order that send_all() has. */
static bool
next_key(void *arg, struct az_buf *key)
{
	struct job *j = arg;

	while (j->asked < j->m->n) {
		const struct az_file *f = &j->m->files[j->asked++];

		if (!wanted(j, f->path))
			continue;
		az_key_blob(key, j->wid, az_file_blob(f));
		return true;
	}
	return false;
}

static enum az_code
one_file(struct job *j, const struct az_file *f, struct az_err *err)
{
	int64_t left = f->size;
	struct az_obj o;
	enum az_code rc = az_ahead_next(j->ahead, &o, err);

	/* a file the manifest names must be there: not the client's 404 */
	if (rc == AZ_ENOTFOUND || (!rc && o.bytes != f->size))
		rc = az_fail(
		    err, AZ_EIO, "files.archive", "a stored object is missing or has another size");
	if (rc)
		return api_store_rc(rc, err);
	/* only now, so that a store that is away is still a proper answer */
	rc = begin(j, err);
	if (!rc)
		rc = az_archive_entry(j->w, f->path, f->size, f->mode, f->modified_ms, err);
	while (!rc && left) {
		size_t got;

		rc = az_ahead_read(j->ahead, j->chunk, FILES_CHUNK, &got, err);
		if (!rc && (got == 0 || (int64_t)got > left))
			rc = az_fail(
			    err, AZ_EIO, "files.archive", "a stored object changed its size");
		if (!rc)
			rc = az_archive_data(j->w, az_str_n(j->chunk, got), err);
		left -= (int64_t)got;
	}
	return rc;
}

static enum az_code
send_all(struct job *j, struct az_err *err)
{
	const struct az_ahead_opts ahead = {j->api->store, j->b, next_key, j};
	enum az_code rc = az_ahead_open(&ahead, &j->ahead, err);

	for (size_t i = 0; !rc && i < j->m->n; i++)
		if (wanted(j, j->m->files[i].path))
			rc = one_file(j, &j->m->files[i], err);
	if (!rc)
		rc = begin(j, err);
	if (!rc) {
		rc = az_archive_finish(j->w, err);
		j->w = NULL;
	}
	/* past the first byte the loop breaks the connection off on a failure, so what
	   the client has is never a well-formed archive that lacks files */
	az_archive_abort(j->w);
	az_ahead_close(j->ahead);
	return rc;
}

/* b stays where it is until place_leave(). */
static enum az_code
place_take(const struct az_bucket *b, size_t *place, struct az_err *err)
{
	size_t mine = 0, taken = 0, at = ARCHIVES_MAX;
	enum az_code rc = AZ_OK;

	pthread_mutex_lock(&places_mu);
	for (size_t i = ARCHIVES_MAX; i-- > 0;) {
		if (!places[i]) {
			at = i;
			continue;
		}
		taken++;
		mine += strcmp(places[i]->name, b->name) == 0;
	}
	if (mine >= ARCHIVES_OF_USER && taken >= ARCHIVES_MAX / 2) {
		(void)az_fail(
		    err, AZ_EQUOTA, "files.archive", "Too many archives of this user at once.");
		rc = az_err_reason(err, "rate_limited");
	} else if (at == ARCHIVES_MAX) {
		(void)az_fail(err, AZ_EUNAVAIL, "files.archive",
		    "too many archives are being made; try again");
		rc = az_err_reason(err, "busy");
	} else {
		places[at] = b;
	}
	pthread_mutex_unlock(&places_mu);
	if (rc)
		err->retry_after_ms = ARCHIVES_RETRY_MS;
	*place = at;
	return rc;
}

static void
place_leave(size_t place)
{
	pthread_mutex_lock(&places_mu);
	places[place] = NULL;
	pthread_mutex_unlock(&places_mu);
}

enum az_code
files_archive(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_str format = az_rq_query(rq, "format");
	struct job j = {.rq = rq, .api = app};
	struct az_caller caller;
	struct az_manifest m;
	struct az_bucket b;
	enum az_code rc;
	size_t place;
	int n;

	rc = api_caller_run(rq, app, &caller, &j.wid, err);
	if (!rc)
		rc = files_iteration(rq, &n, err);
	if (rc)
		return rc;
	if (az_str_eqc(format, "zip"))
		j.format = AZ_ZIP;
	else if (az_str_eqc(format, "tar.gz"))
		j.format = AZ_TAR_GZ;
	else
		return az_fail(err, AZ_EINVAL, "files.archive", "format: \"zip\" or \"tar.gz\"");
	b = az_bucket_of(caller.uid);
	rc = files_tree(app, az_rq_arena(rq), &b, j.wid, n, &m, err);
	if (rc)
		return rc;
	j.b = &b;
	j.m = &m;
	j.prefix = az_rq_query(rq, "prefix");
	j.path = az_rq_param(rq, "path");
	while (j.path.n && j.path.p[j.path.n - 1] == '/')
		j.path.n--;
	if (j.path.n && !any_wanted(&j))
		return az_fail(err, AZ_ENOTFOUND, "files.archive", "no such file or directory");
	headers(&j);
	if (az_rq_is_head(rq))
		return AZ_OK;
	j.chunk = az_arena_alloc(az_rq_arena(rq), FILES_CHUNK);
	if (!j.chunk)
		return az_fail(err, AZ_ENOMEM, "files.archive", "out of memory");
	if ((rc = place_take(&b, &place, err)) != AZ_OK)
		return rc;
	rc = send_all(&j, err);
	place_leave(place);
	return rc;
}
