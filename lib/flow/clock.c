/*
 * The time a run may take: limits.wall_s of its own, not of the people it waits for. An
 * engine's timer cannot be moved, so each remembers the deadline it stood for; one that
 * fires before today's deadline means only that another is wanted.
 */
#include "state.h"

#define OP "flow.clock"

enum { PEOPLE_MS = 7 * 24 * 3600 * 1000 }; /* how long a run waits for somebody */

bool
flow_waiting(const struct flow_state *st)
{
	return !st->status && !st->pending && (st->paused || st->awaiting != AWAIT_NONE);
}

void
flow_clock_tick(struct flow_state *st)
{
	if (!flow_waiting(st)) {
		if (st->waiting_ms)
			st->waited_ms += st->now_ms - st->waiting_ms;
		st->waiting_ms = 0;
	} else if (!st->waiting_ms) {
		st->waiting_ms = st->now_ms;
	}
}

int64_t
flow_deadline(const struct flow_state *st)
{
	if (flow_waiting(st))
		return (st->waiting_ms ? st->waiting_ms : st->now_ms) + PEOPLE_MS;
	return (st->began_ms ? st->began_ms : st->now_ms) + st->lim.wall_ms + st->waited_ms;
}

bool
flow_clock_wanted(const struct flow_state *st)
{
	int64_t deadline = flow_deadline(st);

	if (st->status && st->any_timer)
		return false;
	/* a run that waits for a place uses up no time of its own */
	if (!st->status && flow_queued(st))
		return false;
	for (size_t i = 0; i < st->n_timers; i++)
		if (st->timers[i].deadline_ms <= deadline)
			return false;
	return true;
}

/* Those that are not fired yet: few, but nothing says how few. */
static enum az_code
keep(struct flow_state *st, int64_t id, struct az_err *err)
{
	if (st->n_timers == st->cap_timers) {
		size_t cap = st->cap_timers ? 2 * st->cap_timers : 4;
		struct flow_timer *v = az_arena_alloc(st->a, cap * sizeof *v);

		if (!v)
			return az_fail(err, AZ_ENOMEM, OP, "no memory for %zu timers", cap);
		if (st->n_timers)
			memcpy(v, st->timers, st->n_timers * sizeof *v);
		st->timers = v;
		st->cap_timers = cap;
	}
	st->timers[st->n_timers++] = (struct flow_timer){id, flow_deadline(st)};
	st->any_timer = true;
	return AZ_OK;
}

enum az_code
flow_clock_started(struct flow_state *st, int64_t id, bool *taken, struct az_err *err)
{
	*taken = flow_clock_wanted(st);
	return *taken ? keep(st, id, err) : AZ_OK;
}

bool
flow_clock_fired(struct flow_state *st, int64_t id, bool *reached)
{
	for (size_t i = 0; i < st->n_timers; i++) {
		if (st->timers[i].id != id)
			continue;
		*reached = flow_deadline(st) <= st->timers[i].deadline_ms;
		st->timers[i] = st->timers[--st->n_timers];
		return true;
	}
	return false;
}
