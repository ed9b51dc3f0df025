/* validate_output: is the attempt right? */
#include "functions.h"
#include "memory.h"
#include "spent.h"
#include "verdict.h"

#define OP "work.validate"

static void
write_result(struct work_job *j, const struct verdict *v, struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_ki(w, "iteration", j->iteration);
	az_jw_kb(w, "passed", v->passed);
	az_jw_key(w, "checks");
	verdict_checks_json(j, v, w);
	az_jw_ki(w, "n_passed", (int64_t)checks_passed(&v->checks));
	az_jw_ki(w, "n_total", (int64_t)v->checks.n);
	az_jw_kc(w, "error_sig", v->error_sig);
	az_jw_kc(w, "tree", v->tree);
	az_jw_ki(w, "calls", v->use.calls);
	az_jw_ki(w, "tokens_in", v->use.tokens_in);
	az_jw_ki(w, "tokens_out", v->use.tokens_out);
	az_jw_ki(w, "sandbox_ms", v->sandbox_ms);
	if (v->cut)
		az_jw_kb(w, "sandbox_cut", true);
	az_jw_ks(w, "reason", v->reason);
	az_jw_key(w, "events");
	az_jw_arr(w);
	verdict_events(j, v, w);
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}

/* The attempt's line in memory.json. */
static enum az_code
remember(struct work_job *j, const struct verdict *v, struct az_err *err)
{
	const struct az_json *note = NULL, *changed;
	struct memory_line l = {.iteration = j->iteration,
	    .lesson = v->reason,
	    .error_sig = az_str_c(v->error_sig),
	    .total = (int)v->checks.n,
	    .passed = (int)checks_passed(&v->checks)};
	enum az_code rc = job_json_iter(j, j->iteration, "note", &note, err);
	struct az_buf b;

	if (rc != AZ_OK)
		return rc;
	l.hypothesis = az_json_gets(note, "diagnosis");
	changed = az_json_get(note, "changed");
	az_buf_init(&b, AZ_KIB(64));
	for (size_t i = 0; i < az_json_len(changed) && b.n < 300; i++)
		az_buf_addf(
		    &b, "%s%.*s", i ? ", " : "", AZ_FMT(az_json_str(az_json_at(changed, i))));
	rc = job_text(j, &b, &l.change, err);
	az_buf_release(&b);
	return rc == AZ_OK ? memory_put(j, &l, err) : rc;
}

/* A verdict that was reached before its worker could say so. */
static enum az_code
earlier(struct work_job *j, struct az_buf *result, bool *found, struct az_err *err)
{
	struct az_str text;
	const char *name = az_arena_printf(j->a, "validated-%lld", (long long)j->ctx->ref);
	enum az_code rc;

	*found = false;
	if (!name)
		return job_nomem(err);
	rc = job_get_iter(j, j->iteration, name, AZ_LIM_PAYLOAD_BYTES, &text, err);
	if (rc == AZ_ENOTFOUND)
		return AZ_OK;
	if (rc != AZ_OK)
		return rc;
	*found = true;
	az_buf_adds(result, text);
	return az_buf_check(result, OP, err);
}

enum az_code
fn_validate(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	struct verdict v = {.passed = false};
	struct work_job j;
	bool done = false;
	enum az_code rc;
	struct az_jw w;

	rc = job_open(&j, ctx, app, input, "check", err);
	if (rc == AZ_OK)
		rc = earlier(&j, result, &done, err);
	if (rc != AZ_OK || done)
		goto out;
	rc = verdict_reach(&j, true, &v, err);
	if (model_awaits(rc, err)) {
		rc = model_awaiting(&j, v.sandbox_ms, result, err);
		goto out;
	}
	if (rc == AZ_OK)
		rc = remember(&j, &v, err);
	if (rc == AZ_OK) {
		az_jw_init(&w, result);
		write_result(&j, &v, &w);
		rc = az_buf_check(result, OP, err);
	}
	if (rc == AZ_OK)
		rc = job_put_iter_buf(&j, j.iteration,
		    az_arena_printf(j.a, "validated-%lld", (long long)ctx->ref), result, err);
out:
	spent_write(rc, &v.use, v.sandbox_ms, result);
	job_close(&j);
	return rc;
}
