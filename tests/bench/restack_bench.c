/*
 * A worker on a Restack engine, for figures beside the official one: hosts the scripted
 * workflow of tests/lib/toy_flow.h with one function, until SIGTERM.
 *   restack_bench ADDRESS QUEUE [SLOTS]
 * The function "echo" gives the time at which it began, as microseconds of the wall clock.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <azlon/engine.h>
#include "toy_flow.h"

static struct az_engine *engine;

static void
on_stop(int sig)
{
	(void)sig;
	az_engine_stop(engine);
}

static enum az_code
fn_echo(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct timespec t;

	(void)ctx;
	(void)app;
	(void)in;
	(void)err;
	clock_gettime(CLOCK_REALTIME, &t);
	az_buf_addf(result, "%lld", (long long)t.tv_sec * 1000000 + t.tv_nsec / 1000);
	return AZ_OK;
}

int
main(int argc, char **argv)
{
	static const struct az_function functions[] = {{"echo", fn_echo}, {NULL, NULL}};
	struct sigaction stop = {.sa_handler = on_stop}, ignore = {.sa_handler = SIG_IGN};
	struct az_worker w = {
	    .workflows = toy_flows, .functions = functions, .slots = argc > 3 ? atoi(argv[3]) : 8};
	struct az_engine_restack_opts o = {.engine_id = "azlon", .no_endpoints = true};
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;

	if (argc < 3) {
		fprintf(stderr, "usage: restack_bench ADDRESS QUEUE [SLOTS]\n");
		return 2;
	}
	o.address = argv[1];
	o.queue = argv[2];
	if ((rc = az_engine_restack_open(&o, &engine, &err)) == AZ_OK) {
		sigaction(SIGPIPE, &ignore, NULL);
		sigaction(SIGTERM, &stop, NULL);
		rc = az_engine_work(engine, &w, &err);
		az_engine_close(engine);
	}
	if (rc)
		fprintf(stderr, "restack_bench: %s\n", err.text);
	return rc != AZ_OK;
}
