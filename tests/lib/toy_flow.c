#include "toy_flow.h"

struct toy {
	struct az_str rest; /* steps not begun */
	struct az_str result;
	int64_t open_ref; /* function or timer under way */
	bool is_fn, signal_wait, cancel, cancel_sent, closed;
	int signals;
	struct az_str reason, message;
	bool failed;
};

static void
number(struct az_str args, const char *key, int64_t *out)
{
	struct az_str part, k;

	while (az_str_cut(&args, ',', &part))
		if (az_str_cut(&part, '=', &k) && az_str_eqc(k, key) &&
		    !az_str_to_i64(part, 0, INT64_MAX, out))
			*out = 0;
}

/* The next step, cut off t->rest; false at the end. */
static bool
next(struct toy *t, struct az_str *step)
{
	while (az_str_cut(&t->rest, ' ', step))
		if (step->n)
			return true;
	return false;
}

static bool
is(struct az_str step, const char *word)
{
	return az_str_starts(step, az_str_c(word));
}

static void
take(struct toy *t, const struct az_event *ev)
{
	struct az_str step;

	switch (ev->type) {
	case AZ_EV_STARTED:
		t->rest = az_str_sub(ev->payload, 1, ev->payload.n - 1);
		break;
	case AZ_EV_FN_SCHEDULED:
	case AZ_EV_TIMER_STARTED:
		/* signals that were waited for before it */
		while (next(t, &step) && is(step, "signal"))
			t->signals--;
		t->open_ref = ev->id;
		t->is_fn = ev->type == AZ_EV_FN_SCHEDULED;
		break;
	case AZ_EV_FN_COMPLETED:
		t->result = ev->payload;
		t->open_ref = 0;
		break;
	case AZ_EV_FN_FAILED:
		t->failed = true;
		t->reason = ev->reason;
		t->message = ev->message;
		t->open_ref = 0;
		break;
	case AZ_EV_FN_CANCELED:
	case AZ_EV_TIMER_FIRED:
		t->open_ref = 0;
		break;
	case AZ_EV_SIGNALED:
		t->signals++;
		t->result = ev->payload;
		break;
	case AZ_EV_CANCEL_REQUESTED:
		t->cancel = true;
		break;
	case AZ_EV_FN_CANCEL_REQUESTED:
		t->cancel_sent = true;
		break;
	case AZ_EV_COMPLETED:
	case AZ_EV_FAILED:
	case AZ_EV_CANCELED:
	case AZ_EV_TIMED_OUT:
	case AZ_EV_TERMINATED:
		t->closed = true;
		break;
	case AZ_EV_TYPES:
	default:
		break;
	}
}

static struct az_cmd *
command(struct az_cmds *out, enum az_cmd_type type)
{
	struct az_cmd *c = &out->v[out->n++];

	*c = (struct az_cmd){.type = type};
	return c;
}

static enum az_code
toy_fold(const struct az_history *h, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	struct toy t = {0};
	struct az_str step;
	struct az_cmd *c;

	for (size_t i = 0; i < h->n; i++)
		take(&t, &h->ev[i]);
	if (t.closed)
		return AZ_OK;
	if (t.cancel && t.open_ref && t.is_fn) {
		if (!t.cancel_sent)
			command(out, AZ_CMD_CANCEL_FN)->ref = t.open_ref;
		return AZ_OK;
	}
	if (t.cancel) {
		command(out, AZ_CMD_CANCELED)->payload = AZ_S("{\"c\":1}");
		return AZ_OK;
	}
	if (t.failed) {
		c = command(out, AZ_CMD_FAIL);
		c->reason = t.reason;
		c->message = t.message;
		return AZ_OK;
	}
	if (t.open_ref)
		return AZ_OK;
	while (next(&t, &step)) {
		if (is(step, "bad"))
			return az_fail(err, AZ_EINTERNAL, "toy", "bad history");
		if (is(step, "signal")) {
			if (t.signals-- > 0)
				continue;
			return AZ_OK;
		}
		if (is(step, "timer:")) {
			c = command(out, AZ_CMD_START_TIMER);
			(void)!az_str_to_i64(
			    az_str_sub(step, 6, step.n), 0, INT64_MAX, &c->delay_ms);
			return AZ_OK;
		}
		if (is(step, "again")) {
			c = command(out, AZ_CMD_CONTINUE);
			c->payload = az_str_c(az_arena_printf(a, "\"%.*s\"", AZ_FMT(t.rest)));
			return AZ_OK;
		}
		c = command(out, AZ_CMD_SCHEDULE_FN);
		step = az_str_sub(step, 3, step.n);
		c->opts.start_to_close_ms = 20000;
		c->opts.retry_initial_ms = 10;
		number(step, "stc", &c->opts.start_to_close_ms);
		number(step, "sch", &c->opts.schedule_to_close_ms);
		number(step, "hb", &c->opts.heartbeat_ms);
		number(step, "init", &c->opts.retry_initial_ms);
		{
			int64_t tries = 0;

			number(step, "tries", &tries);
			c->opts.retry_attempts = (int)tries;
		}
		c->payload = t.result.n ? t.result : AZ_S("null");
		(void)az_str_cut(&step, ',', &c->name);
		return AZ_OK;
	}
	command(out, AZ_CMD_COMPLETE)->payload = t.result;
	return AZ_OK;
}

/* See toy_flow.h. A history gets no longer than two signals make it. */
static enum az_code
tally_fold(const struct az_history *h, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	enum { ENOUGH = 2 };
	int signals = 0, begun = 0, ended = 0;
	struct az_cmd *c;

	(void)a;
	(void)err;
	for (size_t i = 0; i < h->n; i++) {
		signals += h->ev[i].type == AZ_EV_SIGNALED;
		begun += h->ev[i].type == AZ_EV_FN_SCHEDULED;
		ended += h->ev[i].type == AZ_EV_FN_COMPLETED;
		if (az_ev_is_close(h->ev[i].type))
			return AZ_OK;
	}
	if (begun > ended)
		return AZ_OK;
	if (begun == signals) {
		command(out, begun >= ENOUGH ? AZ_CMD_CONTINUE : AZ_CMD_COMPLETE)->payload =
		    AZ_S("\"\"");
		return AZ_OK;
	}
	c = command(out, AZ_CMD_SCHEDULE_FN);
	c->name = AZ_S("echo");
	c->opts.start_to_close_ms = 20000;
	c->payload = AZ_S("1");
	return AZ_OK;
}

const struct az_workflow toy_flows[] = {
    {.name = "Toy", .fold = toy_fold},
    {.name = "Tally", .fold = tally_fold},
    {.name = NULL},
};
