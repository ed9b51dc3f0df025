/* The engine contract, journal and server. Adapters: a row in the table below. */
#include <stdlib.h>
#include <string.h>
#include "engine_suite.h"

static struct az_engine *
local_engine(const char *dir)
{
	struct az_engine_local_opts o = {.dir = dir};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_local_open(&o, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

/* A real server, where there is one: AZ_TEMPORAL=host:port (tests/e2e starts it and runs
   this program). Each directory gets an engine of its own there. */
static struct az_engine *
restack_engine(const char *dir)
{
	struct az_engine_restack_opts o = {.address = getenv("AZ_TEMPORAL"),
	    .engine_id = strrchr(dir, '-') + 1,
	    .no_endpoints = true};
	struct az_engine *e;
	struct az_err err = AZ_ERR_INIT;

	if (az_engine_restack_open(&o, &e, &err))
		fail_msg("%s", err.text);
	return e;
}

static const struct engine_adapter adapters[] = {
    {.name = "local",
	.open = local_engine,
	.patience_ms = 10000,
	.prompt = true,
	.gapless = true,
	.exact_lists = true,
	.removes_at_once = true,
	.fails_bad_history = true,
	.knows_no_worker = true,
	.stop_is_free = true,
	.cancels_once = true},
    {.name = "restack", .open = restack_engine, .patience_ms = 40000},
};

#define T(t) {#t, engine_test_##t, engine_setup, engine_teardown, NULL},

/* An argument picks cases by their name: "lists_*". */
int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {ENGINE_TESTS(T)};
	int failed = 0;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) {
		engine_adapter = &adapters[i];
		if ((engine_adapter->open == restack_engine) != (getenv("AZ_TEMPORAL") != NULL))
			continue;
		failed += cmocka_run_group_tests_name(engine_adapter->name, tests, NULL, NULL);
	}
	return failed;
}
