/*
 * The place of a run among those of its user (user.c): it applies for one before it begins,
 * is admitted with what it may use up, and tells in the end what it did.
 */
#include "state.h"

bool
flow_queued(const struct flow_state *st)
{
	return st->step == STEP_JOIN || st->step == STEP_QUEUE;
}

void
flow_first_step(struct flow_state *st)
{
	if (!st->began_ms) {
		st->began_ms = st->now_ms;
		st->waited_ms = st->waiting_ms = 0;
	}
	if (az_json_len(az_json_get(st->request, "inputs")) > 0) {
		st->step = STEP_PREFLIGHT;
	} else {
		st->step = STEP_GENERATE;
		st->iteration = 1;
	}
}

/* What it was granted of what is scarce may be less than what it wants. */
static void
take_grant(struct flow_state *st, const struct az_json *grant)
{
	int64_t v[AZ_MEASURES];

	for (int i = 0; i < AZ_MEASURES; i++) {
		v[i] = az_json_geti(grant, az_measure_names[i], 0);
		if (v[i] < 1 || az_json_geti(st->user, az_measure_names[i], 0) < 1)
			v[i] = INT64_C(1) << 40;
	}
	if (v[AZ_M_ITERATIONS] < st->lim.iterations)
		st->lim.iterations = (int)v[AZ_M_ITERATIONS];
	if (v[AZ_M_TOKENS] < st->lim.tokens)
		st->lim.tokens = v[AZ_M_TOKENS];
	if (1000 * v[AZ_M_WALL_S] < st->lim.wall_ms)
		st->lim.wall_ms = 1000 * v[AZ_M_WALL_S];
	if (1000 * v[AZ_M_SANDBOX_S] < st->lim.sandbox_ms)
		st->lim.sandbox_ms = 1000 * v[AZ_M_SANDBOX_S];
}

/* Each may come twice, or before the answer to the question. */
enum az_code
flow_place(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *j = NULL;

	if (!st->user || st->admitted || st->status)
		return AZ_OK;
	if (az_json_parse_in(st->a, e->payload, &az_json_own_limits, &j, err) == AZ_ENOMEM)
		return AZ_ENOMEM;
	if (az_str_eqc(e->name, AZ_SIG_QUEUE)) {
		st->position = (int)(az_json_geti(j, "position", 0) & 0xffff);
	} else if (az_str_eqc(e->name, AZ_SIG_REFUSED)) {
		flow_stop(st, "failed", "budget_exhausted", az_json_gets(j, "message"));
	} else if (az_str_eqc(e->name, AZ_SIG_ADMITTED)) {
		st->admitted = true;
		take_grant(st, az_json_get(j, "grant"));
		if (st->pending)
			return AZ_OK;
		st->overtaken = st->step; /* it may be asking once more already */
		flow_first_step(st);
	}
	return AZ_OK;
}

static bool
has_webhook(const struct flow_state *st)
{
	return az_json_type(az_json_get(st->request, "webhook")) == AZ_JOBJ;
}

static void
write_measures(struct az_jw *w, const char *key, const int64_t m[AZ_MEASURES])
{
	az_jw_key(w, key);
	az_jw_obj(w);
	for (int i = 0; i < AZ_MEASURES; i++)
		az_jw_ki(w, az_measure_names[i], m[i]);
	az_jw_end(w, '}');
}

void
flow_place_wants(const struct flow_state *st, struct az_jw *w)
{
	const int64_t want[AZ_MEASURES] = {[AZ_M_ITERATIONS] = st->lim.iterations,
	    [AZ_M_TOKENS] = st->lim.tokens,
	    [AZ_M_WALL_S] = st->lim.wall_ms / 1000,
	    [AZ_M_SANDBOX_S] = st->lim.sandbox_ms / 1000};

	write_measures(w, "want", want);
	az_jw_key(w, "caps");
	az_jw_value(w, st->user);
	az_jw_kb(w, "hook", has_webhook(st));
}

void
flow_place_leave(const struct flow_state *st, struct az_jw *w)
{
	/* of its own time: people it waited for are not what it used */
	int64_t wall_ms = st->began_ms ? st->now_ms - st->began_ms - st->waited_ms : 0;
	const int64_t used[AZ_MEASURES] = {[AZ_M_ITERATIONS] = st->iteration,
	    [AZ_M_TOKENS] = st->tokens_in + st->tokens_out,
	    [AZ_M_WALL_S] = wall_ms > 0 ? (wall_ms + 999) / 1000 : 0,
	    [AZ_M_SANDBOX_S] = (st->sandbox_ms + 999) / 1000};

	az_jw_key(w, "leave");
	az_jw_obj(w);
	write_measures(w, "used", used);
	az_jw_kb(w, "hook", has_webhook(st));
	az_jw_end(w, '}');
}
