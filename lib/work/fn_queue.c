/*
 * What the runs of one user share, between them and the workflow that serves them:
 * join_queue of a run, admit_runs and check_runs of that workflow. Each may be repeated:
 * whoever hears something twice heeds it once.
 */
#include "functions.h"
#include "user.h"

#include <azlon/flow.h>
#include <azlon/limits.h>

#define OP "work.queue"

static enum az_code
input_of(struct az_fn_ctx *ctx, const struct az_work *w, struct az_str input,
    const struct az_json **in, struct az_err *err)
{
	if (!w->engine)
		return az_fail(err, AZ_EINTERNAL, OP, "no engine to tell others by");
	return az_json_parse_in(ctx->arena, input, &az_json_own_limits, in, err);
}

enum az_code
fn_join(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	static const char *const parts[] = {"want", "caps"};
	const struct az_work *w = app;
	const struct az_json *in = NULL;
	enum az_code rc = input_of(ctx, w, input, &in, err);
	struct az_buf b;
	struct az_jw j;

	if (rc != AZ_OK)
		return rc;
	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&j, &b);
	az_jw_obj(&j);
	az_jw_ks(&j, "wid", ctx->workflow_id);
	az_jw_kb(&j, "hook", az_json_getb(in, "hook", false));
	for (size_t i = 0; i < 2; i++) {
		az_jw_key(&j, parts[i]);
		az_jw_value(&j, az_json_get(in, parts[i]));
	}
	az_jw_end(&j, '}');
	rc = user_tell(ctx, w, AZ_SIG_APPLY, &b, err);
	az_buf_release(&b);
	az_buf_addc(result, "{\"v\":1}");
	return rc;
}

/* Tell one run; *gone: there is none to be told. */
static enum az_code
tell(const struct az_work *w, const char *signal, struct az_str wid, const struct az_json *what,
    bool *gone, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw j;

	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&j, &b);
	az_jw_value(&j, what);
	rc = az_buf_check(&b, OP, err);
	if (rc == AZ_OK)
		rc = az_engine_signal(w->engine, wid, signal, az_buf_str(&b), err);
	az_buf_release(&b);
	*gone = rc == AZ_ENOTFOUND || rc == AZ_ECONFLICT || rc == AZ_EINVAL;
	return *gone ? AZ_OK : rc;
}

enum az_code
fn_admit(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	/* those with a place first: they wait for nothing else */
	static const char *const lists[] = {"admit", "refuse", "queue"};
	static const char *const signals[] = {AZ_SIG_ADMITTED, AZ_SIG_REFUSED, AZ_SIG_QUEUE};
	const struct az_work *w = app;
	const struct az_json *in = NULL;
	enum az_code rc = input_of(ctx, w, input, &in, err);
	struct az_jw j;

	az_jw_init(&j, result);
	az_jw_obj(&j);
	az_jw_ki(&j, "v", 1);
	az_jw_key(&j, "gone");
	az_jw_arr(&j);
	for (size_t k = 0; k < 3 && rc == AZ_OK; k++) {
		const struct az_json *l = az_json_get(in, lists[k]);

		for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++) {
			const struct az_json *x = az_json_at(l, i);
			struct az_str wid = az_json_gets(x, "wid");
			bool gone = false;

			if (ctx->cancelled(ctx))
				return az_fail(err, AZ_ECANCELLED, OP, "stopped");
			rc = tell(w, signals[k], wid, x, &gone, err);
			if (gone)
				az_jw_str(&j, wid);
		}
	}
	az_jw_end(&j, ']');
	az_jw_end(&j, '}');
	return rc;
}

enum az_code
fn_check(struct az_fn_ctx *ctx, void *app, struct az_str input, struct az_buf *result,
    struct az_err *err)
{
	const struct az_work *w = app;
	const struct az_json *in = NULL, *l = NULL;
	enum az_code rc = input_of(ctx, w, input, &in, err);
	struct az_jw j;

	if (rc == AZ_OK)
		l = az_json_get(in, "runs");
	az_jw_init(&j, result);
	az_jw_obj(&j);
	az_jw_ki(&j, "v", 1);
	az_jw_key(&j, "gone");
	az_jw_arr(&j);
	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++) {
		struct az_str wid = az_json_str(az_json_at(l, i));
		struct az_run_info info;

		if (ctx->cancelled(ctx))
			return az_fail(err, AZ_ECANCELLED, OP, "stopped");
		rc = az_engine_describe(w->engine, wid, ctx->arena, &info, err);
		if (rc == AZ_ENOTFOUND || (rc == AZ_OK && info.state != AZ_RUN_OPEN))
			az_jw_str(&j, wid);
		if (rc == AZ_ENOTFOUND)
			rc = AZ_OK;
	}
	az_jw_end(&j, ']');
	az_jw_end(&j, '}');
	return rc;
}
