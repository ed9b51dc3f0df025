/*
 * What people say to a run: one signal is one act, done at most once by its signal_id, and
 * nothing at all once the outcome is known. Whatever else is signalled is somebody else's.
 */
#include "state.h"

#include <azlon/limits.h>

#define OP "flow.signal"

enum {
	SIGNALS_MAX = 1000, /* of one run; later ones are not heard */
	SAID_MAX = 20,      /* the latest are shown to the model */
	SAID_BYTES = 4000,
	REPLIES_MAX = 32, /* to one function */
};

static struct az_str
clip(struct az_str s)
{
	s = az_str_sub(s, 0, SAID_BYTES);
	while (s.n && ((unsigned char)s.p[s.n - 1] & 0xc0) == 0x80)
		s.n--;
	if (s.n && (unsigned char)s.p[s.n - 1] >= 0xc0)
		s.n--;
	return s;
}

static bool
say(struct flow_state *st, const char *kind, struct az_str text)
{
	if (az_str_trim(text).n == 0)
		return false;
	if (st->n_said == SAID_MAX)
		memmove(st->said, st->said + 1, --st->n_said * sizeof *st->said);
	st->said[st->n_said++] =
	    (struct flow_said){.iteration = st->iteration, .kind = kind, .text = clip(text)};
	return true;
}

static bool
on_approve(struct flow_state *st, const struct az_json *j)
{
	if (st->awaiting != AWAIT_APPROVAL)
		return false;
	st->awaiting = AWAIT_NONE;
	st->approved = true;
	(void)say(st, "approve", az_json_gets(j, "text"));
	return true;
}

/* The model's proposal is not run; the next attempt begins with it and the objection. */
static bool
on_reject(struct flow_state *st, const struct az_json *j)
{
	int refused = st->iteration;

	if (st->awaiting != AWAIT_APPROVAL)
		return false;
	st->awaiting = AWAIT_NONE;
	if (!say(st, "reject", az_json_gets(j, "text")))
		(void)say(st, "reject", AZ_S("(no reason was given)"));
	flow_next_attempt(st);
	if (!st->status)
		st->plan.base = refused;
	return true;
}

static bool
on_message(struct flow_state *st, const struct az_json *j)
{
	return say(st, "message", az_json_gets(j, "text"));
}

static bool
is_digest(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
			return false;
	return s.n == 64;
}

static bool
on_reply(struct flow_state *st, const struct az_json *j)
{
	struct az_str sha = az_json_gets(j, "reply");

	if (st->awaiting != AWAIT_REPLY || !is_digest(sha) || st->n_replies == REPLIES_MAX)
		return false;
	st->awaiting = AWAIT_NONE;
	st->replies[st->n_replies++] = sha;
	return true;
}

static bool
on_pause(struct flow_state *st, const struct az_json *j)
{
	bool was = st->paused;

	(void)j;
	st->paused = true;
	return !was;
}

static bool
on_resume(struct flow_state *st, const struct az_json *j)
{
	bool was = st->paused;

	(void)j;
	st->paused = false;
	return was;
}

/* Only upwards: what was begun under a limit stays within it. */
static bool
raise(const struct flow_state *st, int64_t *limit, const struct az_json *limits, const char *key,
    int64_t unit, int64_t max)
{
	int64_t v = az_json_geti(limits, key, 0);

	/* what the user may use up was reserved when the run was admitted */
	if (az_json_geti(st->user, key, 0) > 0)
		return false;
	if (v > max)
		v = max;
	if (v <= 0 || v * unit <= *limit)
		return false;
	*limit = v * unit;
	return true;
}

static bool
on_limits(struct flow_state *st, const struct az_json *j)
{
	const struct az_json *l = az_json_get(j, "limits");
	int64_t iterations = st->lim.iterations;
	bool any = raise(st, &iterations, l, "iterations", 1, AZ_LIM_ITERATIONS_MAX);

	st->lim.iterations = (int)iterations;
	any |= raise(st, &st->lim.tokens, l, "tokens", 1, FLOW_TOKENS_MAX);
	any |= raise(st, &st->lim.wall_ms, l, "wall_s", 1000, FLOW_SECONDS_MAX);
	any |= raise(st, &st->lim.sandbox_ms, l, "sandbox_s", 1000, FLOW_SECONDS_MAX);
	return any;
}

static const struct {
	const char *name;
	bool (*act)(struct flow_state *st, const struct az_json *j);
} table[] = {
    {"approve", on_approve},
    {"reject", on_reject},
    {"message", on_message},
    {"reply", on_reply},
    {"pause", on_pause},
    {"resume", on_resume},
    {"set_limits", on_limits},
};

/* Was this act done before? Without an id each is one of its own. */
static bool
repeated(struct flow_state *st, struct az_str id)
{
	for (size_t i = 0; i < st->n_signals; i++)
		if (id.n && az_str_eq(st->signals[i], id))
			return true;
	st->signals[st->n_signals++] = id;
	return false;
}

static enum az_code
make_room(struct flow_state *st, struct az_err *err)
{
	if (st->signals)
		return AZ_OK;
	st->signals = az_arena_alloc(st->a, SIGNALS_MAX * sizeof *st->signals);
	st->said = az_arena_alloc(st->a, SAID_MAX * sizeof *st->said);
	st->replies = az_arena_alloc(st->a, REPLIES_MAX * sizeof *st->replies);
	return st->signals && st->said && st->replies
		   ? AZ_OK
		   : az_fail(err, AZ_ENOMEM, OP, "no memory for signals");
}

enum az_code
flow_signal(struct flow_state *st, const struct az_event *e, struct az_err *err)
{
	const struct az_json *j = NULL;
	size_t i = 0;

	while (i < sizeof table / sizeof *table && !az_str_eqc(e->name, table[i].name))
		i++;
	if (i == sizeof table / sizeof *table || st->status || st->n_signals == SIGNALS_MAX)
		return AZ_OK;
	st->n_told++;
	if (make_room(st, err) != AZ_OK)
		return AZ_ENOMEM;
	if (e->payload.n > 0 &&
	    az_json_parse_in(st->a, e->payload, &az_json_own_limits, &j, NULL) == AZ_ENOMEM)
		return az_fail(err, AZ_ENOMEM, OP, "no memory for a signal");
	if (repeated(st, az_json_gets(j, "signal_id")) || !table[i].act(st, j))
		return AZ_OK;
	st->heard = table[i].name;
	st->heard_what = j;
	return AZ_OK;
}

static void
write_one(const struct flow_said *s, struct az_jw *w)
{
	az_jw_obj(w);
	az_jw_ki(w, "iteration", s->iteration);
	az_jw_kc(w, "kind", s->kind);
	az_jw_ks(w, "text", s->text);
	az_jw_end(w, '}');
}

/* Texts grow when they are escaped: the oldest that there is no room for are left out. */
static void
write_said(const struct flow_state *st, size_t room, struct az_jw *w)
{
	size_t first = st->n_said;
	struct az_buf b;
	struct az_jw one;

	az_buf_init(&b, room);
	while (first > 0) {
		az_jw_init(&one, &b);
		write_one(&st->said[first - 1], &one);
		az_buf_addch(&b, ',');
		if (b.fail)
			break;
		first--;
	}
	if (b.fail == AZ_ENOMEM)
		w->b->fail = AZ_ENOMEM;
	az_buf_release(&b);
	az_jw_key(w, "messages");
	az_jw_arr(w);
	for (size_t i = first; i < st->n_said; i++)
		write_one(&st->said[i], w);
	az_jw_end(w, ']');
}

void
flow_people_input(const struct flow_state *st, size_t room, struct az_jw *w)
{
	if (st->step == STEP_GENERATE && st->n_said)
		write_said(st, room, w);
	if (!st->n_replies)
		return;
	az_jw_key(w, "replies");
	az_jw_arr(w);
	for (size_t i = 0; i < st->n_replies; i++)
		az_jw_str(w, st->replies[i]);
	az_jw_end(w, ']');
}
