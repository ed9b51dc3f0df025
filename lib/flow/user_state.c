/* The walk over the history of a user's workflow. */
#include "user.h"

#define OP "flow.user"

/* What was used up is that of a day. */
static void
roll(struct user_state *st)
{
	int64_t day = st->now_ms / USER_DAY_MS;

	if (day <= st->day)
		return;
	st->day = day;
	memset(st->used, 0, sizeof st->used);
}

/* ---- what is told ---- */

/* It applies, or does so once more because it heard nothing. */
static enum az_code
take_apply(struct user_state *st, const struct az_json *j, struct az_err *err)
{
	struct user_run r = {.wid = az_json_gets(j, "wid"), .hook = az_json_getb(j, "hook", false)};
	ptrdiff_t i = user_find(&st->running, r.wid);

	if (!r.wid.n)
		return AZ_OK;
	user_read_measures(az_json_get(j, "want"), r.want);
	if (i >= 0)
		st->running.v[i].again = true;
	if (i >= 0 || user_find(&st->refused, r.wid) >= 0)
		return AZ_OK;
	if ((i = user_find(&st->waiting, r.wid)) >= 0) {
		st->waiting.v[i].told = 0;
		return AZ_OK;
	}
	/* who asks again brings those of its own beginning, which others have replaced since */
	user_read_caps(st, az_json_get(j, "caps"));
	if (st->waiting.n < USER_WAITING_MAX)
		return user_push(st, &st->waiting, &r, err);
	if (st->refused.n >= USER_REFUSED_MAX)
		return AZ_OK;
	r = (struct user_run){.wid = r.wid, .told = 1};
	return user_push(st, &st->refused, &r, err);
}

static void
settle(struct user_state *st, const int64_t used[AZ_MEASURES])
{
	for (int i = 0; i < AZ_MEASURES; i++)
		st->used[i] = user_clamp(st->used[i] + used[i]);
}

static enum az_code
take_done(struct user_state *st, const struct az_json *j, struct az_err *err)
{
	struct az_str wid = az_json_gets(j, "wid");
	struct user_run r;
	int64_t used[AZ_MEASURES];

	if (!wid.n)
		return AZ_OK;
	if (user_take_out(&st->running, wid, &r)) {
		user_read_measures(az_json_get(j, "used"), used);
		settle(st, used);
	} else if (!user_take_out(&st->waiting, wid, &r)) {
		(void)user_take_out(&st->refused, wid, &r);
	}
	return az_json_getb(j, "hook", false) ? user_add_hook(st, wid, err) : AZ_OK;
}

static enum az_code
take_signal(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *j = NULL;
	bool apply = az_str_eqc(e->name, AZ_SIG_APPLY);

	if (!apply && !az_str_eqc(e->name, AZ_SIG_DONE))
		return AZ_OK;
	/* anybody may send anything: what is no word of ours is none */
	if (az_json_parse_in(st->a, e->payload, &az_json_own_limits, &j, err) == AZ_ENOMEM)
		return AZ_ENOMEM;
	return apply ? take_apply(st, j, err) : take_done(st, j, err);
}

/* ---- functions ---- */

static enum az_code
begin_admit(struct user_state *st, const struct az_json *in, struct az_err *err)
{
	const struct az_json *l = az_json_get(in, "admit");
	struct user_run r;
	enum az_code rc = AZ_OK;
	ptrdiff_t at;

	st->admit_in = in;
	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++) {
		const struct az_json *x = az_json_at(l, i);
		struct az_str wid = az_json_gets(x, "wid");

		if ((at = user_find(&st->running, wid)) >= 0) {
			st->running.v[at].again = false;
		} else if (user_take_out(&st->waiting, wid, &r)) {
			user_read_measures(az_json_get(x, "grant"), r.want);
			if (st->running.n == 0)
				st->check_ms = st->now_ms;
			rc = user_push(st, &st->running, &r, err);
		}
	}
	l = az_json_get(in, "refuse");
	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++)
		if (user_take_out(&st->waiting, az_json_gets(az_json_at(l, i), "wid"), &r)) {
			r.told = 0;
			rc = user_push(st, &st->refused, &r, err);
		}
	l = az_json_get(in, "queue");
	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++)
		if ((at = user_find(&st->waiting, az_json_gets(az_json_at(l, i), "wid"))) >= 0)
			st->waiting.v[at].told =
			    (int)user_clamp(az_json_geti(az_json_at(l, i), "position", 0));
	return rc;
}

/* The next ones come first at the next check. */
static enum az_code
begin_check(struct user_state *st, const struct az_json *in, struct az_err *err)
{
	const struct az_json *l = az_json_get(in, "runs");
	enum az_code rc = AZ_OK;
	struct user_run r;

	st->check_ms = st->now_ms;
	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++)
		if (user_take_out(&st->running, user_text_at(l, i), &r))
			rc = user_push(st, &st->running, &r, err);
	return rc;
}

static enum az_code
take_scheduled(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *in = NULL;
	enum az_code rc = az_json_parse_in(st->a, e->payload, &az_json_own_limits, &in, err);

	if (rc != AZ_OK)
		return rc;
	if (az_str_eqc(e->name, AZ_FN_ADMIT) && !st->admit) {
		st->admit = e->id;
		return begin_admit(st, in, err);
	}
	if (az_str_eqc(e->name, AZ_FN_CHECK) && !st->check) {
		st->check = e->id;
		return begin_check(st, in, err);
	}
	if (az_str_eqc(e->name, AZ_FN_WEBHOOK) && !st->deliver) {
		st->deliver = e->id;
		st->deliver_wid = az_json_gets(in, "wid");
		st->deliver_last = az_json_getb(in, "last", false);
		return AZ_OK;
	}
	return az_fail(
	    err, AZ_EINTERNAL, OP, "event %lld: not a function that was wanted", (long long)e->id);
}

/* Runs that are over or gone without a word of theirs. What they used nobody knows: of those that
   may have begun all that was reserved, or to vanish would be the cheapest way to end. */
static enum az_code
forget(struct user_state *st, const struct az_json *gone, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	struct user_run r;

	for (size_t i = 0; i < az_json_len(gone) && rc == AZ_OK; i++) {
		struct az_str wid = user_text_at(gone, i);
		bool ran = user_take_out(&st->running, wid, &r);

		if (!ran && !user_take_out(&st->waiting, wid, &r))
			continue;
		if (ran && r.begun)
			settle(st, r.want);
		if (r.hook)
			rc = user_add_hook(st, wid, err);
	}
	return rc;
}

static enum az_code
end_admit(struct user_state *st, const struct az_json *result, struct az_err *err)
{
	const struct az_json *refuse = az_json_get(st->admit_in, "refuse");
	const struct az_json *admit = az_json_get(st->admit_in, "admit");
	enum az_code rc = AZ_OK;
	struct user_run r;

	st->admit = 0;
	if (result)
		rc = forget(st, az_json_get(result, "gone"), err);
	else
		st->nap_ms = st->now_ms + USER_NAP_MS;
	for (size_t i = 0; i < az_json_len(admit); i++) {
		ptrdiff_t at = user_find(&st->running, az_json_gets(az_json_at(admit, i), "wid"));

		if (at < 0)
			continue;
		st->running.v[at].begun = true;
		/* some may have heard it: to hear it twice changes nothing */
		if (!result)
			st->running.v[at].again = true;
	}
	for (size_t i = 0; result && i < az_json_len(refuse); i++)
		(void)user_take_out(&st->refused, az_json_gets(az_json_at(refuse, i), "wid"), &r);
	return rc;
}

/* A function ended; one that failed for good has no result. */
static enum az_code
take_end(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *result = NULL;
	enum az_code rc = AZ_OK;

	if (e->type == AZ_EV_FN_COMPLETED)
		rc = az_json_parse_in(st->a, e->payload, &az_json_own_limits, &result, err);
	if (rc != AZ_OK)
		return rc;
	if (e->ref == st->admit)
		return end_admit(st, result, err);
	if (e->ref == st->check) {
		st->check = 0;
		return forget(st, az_json_get(result, "gone"), err);
	}
	if (e->ref == st->deliver) {
		st->deliver = 0;
		/* not by the clock: its run has to hear that this was the last */
		user_tried(
		    st, st->deliver_wid, st->deliver_last || az_json_getb(result, "over", false));
		return AZ_OK;
	}
	return az_fail(
	    err, AZ_EINTERNAL, OP, "event %lld: refers to nothing under way", (long long)e->id);
}

/* ---- timers ---- */

static enum az_code
take_timer(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	struct user_timer *v =
	    user_room(st->a, st->timers, st->n_timers, &st->cap_timers, sizeof *v);
	int64_t ms = 0;

	if (!v)
		return user_no_memory(err);
	if (!az_str_to_i64(e->payload, 0, USER_MEASURE_MAX, &ms))
		return az_fail(err, AZ_EINTERNAL, OP, "a timer without a time");
	st->timers = v;
	v[st->n_timers++] = (struct user_timer){e->id, e->t_ms + ms};
	return AZ_OK;
}

/* Clocks differ by a moment: when it fires its time has come. */
static void
take_fired(struct user_state *st, const struct az_event *e)
{
	for (size_t i = 0; i < st->n_timers; i++) {
		if (st->timers[i].id != e->ref)
			continue;
		if (st->timers[i].due_ms > st->now_ms)
			st->now_ms = st->timers[i].due_ms;
		st->timers[i] = st->timers[--st->n_timers];
		return;
	}
}

/* ---- the walk ---- */

static enum az_code
take(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	if (st->close || (e->type == AZ_EV_STARTED) != (st->started == NULL))
		return az_fail(err, AZ_EINTERNAL, OP, "event %lld: out of place", (long long)e->id);
	if (e->t_ms > st->now_ms)
		st->now_ms = e->t_ms;
	if (st->started)
		roll(st);
	switch (e->type) {
	case AZ_EV_STARTED:
		return user_take_start(st, e, err);
	case AZ_EV_SIGNALED:
		return take_signal(st, e, err);
	case AZ_EV_FN_SCHEDULED:
		return take_scheduled(st, e, err);
	case AZ_EV_FN_COMPLETED:
	case AZ_EV_FN_FAILED:
	case AZ_EV_FN_CANCELED:
		return take_end(st, e, err);
	case AZ_EV_TIMER_STARTED:
		return take_timer(st, e, err);
	case AZ_EV_TIMER_FIRED:
		take_fired(st, e);
		roll(st);
		break;
	case AZ_EV_COMPLETED:
	case AZ_EV_FAILED:
	case AZ_EV_CANCELED:
	case AZ_EV_TIMED_OUT:
	case AZ_EV_TERMINATED:
		st->close = e;
		break;
	case AZ_EV_CANCEL_REQUESTED: /* runs are cancelled, not what serves them */
	case AZ_EV_FN_CANCEL_REQUESTED:
	case AZ_EV_TYPES:
		break;
	}
	return AZ_OK;
}

enum az_code
user_walk(struct user_state *st, const struct az_history *h, struct az_arena *a, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	*st = (struct user_state){.a = a};
	for (size_t i = 0; i < h->n && rc == AZ_OK; i++)
		rc = take(st, &h->ev[i], err);
	return rc;
}
