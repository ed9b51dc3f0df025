/*
 * When to change the approach. Repair ability is mostly gone after two or three
 * tries on the same program; starting again from the best attempt, or from nothing
 * with only the lessons, finds more. Two attempts are equal when both the normalised
 * error and the tree are.
 */
#include "state.h"

enum { EQUAL_CHANGE = 2, EQUAL_FRESH = 3, ROUNDS_UNPRODUCTIVE = 3 };

static bool
same(const struct flow_attempt *x, const struct flow_attempt *y)
{
	return x->sig.n > 0 && az_str_eq(x->sig, y->sig) && az_str_eq(x->tree, y->tree);
}

/* Attempts at the end of the episode without a rise of the checks passed. */
static int
unproductive(const struct flow_state *st)
{
	size_t first = (size_t)st->episode_start;
	int best = -1, rounds = 0;

	for (size_t i = first; i < st->n_att; i++) {
		if (best < 0 || st->att[i].n_passed > best) {
			best = st->att[i].n_passed;
			rounds = 0;
		} else {
			rounds++;
		}
	}
	return rounds;
}

void
flow_plan_next(struct flow_state *st)
{
	const struct flow_attempt *last = &st->att[st->n_att - 1];
	bool repeated = false;
	int equal = 1;

	for (size_t i = (size_t)st->episode_start; i + 1 < st->n_att; i++) {
		if (same(&st->att[i], last))
			equal++;
		if (last->sig.n > 0 && az_str_eq(st->att[i].sig, last->sig))
			repeated = true;
	}
	st->plan = (struct flow_plan){.strategy = "normal", .base = last->iteration};
	if (equal >= EQUAL_FRESH && st->fresh_once) {
		st->plan.stuck = true;
		return;
	}
	if (equal >= EQUAL_FRESH || unproductive(st) >= ROUNDS_UNPRODUCTIVE) {
		/* An attempt that passes nothing is no ground to build on. */
		st->plan.strategy = "fresh";
		st->plan.base = st->best_passed > 0 && st->best != last->iteration ? st->best : 0;
		st->episode_start = (int)st->n_att;
		st->fresh_once = true;
		return;
	}
	if (equal >= EQUAL_CHANGE || repeated)
		st->plan.strategy = "change";
}
