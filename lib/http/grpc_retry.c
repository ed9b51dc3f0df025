/* The retry rows of azlon/grpc.h. */
#include <azlon/clock.h>
#include "grpc_room.h"

#define TRIES_MAX 10
#define NORMAL_TOTAL_MS 10000
#define GRACE_MS 60000 /* a poller that starts before its server forgives anything */

struct row {
	int64_t first_ms, max_ms;
	int64_t x10; /* growth, tenths */
};

static const struct row normal = {100, 5000, 17}, poll_row = {200, 10000, 20},
			busy = {1000, 10000, 20};

void
grpc_pace_start(struct grpc_pace *p, enum az_grpc_retry kind, int64_t total_ms, int64_t now_ms)
{
	*p = (struct grpc_pace){.kind = kind, .total_ms = total_ms, .start_ms = now_ms};
	if (total_ms == 0 && kind != AZ_GRPC_POLL)
		p->total_ms = NORMAL_TOTAL_MS;
}

static bool
transient(enum az_grpc_code code)
{
	return code == AZ_GRPC_UNKNOWN || code == AZ_GRPC_RESOURCE_EXHAUSTED ||
	       code == AZ_GRPC_ABORTED || code == AZ_GRPC_OUT_OF_RANGE ||
	       code == AZ_GRPC_INTERNAL || code == AZ_GRPC_UNAVAILABLE || code == AZ_GRPC_DATA_LOSS;
}

/* A long poll that the server ended, or that ran into its deadline. */
static bool
ran_out(const struct grpc_pace *p, enum az_grpc_code code)
{
	return (p->kind == AZ_GRPC_POLL || p->kind == AZ_GRPC_WAIT) &&
	       (code == AZ_GRPC_CANCELLED || code == AZ_GRPC_DEADLINE_EXCEEDED);
}

static int64_t
grow(const struct row *r, int64_t *delay_ms)
{
	*delay_ms = *delay_ms ? *delay_ms * r->x10 / 10 : r->first_ms;
	if (*delay_ms > r->max_ms)
		*delay_ms = r->max_ms;
	return *delay_ms;
}

/* 20 % either way, so that the pollers of a dead server do not come back together */
static int64_t
jitter(int64_t ms)
{
	int64_t span = ms / 5;

	return ms - span + (int64_t)az_random_below(2 * (uint64_t)span + 1);
}

int64_t
grpc_pace_next(
    struct grpc_pace *p, enum az_grpc_code code, bool final, int64_t began_ms, int64_t now_ms)
{
	bool polling = p->kind == AZ_GRPC_POLL, waiting = p->kind == AZ_GRPC_WAIT;
	const struct row *r = polling ? &poll_row : &normal;
	int64_t ms;

	if (p->kind == AZ_GRPC_ONCE || final)
		return -1;
	/* what lived so long was no failure in a row */
	if ((polling || waiting) && now_ms - began_ms > r->max_ms)
		grpc_pace_start(p, p->kind, p->total_ms, now_ms);
	p->tries++;
	if (code == AZ_GRPC_RESOURCE_EXHAUSTED)
		ms = grow(&busy, &p->busy_delay_ms);
	else if (transient(code) || ran_out(p, code))
		ms = grow(r, &p->delay_ms);
	else if (polling && now_ms - p->start_ms < GRACE_MS)
		ms = r->max_ms;
	else
		return -1;
	ms = jitter(ms);
	if (waiting && ran_out(p, code))
		return ms;
	if (!polling && p->tries >= TRIES_MAX && p->total_ms <= NORMAL_TOTAL_MS)
		return -1;
	if (p->total_ms > 0 && now_ms + ms - p->start_ms > p->total_ms)
		return -1;
	return ms;
}
