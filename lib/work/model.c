/* One place that calls the model: see model.h. */
#include "model.h"

#include <azlon/clock.h>

enum {
	REPLY_TOKENS = 8192,
	REPLY_TOKENS_MIN = 256,
	/* for a question, whoever answers it: an attempt of generate_code has 1000 s */
	ASK_MS = 900 * 1000,
	/* what each stand-in keeps of it: more than the silence after which a call is given up */
	STAND_IN_MS = 150 * 1000,
};

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

int64_t
model_share(int64_t left_ms, size_t others)
{
	int64_t each = left_ms / (int64_t)(others + 1);

	/* who works slowly is not cut short for the sake of those who may not be needed */
	if (each > STAND_IN_MS)
		each = STAND_IN_MS;
	left_ms -= each * (int64_t)others;
	return left_ms > 1 ? left_ms : 1;
}

/*
 * The one that answered last, or when it is away the first of the others that is not. One that
 * hangs costs a try, not the attempt: who has others behind it is asked once, unless it has just
 * proved that it answers.
 */
static enum az_code
ask(struct work_job *j, struct az_llm_req *req, struct az_llm_reply *r, struct model_use *use,
    struct az_err *err)
{
	const struct az_json *others = az_json_get(j->request, "model_fallbacks");
	int64_t end = az_boot_ms() + ASK_MS;
	struct az_err e, why = AZ_ERR_INIT;
	struct az_str model = req->model;
	size_t n = 1 + az_json_len(others);

	for (size_t i = 0; i < n; i++) {
		size_t at = (use->at + i) % n;
		bool last = i + 1 == n;

		req->model = at ? az_json_str(az_json_at(others, at - 1)) : model;
		req->tries = last || (i == 0 && use->calls > 0) ? 0 : 1;
		req->total_ms = n > 1 ? model_share(end - az_boot_ms(), n - i - 1) : 0;
		*r = (struct az_llm_reply){.calls = 0};
		e = (struct az_err)AZ_ERR_INIT;
		if (az_llm_complete(j->w->llm, req, j->a, r, &e) == AZ_OK) {
			use->at = at;
			return AZ_OK;
		}
		/* the first one's failure says how to try again, unless that is for ever */
		if (i == 0 || e.code == AZ_ECANCELLED ||
		    (!az_code_retryable(why.code) && az_code_retryable(e.code)))
			why = e;
		if (e.code == AZ_ECANCELLED || (i == 0 && strcmp(e.reason, "llm_unavailable") != 0))
			break;
	}
	if (err)
		*err = why;
	return why.code;
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
	else if ((rc = ask(j, &req, r, use, err)) == AZ_ECANCELLED)
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
