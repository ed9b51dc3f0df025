/*
 * finalize_run: the sandbox is killed, the tree of the best attempt becomes the final
 * one. Comes at the end of every run, whatever its outcome; may be repeated.
 */
#include "box.h"
#include "functions.h"
#include "user.h"

#include <azlon/keys.h>

#define OP "work.finalize"

static enum az_code
has_manifest(struct work_job *j, int n, bool *has, struct az_err *err)
{
	struct az_obj o;
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_iter(&key, job_wid(j), n, "manifest");
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = job_store_rc(
		    az_store_stat(j->w->store, &j->bkt, az_buf_str(&key), &o, err), err);
	az_buf_release(&key);
	*has = rc == AZ_OK;
	return rc == AZ_ENOTFOUND ? AZ_OK : rc;
}

/* The best attempt, else the last that has files; 0 may be the inputs alone. */
static enum az_code
choose(struct work_job *j, int *n, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	bool has = false;

	*n = (int)(az_json_geti(j->in, "best", 0) & 0xffff);
	if (*n > 0)
		return AZ_OK;
	for (*n = j->iteration; *n > 0 && rc == AZ_OK; --*n) {
		rc = has_manifest(j, *n, &has, err);
		if (has)
			break;
	}
	return rc;
}

static enum az_code
copy(struct work_job *j, const struct az_file *f, struct az_err *err)
{
	struct az_obj o;
	enum az_code rc;
	struct az_buf from, to;

	az_buf_init(&from, 1024);
	az_buf_init(&to, 2048);
	az_key_blob(&from, job_wid(j), az_file_blob(f));
	az_key_final(&to, job_wid(j), f->path);
	rc = az_buf_check(&to, OP, err);
	/* an earlier attempt of this step wrote it: same run, same tree */
	if (rc == AZ_OK &&
	    az_store_stat(j->w->store, &j->bkt, az_buf_str(&to), &o, NULL) == AZ_OK &&
	    o.bytes == f->size)
		goto out;
	if (rc == AZ_OK && job_cancelled(j))
		rc = az_fail(err, AZ_ECANCELLED, OP, "stopped");
	if (rc == AZ_OK)
		rc = az_store_copy(j->w->store, &j->bkt, az_buf_str(&from), az_buf_str(&to), err);
out:
	az_buf_release(&from);
	az_buf_release(&to);
	if (rc == AZ_ENOTFOUND)
		rc = az_fail(
		    err, AZ_EUNAVAIL, OP, "a stored file is missing: %.*s", AZ_FMT(f->path));
	return job_store_rc(rc, err);
}

static enum az_code
final_tree(struct work_job *j, const struct az_manifest *m, int64_t *bytes, struct az_err *err)
{
	enum az_code rc;
	struct az_buf key;

	az_buf_init(&key, 1024);
	az_key_meta(&key, job_wid(j), "manifest");
	rc = az_buf_check(&key, OP, err);
	if (rc == AZ_OK)
		rc = job_store_rc(
		    az_manifest_save(m, j->w->store, &j->bkt, az_buf_str(&key), err), err);
	az_buf_release(&key);
	for (size_t i = 0; i < m->n && rc == AZ_OK; i++) {
		rc = copy(j, &m->files[i], err);
		*bytes += m->files[i].size;
	}
	return rc;
}

enum az_code
fn_finalize(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	struct az_manifest m;
	struct az_err kill_err = AZ_ERR_INIT, tell_err = AZ_ERR_INIT;
	enum az_code rc, killed = AZ_OK, told = AZ_OK;
	bool opened;
	int64_t bytes = 0;
	struct work_job j;
	struct az_jw w;
	int n = 0;

	rc = job_open(&j, ctx, app, input, "finalize", err);
	opened = rc == AZ_OK;
	/* it costs money while files are copied; when its service is away the files are
	   copied all the same, and the next attempt ends it */
	if (opened && az_json_getb(j.in, "sandbox", true))
		killed = job_box_kill(&j, &kill_err);
	if (rc == AZ_OK)
		rc = choose(&j, &n, err);
	if (rc == AZ_OK)
		rc = job_manifest(&j, n, "manifest", &m, err);
	if (rc == AZ_OK)
		rc = final_tree(&j, &m, &bytes, err);
	/* nothing of the run goes on: the next one of its user may come, and what it used is
	   settled, whatever is to be done again here; a run that never said so pays for all
	   that was reserved */
	if (opened && rc != AZ_ECANCELLED)
		told = user_tell_done(ctx, j.w, az_json_get(j.in, "leave"), &tell_err);
	if (rc == AZ_OK && (killed != AZ_OK || told != AZ_OK)) {
		rc = killed != AZ_OK ? killed : told;
		if (err)
			*err = killed != AZ_OK ? kill_err : tell_err;
	}
	if (rc == AZ_OK) {
		az_jw_init(&w, result);
		az_jw_obj(&w);
		az_jw_ki(&w, "v", 1);
		az_jw_ki(&w, "iteration", n);
		az_jw_ki(&w, "files", (int64_t)m.n);
		az_jw_ki(&w, "bytes", bytes);
		az_jw_key(&w, "events");
		az_jw_arr(&w);
		az_jw_end(&w, ']');
		az_jw_end(&w, '}');
		rc = az_buf_check(result, OP, err);
	}
	job_close(&j);
	return rc;
}
