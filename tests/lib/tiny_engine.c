#include <stdlib.h>
#include <string.h>

#include "tiny_engine.h"

void
tiny_init(struct tiny *t, const struct az_workflow *wf, const char *input)
{
	memset(t, 0, sizeof(*t));
	t->wf = wf;
	t->a = az_arena_new(AZ_MIB(256));
	t->t_ms = 1790000000000;
	if (!t->a)
		abort();
	tiny_add(t, AZ_EV_STARTED, 0, NULL, az_str_c(input));
}

void
tiny_release(struct tiny *t)
{
	az_arena_free(t->a);
	t->a = NULL;
}

static struct az_event *
next(struct tiny *t, enum az_ev_type type, int64_t ref)
{
	struct az_event *e = &t->ev[t->n];

	if (t->n == TINY_MAX)
		abort();
	t->n++;
	*e = (struct az_event){
	    .type = type, .id = (int64_t)t->n, .ref = ref, .t_ms = t->t_ms, .attempt = 1};
	t->t_ms += 10;
	return e;
}

int64_t
tiny_add(struct tiny *t, enum az_ev_type type, int64_t ref, const char *name, struct az_str payload)
{
	struct az_event *e = next(t, type, ref);

	e->name = az_arena_str(t->a, az_str_c(name));
	e->payload = az_arena_str(t->a, payload);
	return e->id;
}

int64_t
tiny_fail(struct tiny *t, int64_t ref, const char *reason, const char *message)
{
	struct az_event *e = next(t, AZ_EV_FN_FAILED, ref);

	e->reason = az_arena_str(t->a, az_str_c(reason));
	e->message = az_arena_str(t->a, az_str_c(message));
	return e->id;
}

struct az_history
tiny_history(const struct tiny *t)
{
	return (struct az_history){t->ev, t->n};
}

static void
apply(struct tiny *t, const struct az_cmd *c)
{
	static const enum az_ev_type as[] = {
	    [AZ_CMD_SCHEDULE_FN] = AZ_EV_FN_SCHEDULED,
	    [AZ_CMD_CANCEL_FN] = AZ_EV_FN_CANCEL_REQUESTED,
	    [AZ_CMD_START_TIMER] = AZ_EV_TIMER_STARTED,
	    [AZ_CMD_COMPLETE] = AZ_EV_COMPLETED,
	    [AZ_CMD_FAIL] = AZ_EV_FAILED,
	    [AZ_CMD_CANCELED] = AZ_EV_CANCELED,
	    [AZ_CMD_CONTINUE] = AZ_EV_STARTED,
	};
	struct az_event *e;

	if (c->type == AZ_CMD_CONTINUE) {
		t->n = 0;
		t->anew++;
	}
	e = next(t, as[c->type], c->ref);

	e->name = az_arena_str(t->a, c->name);
	e->payload = az_arena_str(t->a, c->payload);
	e->reason = az_arena_str(t->a, c->reason);
	e->message = az_arena_str(t->a, c->message);
	if (c->type == AZ_CMD_START_TIMER)
		e->payload = az_str_c(az_arena_printf(t->a, "%lld", (long long)c->delay_ms));
}

enum az_code
tiny_fold_prefix(
    struct tiny *t, size_t n, struct az_arena *a, struct az_cmds *out, struct az_err *err)
{
	struct az_history h = {t->ev, n};

	out->n = 0;
	return t->wf->fold(&h, a, out, err);
}

int
tiny_fold(struct tiny *t, struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct az_cmds cmds;
	int n = -1;

	if (tiny_fold_prefix(t, t->n, a, &cmds, err) == AZ_OK) {
		for (size_t i = 0; i < cmds.n; i++)
			apply(t, &cmds.v[i]);
		n = (int)cmds.n;
	}
	az_arena_free(a);
	return n;
}

const struct az_event *
tiny_pending(const struct tiny *t)
{
	const struct az_event *p = NULL;

	for (size_t i = 0; i < t->n; i++) {
		const struct az_event *e = &t->ev[i];

		if (e->type == AZ_EV_FN_SCHEDULED)
			p = e;
		else if (p && e->ref == p->id &&
			 (e->type == AZ_EV_FN_COMPLETED || e->type == AZ_EV_FN_FAILED ||
			     e->type == AZ_EV_FN_CANCELED))
			p = NULL;
	}
	return p;
}

const struct az_event *
tiny_closed(const struct tiny *t)
{
	const struct az_event *e = &t->ev[t->n - 1];

	return e->type == AZ_EV_COMPLETED || e->type == AZ_EV_FAILED || e->type == AZ_EV_CANCELED ||
		       e->type == AZ_EV_TIMED_OUT || e->type == AZ_EV_TERMINATED
		   ? e
		   : NULL;
}

bool
tiny_cancel_wanted(const struct tiny *t, int64_t ref)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->ev[i].type == AZ_EV_FN_CANCEL_REQUESTED && t->ev[i].ref == ref)
			return true;
	return false;
}

int64_t
tiny_timer(const struct tiny *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->ev[i].type == AZ_EV_TIMER_STARTED)
			return t->ev[i].id;
	return 0;
}

size_t
tiny_count(const struct tiny *t, enum az_ev_type type, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		if (t->ev[i].type == type && (!name || az_str_eqc(t->ev[i].name, name)))
			n++;
	return n;
}
