/* run_with_e2b: one attempt in the sandbox. */
#include "execute.h"
#include "functions.h"
#include "spent.h"

#define OP "work.run"

/* Sandbox time is counted from the first use in an attempt, builds included. */
static void
result_of(const struct work_job *j, const char *kind, int64_t exit, int64_t sandbox_ms,
    int64_t files, struct az_str language, struct az_str text, struct az_str refused,
    struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_ki(w, "iteration", j->iteration);
	az_jw_kc(w, "kind", kind);
	az_jw_ki(w, "exit", exit);
	az_jw_ki(w, "sandbox_ms", sandbox_ms);
	az_jw_ki(w, "files", files);
	az_jw_key(w, "events");
	az_jw_arr(w);
	az_jw_obj(w);
	az_jw_kc(w, "type", "sandbox.start");
	az_jw_ks(w, "language", language);
	az_jw_kc(w, "kind", kind);
	az_jw_ks(w, "text", text);
	az_jw_end(w, '}');
	if (files > 0) {
		az_jw_obj(w);
		az_jw_kc(w, "type", "files.changed");
		az_jw_kc(w, "by", "program");
		az_jw_ki(w, "count", files);
		az_jw_end(w, '}');
	}
	if (refused.n) {
		az_jw_obj(w);
		az_jw_kc(w, "type", "warning");
		az_jw_kc(w, "code", "connections_refused");
		az_jw_ks(w, "message", refused);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}

/* Write the result from the record, so that a repeated attempt says the same. */
static enum az_code
from_record(
    struct work_job *j, const struct az_json *rec, struct az_buf *result, struct az_err *err)
{
	struct az_str refused = {0};
	struct az_buf words;
	struct az_jw w;

	az_buf_init(&words, AZ_KIB(2));
	az_buf_addc(&words, "Connections that were refused: ");
	if (blocked_words(j, az_json_get(rec, "blocked"), &words))
		refused = job_clip(j, az_buf_str(&words), WORK_MESSAGE_BYTES);
	az_buf_release(&words);
	az_jw_init(&w, result);
	result_of(j, az_arena_cstr(j->a, az_json_gets(rec, "kind")), az_json_geti(rec, "exit", 0),
	    az_json_geti(rec, "sandbox_ms", 0), az_json_geti(rec, "collected", 0),
	    az_json_gets(rec, "language"),
	    job_clip(j, az_json_gets(rec, "text"), WORK_MESSAGE_BYTES), refused, &w);
	return az_buf_check(result, OP, err);
}

enum az_code
fn_run(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	const struct az_json *rec = NULL;
	struct work_run run = {.sandbox_ms = 0};
	struct work_job j;
	enum az_code rc;

	rc = job_open(&j, ctx, app, input, "execute", err);
	if (rc == AZ_OK)
		rc = job_json_iter(&j, j.iteration, "run", &rec, err);
	/* a step that had ended before its worker could say so is not done twice */
	if (rc == AZ_OK && (!rec || az_json_geti(rec, "ref", -1) != ctx->ref)) {
		rc = execute_iteration(&j, j.iteration, &run, err);
		if (rc == AZ_OK)
			rc = job_json_iter(&j, j.iteration, "run", &rec, err);
	}
	if (rc == AZ_OK)
		rc = from_record(&j, rec, result, err);
	spent_write(rc, NULL, run.sandbox_ms, result);
	job_close(&j);
	return rc;
}
