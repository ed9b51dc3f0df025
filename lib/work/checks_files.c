/*
 * Checks of files, and the files that checks rely on.
 */
#include "checks.h"

#include <azlon/path.h>

#define OP "work.checks"

struct look {
	struct work_job *j;
	struct check_file f;
	struct az_str needle;
	char head[1024];
	size_t head_n;
	struct az_buf window; /* end of the chunk before + this one */
};

static enum az_code
look_at(void *arg, struct az_str chunk, struct az_err *err)
{
	struct look *l = arg;
	size_t n = sizeof(l->head) - l->head_n;

	if (job_cancelled(l->j))
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	if (n > chunk.n)
		n = chunk.n;
	if (n)
		memcpy(l->head + l->head_n, chunk.p, n);
	l->head_n += n;
	l->f.bytes += (int64_t)chunk.n;
	if (l->f.bytes > (int64_t)AZ_LIM_COLLECT_BYTES)
		return az_fail(err, AZ_ETOOBIG, OP, "the file is too large");
	if (l->needle.n == 0 || l->f.contains)
		return AZ_OK;
	az_buf_adds(&l->window, chunk);
	l->f.contains = az_str_find(az_buf_str(&l->window), l->needle, 0) >= 0;
	if (l->window.n >= l->needle.n)
		az_buf_shift(&l->window, l->window.n - l->needle.n + 1);
	return az_buf_check(&l->window, OP, err);
}

enum az_code
checks_file(struct work_job *j, const struct work_box *x, const struct az_json *q,
    struct check_result *r, struct az_err *err)
{
	struct az_str path = az_json_gets(q, "file");
	struct look *l = az_arena_alloc(j->a, sizeof(*l));
	struct az_err e = AZ_ERR_INIT;
	const char *at = work_tree_path(j, path);
	enum az_code rc;

	if (!l || !at)
		return job_nomem(err);
	if (az_path_ok(path, &e) != AZ_OK) {
		r->status = CHECK_FAIL;
		r->message = job_clip(j, az_str_c(e.text), WORK_MESSAGE_BYTES - 4);
		return AZ_OK;
	}
	l->j = j;
	l->needle = az_json_gets(az_json_get(q, "expect"), "contains");
	az_buf_init(&l->window, AZ_MIB(64));
	rc = az_sandbox_download(j->sandbox, &x->ref, at, look_at, l, &e);
	az_buf_release(&l->window);
	l->f.there = rc == AZ_OK || rc == AZ_ETOOBIG;
	if (rc != AZ_OK && rc != AZ_ETOOBIG && rc != AZ_EINVAL && rc != AZ_EPERM &&
	    (rc != AZ_ENOTFOUND || az_sandbox_is_gone(&e))) {
		rc = job_sandbox_rc(rc, &e);
		if (err)
			*err = e;
		return rc;
	}
	l->f.head = az_str_n(l->head, l->head_n);
	expect_file(j, az_json_get(q, "expect"), &l->f, r);
	return AZ_OK;
}

/* ---- what checks rely on ---- */

static bool
test_like(struct az_str path)
{
	struct az_str base = az_path_base(path), ext = az_path_ext(path);
	struct az_str stem = az_str_sub(base, 0, base.n - ext.n);

	return az_str_starts(base, AZ_S("test_")) || az_str_ends(stem, AZ_S("_test")) ||
	       az_str_starts(base, AZ_S("expected")) || az_str_starts(base, AZ_S("golden")) ||
	       az_str_ends(stem, AZ_S(".test")) || az_str_ends(stem, AZ_S(".spec")) ||
	       az_str_eqc(base, "conftest.py") || az_str_starts(path, AZ_S("test/")) ||
	       az_str_starts(path, AZ_S("tests/")) || az_str_find(path, AZ_S("/tests/"), 0) >= 0;
}

/* Is it a script that some check names? */
static bool
named_script(const struct work_job *j, struct az_str path)
{
	static const char *const exts[] = {".py", ".sh", ".js", ".mjs", ".pl", ".rb"};
	const struct az_json *all = az_json_get(j->request, "checks");
	bool script = false;

	for (size_t i = 0; i < sizeof(exts) / sizeof(exts[0]); i++)
		script = script || az_str_eqc(az_path_ext(path), exts[i]);
	for (size_t i = 0; script && i < az_json_len(all); i++) {
		const struct az_json *v = az_json_get(az_json_at(all, i), "run");

		if (az_str_find(az_json_str(v), path, 0) >= 0)
			return true;
		for (size_t k = 0; k < az_json_len(v); k++)
			if (az_str_eq(az_json_str(az_json_at(v, k)), path))
				return true;
	}
	return false;
}

/* Python believes a compiled module that claims to need no check of its source. */
static enum az_code
drop_compiled(struct work_job *j, const struct work_box *x, struct az_str path, struct az_err *err)
{
	ptrdiff_t slash = az_str_rchr(path, '/');
	struct az_str dir = az_str_sub(path, 0, (size_t)(slash + 1));
	const char *at = az_arena_printf(j->a, AZ_PLAN_APP "/%.*s__pycache__", AZ_FMT(dir));

	if (!az_str_eqc(az_path_ext(path), ".py"))
		return AZ_OK;
	if (!at)
		return job_nomem(err);
	return job_sandbox_rc(az_sandbox_remove(j->sandbox, &x->ref, at, err), err);
}

enum az_code
checks_restore(struct work_job *j, struct checks *c, const struct work_box *x, struct az_err *err)
{
	struct az_manifest inputs, source, now;
	enum az_code rc = job_manifest(j, 0, "source", &inputs, err);

	if (rc == AZ_OK)
		rc = job_manifest(j, j->iteration, "source", &source, err);
	if (rc == AZ_OK)
		rc = job_manifest(j, j->iteration, "manifest", &now, err);
	for (size_t i = 0; i < inputs.n && rc == AZ_OK; i++) {
		const struct az_file *f = &inputs.files[i];
		const struct az_file *s = az_manifest_find(&source, f->path);
		const struct az_file *n = az_manifest_find(&now, f->path);

		/* Tests that the user gave are the user's: neither model nor program replaces
		   them. A script that a check names may be what the model was to mend; the
		   program may not touch it. */
		if (!test_like(f->path) &&
		    (!named_script(j, f->path) || !s || strcmp(s->sha256, f->sha256) != 0))
			continue;
		if (!n || strcmp(n->sha256, f->sha256) != 0)
			c->restored++;
		rc = work_tree_upload_file(j, x, f, err);
		if (rc == AZ_OK)
			rc = drop_compiled(j, x, f->path, err);
	}
	return rc;
}
