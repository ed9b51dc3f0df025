/* Which adapter answers: by the model's name. */
#include <stdlib.h>
#include <azlon/llm.h>

struct router {
	struct az_llm base;
	struct az_llm *replay, *real; /* either may be NULL */
};

static enum az_code
complete(struct az_llm *l, const struct az_llm_req *q, struct az_arena *a, struct az_llm_reply *r,
    struct az_err *err)
{
	struct router *t = (struct router *)l;
	bool recording = az_str_starts(q->model, AZ_S("recording/"));
	struct az_llm *to = recording ? t->replay : t->real;
	enum az_code rc;

	if (to)
		return az_llm_complete(to, q, a, r, err);
	if (recording)
		rc = az_fail(err, AZ_EUNAVAIL, "llm.route", "no replay process is configured");
	else
		rc = az_fail(err, AZ_ECONFLICT, "llm.route",
		    "no model is configured: set OPENAI_API_KEY or OPENAI_BASE_URL, or name "
		    "a recording (model \"recording/NAME\")");
	if (err)
		(void)az_err_reason(err, recording ? "llm_unavailable" : "llm_not_configured");
	return rc;
}

static enum az_code
ping(struct az_llm *l, struct az_err *err)
{
	struct router *t = (struct router *)l;
	struct az_llm *to = t->real ? t->real : t->replay;

	if (!to)
		return az_fail(err, AZ_EUNAVAIL, "llm.ping", "no model is configured");
	return az_llm_ping(to, err);
}

static void
close_router(struct az_llm *l)
{
	struct router *t = (struct router *)l;

	az_llm_close(t->replay);
	az_llm_close(t->real);
	free(t);
}

static const struct az_llm_ops ops = {
    .name = "router",
    .complete = complete,
    .ping = ping,
    .close = close_router,
};

enum az_code
az_llm_router_open(
    struct az_llm *replay, struct az_llm *real, struct az_llm **out, struct az_err *err)
{
	struct router *t = calloc(1, sizeof *t);

	*out = NULL;
	if (!t) {
		az_llm_close(replay);
		az_llm_close(real);
		return az_fail(err, AZ_ENOMEM, "llm.open", "no memory");
	}
	*t = (struct router){.base.ops = &ops, .replay = replay, .real = real};
	*out = (struct az_llm *)t;
	return AZ_OK;
}
