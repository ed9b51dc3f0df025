/*
 * The model "manual": a person answers in its place. What is asked lies in the iteration's
 * object "asked"; answers come with the function's input, by the digest of their text
 * (az_key_reply), in the order of the questions.
 */
#include "model.h"

#include <stdio.h>

#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/limits.h>

#define OP "work.manual"
#define AWAITING "awaiting_reply"

static enum az_code
put_question(struct work_job *j, const struct model_ask *q, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, AZ_MIB(16));
	for (size_t i = 0; i < q->n; i++)
		az_buf_addf(&b, "[%s]\n%.*s\n", q->msgs[i].role, AZ_FMT(q->msgs[i].text));
	if (q->schema.n)
		az_buf_addf(&b, "[answer with JSON of this schema]\n%.*s\n", AZ_FMT(q->schema));
	rc = job_put_iter_buf(j, j->iteration, "asked", &b, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
model_manual(struct work_job *j, const struct model_ask *q, size_t at, struct az_llm_reply *r,
    struct az_err *err)
{
	const struct az_json *all = az_json_get(j->in, "replies");
	struct az_str digest;
	const char *name;
	char hex[65];
	enum az_code rc;

	if (at >= az_json_len(all)) {
		rc = put_question(j, q, err);
		if (rc != AZ_OK)
			return rc;
		az_fail(err, AZ_ECONFLICT, OP, "somebody has to reply");
		return az_err_reason(err, AWAITING);
	}
	digest = az_json_str(az_json_at(all, at));
	name = az_arena_printf(j->a, AZ_META_REPLY "%.*s", AZ_FMT(digest));
	if (!name)
		return job_nomem(err);
	rc = job_get_meta(j, name, AZ_LIM_REPLY_BYTES, &r->text, err);
	if (rc == AZ_ENOTFOUND) { /* it was stored before it was announced */
		az_fail(err, AZ_EUNAVAIL, OP, "the stored reply is missing");
		return az_err_reason(err, "store_unavailable");
	}
	if (rc == AZ_OK)
		az_sha256_hex(r->text, hex);
	if (rc == AZ_OK && !az_str_eqc(digest, hex))
		return az_fail(err, AZ_EINTERNAL, OP, "the stored reply is another");
	snprintf(r->finish, sizeof r->finish, "stop");
	snprintf(r->model, sizeof r->model, MODEL_MANUAL);
	snprintf(r->provenance, sizeof r->provenance, "manual");
	return rc;
}

bool
model_awaits(enum az_code rc, const struct az_err *err)
{
	return rc == AZ_ECONFLICT && strcmp(err->reason, AWAITING) == 0;
}

enum az_code
model_awaiting(struct work_job *j, int64_t sandbox_ms, struct az_buf *result, struct az_err *err)
{
	struct az_jw w;

	az_jw_init(&w, result);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ki(&w, "iteration", j->iteration);
	az_jw_kc(&w, "awaiting", "reply");
	az_jw_ki(&w, "sandbox_ms", sandbox_ms);
	az_jw_end(&w, '}');
	return az_buf_check(result, OP, err);
}
