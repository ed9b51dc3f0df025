/* A restack engine without a server, a simulated history, and what was read of it. */
#ifndef ENGINE_RESTACK_FIXTURE_H
#define ENGINE_RESTACK_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "engine/restack.h"
#include "temporal_sim.h"

#define N(v) (sizeof(v) / sizeof(v)[0])
#define JSON(s, text) sim_payloads(s, "json/plain", text)

static struct restack R;
static struct az_arena *A;
static struct sim S;
static struct events E;
static struct az_err err;

static int
setup(void **state)
{
	(void)state;
	memset(&R, 0, sizeof R);
	R.addr.queue = "local-restack";
	R.addr.engine_id = "local";
	R.addr.ns = "default";
	A = az_arena_new(AZ_MIB(256));
	sim_init(&S, A);
	events_init(&E, A);
	err = (struct az_err)AZ_ERR_INIT;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	az_arena_free(A);
	return 0;
}

static enum az_code
read_all(void)
{
	events_init(&E, A);
	return events_add(&R, &E, sim_page(&S, 0, S.n), &err);
}

static void
assert_text(struct az_str got, const char *want)
{
	if (!az_str_eqc(got, want))
		fail_msg("\"%.*s\", wanted \"%s\"", AZ_FMT(got), want);
}

/* As at the start of a test. */
static inline void
fresh(void **state)
{
	teardown(state);
	setup(state);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
