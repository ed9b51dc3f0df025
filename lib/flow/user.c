/*
 * UserWorkflow: what the runs of one user share. Each run applies in its first step, is
 * told when it has a place and what it may use up, and tells when it is over. First come,
 * first served; nobody overtakes. It lives as long as something is in hand.
 */
#include "state.h"
#include "user.h"

enum {
	CALL_MS = 30 * 1000, /* one attempt of what speaks to other runs */
	HOOK_MS = 60 * 1000, /* one try of a webhook */
	LONG = 400,          /* events, after which the history begins anew */
	SLACK_MS = 20,       /* a timer that fires a moment late is no reason for another */
};

/* What there is to tell, and to whom. */
struct user_plan {
	struct user_run admit[USER_BATCH]; /* want: what it gets */
	struct az_str refuse[USER_BATCH];
	bool full[USER_BATCH]; /* of refuse: not the budget, the queue */
	struct {
		struct az_str wid;
		int position;
	} queue[USER_BATCH];
	size_t n_admit, n_refuse, n_queue;
};

/* ---- who is next ---- */

/* What a run gets of what it wants; false: there is nothing left of something. */
static bool
grant(const struct user_state *st, const int64_t reserved[AZ_MEASURES], struct user_run *r)
{
	for (int i = 0; i < AZ_MEASURES; i++) {
		int64_t left = st->caps[i] - st->used[i] - reserved[i];

		if (!st->caps[i])
			continue;
		if (left < 1)
			return false;
		if (r->want[i] > left || r->want[i] < 1)
			r->want[i] = left;
	}
	return true;
}

static void
refuse(struct user_plan *p, const struct user_run *r)
{
	p->full[p->n_refuse] = r->told == 1;
	p->refuse[p->n_refuse++] = r->wid;
}

/* Places and budget in order of arrival; how many at the head of the queue are served. */
static size_t
serve(const struct user_state *st, struct user_plan *p)
{
	size_t places =
	    st->places > 0 && st->places < USER_RUNNING_MAX ? (size_t)st->places : USER_RUNNING_MAX;
	size_t taken = st->running.n, i;
	int64_t reserved[AZ_MEASURES] = {0};

	for (i = 0; i < st->running.n; i++)
		for (int m = 0; m < AZ_MEASURES; m++)
			reserved[m] += st->running.v[i].want[m];
	for (i = 0; i < st->waiting.n && p->n_admit + p->n_refuse < USER_BATCH; i++) {
		struct user_run r = st->waiting.v[i];

		if (taken >= places)
			break;
		if (grant(st, reserved, &r)) {
			taken++;
			p->admit[p->n_admit++] = r;
			for (int m = 0; m < AZ_MEASURES; m++)
				reserved[m] += r.want[m];
		} else if (taken > 0) {
			break; /* what those with a place leave over may do */
		} else {
			r.told = 0;
			refuse(p, &r);
		}
	}
	return i;
}

/* A long queue is not told of each step: the far end of it hears when a quarter is done. */
static bool
worth_telling(int told, int position)
{
	return told == 0 || (position != told && (position <= 16 || position * 4 <= told * 3));
}

static void
make_plan(const struct user_state *st, struct user_plan *p)
{
	size_t served;

	*p = (struct user_plan){0};
	for (size_t i = 0; i < st->running.n && p->n_admit < USER_BATCH; i++)
		if (st->running.v[i].again)
			p->admit[p->n_admit++] = st->running.v[i];
	for (size_t i = 0; i < st->refused.n && p->n_admit + p->n_refuse < USER_BATCH; i++)
		refuse(p, &st->refused.v[i]);
	served = serve(st, p);
	for (size_t i = served; i < st->waiting.n && p->n_queue < USER_BATCH; i++) {
		int position = (int)(i - served) + 1;

		if (!worth_telling(st->waiting.v[i].told, position))
			continue;
		p->queue[p->n_queue].wid = st->waiting.v[i].wid;
		p->queue[p->n_queue++].position = position;
	}
}

static void
write_plan(const struct user_plan *p, struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_key(w, "admit");
	az_jw_arr(w);
	for (size_t i = 0; i < p->n_admit; i++) {
		az_jw_obj(w);
		az_jw_ks(w, "wid", p->admit[i].wid);
		az_jw_key(w, "grant");
		user_write_measures(w, p->admit[i].want);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	az_jw_key(w, "refuse");
	az_jw_arr(w);
	for (size_t i = 0; i < p->n_refuse; i++) {
		az_jw_obj(w);
		az_jw_ks(w, "wid", p->refuse[i]);
		az_jw_kc(w, "message",
		    p->full[i] ? "Too many runs of this user wait already."
			       : "The user's budget of the day is used up.");
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	az_jw_key(w, "queue");
	az_jw_arr(w);
	for (size_t i = 0; i < p->n_queue; i++) {
		az_jw_obj(w);
		az_jw_ks(w, "wid", p->queue[i].wid);
		az_jw_ki(w, "position", p->queue[i].position);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}

/* ---- functions ---- */

/* Until it is done: others wait for it. */
static const struct az_fn_opts patient = {.start_to_close_ms = CALL_MS,
    .retry_initial_ms = 200,
    .retry_max_ms = 10 * 1000,
    .retry_coefficient = 2};
/* The state keeps the times of further tries, so that one that hangs stops nothing. */
static const struct az_fn_opts once = {.start_to_close_ms = HOOK_MS, .retry_attempts = 1};

/* mark: where the state has it once it is scheduled. */
static enum az_code
schedule(struct user_state *st, const char *name, const struct az_fn_opts *o, struct az_buf *input,
    int64_t *mark, struct az_cmds *out, struct az_err *err)
{
	struct az_cmd c = {.type = AZ_CMD_SCHEDULE_FN, .name = az_str_c(name), .opts = *o};
	enum az_code rc = flow_payload(st->a, input, &c.payload, err);

	*mark = INT64_MAX;
	return rc == AZ_OK ? flow_add(out, &c, err) : rc;
}

static enum az_code
want_admit(struct user_state *st, struct az_cmds *out, struct az_err *err)
{
	struct user_plan *p = az_arena_alloc(st->a, sizeof *p);
	struct az_buf b;
	struct az_jw w;

	if (!p)
		return user_no_memory(err);
	make_plan(st, p);
	if (p->n_admit + p->n_refuse + p->n_queue == 0)
		return AZ_OK;
	az_buf_init(&b, AZ_KIB(64));
	az_jw_init(&w, &b);
	write_plan(p, &w);
	return schedule(st, AZ_FN_ADMIT, &patient, &b, &st->admit, out, err);
}

/* One call looks at a part of many: so often that each has its turn in time. */
static int64_t
next_check(const struct user_state *st)
{
	int64_t parts = ((int64_t)st->running.n + USER_BATCH - 1) / USER_BATCH;

	return st->check_ms + USER_CHECK_MS / (parts > 1 ? parts : 1);
}

static enum az_code
want_check(struct user_state *st, struct az_cmds *out, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_KIB(64));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_key(&w, "runs");
	az_jw_arr(&w);
	for (size_t i = 0; i < st->running.n && i < USER_BATCH; i++)
		az_jw_str(&w, st->running.v[i].wid);
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
	return schedule(st, AZ_FN_CHECK, &patient, &b, &st->check, out, err);
}

/* The webhook whose time is first, or NULL. */
static const struct user_hook *
next_hook(const struct user_state *st)
{
	const struct user_hook *h = NULL;

	for (size_t i = 0; i < st->n_hooks; i++)
		if (!h || st->hooks[i].next_ms < h->next_ms)
			h = &st->hooks[i];
	return h;
}

static enum az_code
want_delivery(
    struct user_state *st, const struct user_hook *h, struct az_cmds *out, struct az_err *err)
{
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_KIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ks(&w, "wid", h->wid);
	az_jw_ki(&w, "try", h->tries + 1);
	az_jw_kb(&w, "last", st->now_ms - h->first_ms >= USER_HOOK_MS);
	az_jw_end(&w, '}');
	return schedule(st, AZ_FN_WEBHOOK, &once, &b, &st->deliver, out, err);
}

/* ---- time ---- */

static void
sooner(int64_t *t, int64_t than)
{
	if (than < *t)
		*t = than;
}

static bool
any_used(const struct user_state *st)
{
	for (int i = 0; i < AZ_MEASURES; i++)
		if (st->caps[i] && st->used[i])
			return true;
	return false;
}

static enum az_code
want_timer(const struct user_state *st, struct az_cmds *out, struct az_err *err)
{
	const struct user_hook *hook = next_hook(st);
	struct az_cmd c = {.type = AZ_CMD_START_TIMER};
	int64_t t = INT64_MAX;

	if (!st->admit && st->nap_ms > st->now_ms)
		sooner(&t, st->nap_ms);
	if (!st->check && st->running.n)
		sooner(&t, next_check(st));
	if (!st->deliver && hook)
		sooner(&t, hook->next_ms);
	if (any_used(st))
		sooner(&t, (st->day + 1) * USER_DAY_MS);
	if (t == INT64_MAX)
		return AZ_OK;
	for (size_t i = 0; i < st->n_timers; i++)
		if (st->timers[i].due_ms <= t + SLACK_MS)
			return AZ_OK;
	c.delay_ms = t > st->now_ms ? t - st->now_ms : 1;
	return flow_add(out, &c, err);
}

/* ---- the fold ---- */

/* What was used up today is remembered where a cap asks for it. */
static bool
idle(const struct user_state *st)
{
	return !st->running.n && !st->waiting.n && !st->refused.n && !st->n_hooks && !st->admit &&
	       !st->check && !st->deliver && !any_used(st);
}

static enum az_code
begin_anew(struct user_state *st, struct az_cmds *out, struct az_err *err)
{
	struct az_cmd c = {.type = AZ_CMD_CONTINUE};
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_LIM_PAYLOAD_BYTES);
	az_jw_init(&w, &b);
	user_write(st, &w);
	rc = flow_payload(st->a, &b, &c.payload, err);
	return rc == AZ_OK ? flow_add(out, &c, err) : rc;
}

static enum az_code
fold(const struct az_history *h, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	const struct user_hook *hook;
	struct user_state st;
	enum az_code rc;

	out->n = 0;
	rc = user_walk(&st, h, a, err);
	if (rc != AZ_OK || !st.started || st.close)
		return rc;
	if (idle(&st))
		return flow_add(out,
		    &(struct az_cmd){.type = AZ_CMD_COMPLETE, .payload = AZ_S("{\"v\":1}")}, err);
	/* A delivery or check under way is dropped and done again; the rest must not be. */
	if (h->n >= LONG && !st.admit)
		return begin_anew(&st, out, err);
	hook = next_hook(&st);
	if (!st.admit && st.nap_ms <= st.now_ms)
		rc = want_admit(&st, out, err);
	if (rc == AZ_OK && !st.check && st.running.n && next_check(&st) <= st.now_ms)
		rc = want_check(&st, out, err);
	if (rc == AZ_OK && !st.deliver && hook && hook->next_ms <= st.now_ms)
		rc = want_delivery(&st, hook, out, err);
	return rc == AZ_OK ? want_timer(&st, out, err) : rc;
}

const struct az_workflow az_flow_user = {
    .name = "UserWorkflow",
    .fold = fold,
    .description = "Serves the runs of one user: places, budgets, webhooks.",
};
