/* One place that calls the model: see model.h. */
#include "model.h"

enum { REPLY_TOKENS = 8192, REPLY_TOKENS_MIN = 256 };

static void
progress(void *arg, size_t bytes)
{
	struct work_job *j = arg;

	j->tokens = (int64_t)(bytes / 4);
}

/* A call that was cut short is to be paid for all the same; how much of it nobody says. */
static void
count_cut(const struct work_job *j, const struct az_llm_req *req, struct model_use *use)
{
	size_t sent = 0;

	for (size_t i = 0; i < req->n_msgs; i++)
		sent += req->msgs[i].text.n;
	use->calls++;
	use->tokens_in += (int64_t)(sent + 3) / 4;
	use->tokens_out += j->tokens;
}

/* The model, or when it is away the first of its stand-ins that is not. */
static enum az_code
ask(struct work_job *j, struct az_llm_req *req, struct az_llm_reply *r, struct az_err *err)
{
	const struct az_json *others = az_json_get(j->request, "model_fallbacks");
	enum az_code rc = az_llm_complete(j->w->llm, req, j->a, r, err);
	struct az_err e = AZ_ERR_INIT;

	if (rc == AZ_OK || !err || strcmp(err->reason, "llm_unavailable") != 0)
		return rc;
	for (size_t i = 0; i < az_json_len(others); i++) {
		req->model = az_json_str(az_json_at(others, i));
		*r = (struct az_llm_reply){.calls = 0};
		if (az_llm_complete(j->w->llm, req, j->a, r, &e) == AZ_OK)
			return AZ_OK;
		if (e.code == AZ_ECANCELLED) {
			*err = e;
			return e.code;
		}
	}
	return rc; /* the first one's failure says how to try again */
}

enum az_code
model_complete(struct work_job *j, const struct model_ask *q, struct az_llm_reply *r,
    struct model_use *use, struct az_err *err)
{
	struct az_str model = az_json_gets(j->request, "model");
	struct az_llm_req req = {.model = model,
	    .msgs = q->msgs,
	    .n_msgs = q->n,
	    .schema = q->schema,
	    .schema_name = q->schema_name,
	    .temperature = q->temperature,
	    .seed = j->iteration,
	    .cancelled = job_cancelled,
	    .progress = progress,
	    .arg = j,
	    .max_tokens = REPLY_TOKENS};
	enum az_code rc;

	if (model.n == 0)
		req.model = az_str_c(j->w->default_model);
	if (req.model.n == 0) {
		az_fail(err, AZ_ECONFLICT, "work.model", "no model is configured");
		return az_err_reason(err, "llm_not_configured");
	}
	if (q->tokens_left < REPLY_TOKENS)
		req.max_tokens =
		    q->tokens_left < REPLY_TOKENS_MIN ? REPLY_TOKENS_MIN : (int)q->tokens_left;
	*r = (struct az_llm_reply){.calls = 0};
	if (az_str_eqc(req.model, MODEL_MANUAL))
		rc = model_manual(j, q, (size_t)use->calls, r, err);
	else
		rc = ask(j, &req, r, err);
	if (rc == AZ_ECANCELLED)
		count_cut(j, &req, use);
	j->tokens = 0;
	if (rc != AZ_OK)
		return rc;
	use->calls += r->calls > 0 ? r->calls : 1;
	use->tokens_in += r->tokens_in;
	use->tokens_out += r->tokens_out;
	use->name = az_arena_str(j->a, az_str_c(r->model));
	use->provenance = az_arena_str(j->a, az_str_c(r->provenance));
	return use->name.p && use->provenance.p ? AZ_OK : job_nomem(err);
}
