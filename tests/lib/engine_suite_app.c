/* The functions that the toy workflow calls: each tells that it was called, then does one thing. */
#include <stdio.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include "engine_suite.h"

static void
called(struct engine_app *app, struct az_fn_ctx *ctx)
{
	atomic_fetch_add(&app->calls, 1);
	if (ctx->attempt < 8)
		atomic_store(&app->t[ctx->attempt], az_boot_ms());
}

static enum az_code
fn_echo(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)err;
	called(app, ctx);
	az_buf_adds(result, in);
	return AZ_OK;
}

static enum az_code
fn_flaky(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt < 3) {
		az_fail(err, AZ_EUNAVAIL, "flaky", "not yet");
		return az_err_reason(err, "away");
	}
	az_buf_addf(result, "%d", ctx->attempt);
	return AZ_OK;
}

static enum az_code
fn_later(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt == 1) {
		az_fail(err, AZ_EQUOTA, "later", "slow down");
		err->retry_after_ms = 200;
		return AZ_EQUOTA;
	}
	az_buf_addc(result, "1");
	return AZ_OK;
}

static enum az_code
fn_denied(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	az_buf_addc(result, "{\"spent\":2}");
	az_fail(err, AZ_EUNPROC, "denied", "no, never");
	return az_err_reason(err, "denied");
}

static enum az_code
fn_big(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	(void)err;
	called(app, ctx);
	for (size_t i = 0; i <= AZ_LIM_PAYLOAD_BYTES; i++)
		az_buf_addch(result, '1');
	return AZ_OK;
}

/* Until told to stop. */
static enum az_code
fn_hang(
    struct az_fn_ctx *ctx, void *arg, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct engine_app *app = arg;

	(void)in;
	called(app, ctx);
	az_buf_addc(result, "{\"spent\":1}");
	atomic_fetch_add(&app->running, 1);
	while (!ctx->cancelled(ctx))
		engine_moment();
	atomic_fetch_sub(&app->running, 1);
	return az_fail(err, AZ_ECANCELLED, "hang", "told to stop");
}

/* Beats until app->go. */
static enum az_code
fn_beat(
    struct az_fn_ctx *ctx, void *arg, struct az_str in, struct az_buf *result, struct az_err *err)
{
	struct engine_app *app = arg;
	int n = 0;
	char s[40];

	(void)in;
	called(app, ctx);
	while (!atomic_load(&app->go)) {
		snprintf(s, sizeof s, "{\"n\":%d}", ++n);
		ctx->heartbeat(ctx, az_str_c(s));
		engine_moment();
		if (ctx->cancelled(ctx))
			return az_fail(err, AZ_ECANCELLED, "beat", "stop");
	}
	az_buf_addf(result, "%d", ctx->attempt);
	return AZ_OK;
}

/* The second attempt reads what the first one left. */
static enum az_code
fn_heir(
    struct az_fn_ctx *ctx, void *app, struct az_str in, struct az_buf *result, struct az_err *err)
{
	(void)in;
	called(app, ctx);
	if (ctx->attempt == 1) {
		ctx->heartbeat(ctx, AZ_S("{\"old\":0}"));
		ctx->heartbeat(ctx, AZ_S("{\"will\":7}"));
		return az_fail(err, AZ_EUPSTREAM, "heir", "fell over");
	}
	az_buf_adds(result, ctx->last_heartbeat);
	return AZ_OK;
}

const struct az_function engine_functions[] = {
    {"echo", fn_echo},
    {"flaky", fn_flaky},
    {"later", fn_later},
    {"denied", fn_denied},
    {"big", fn_big},
    {"hang", fn_hang},
    {"beat", fn_beat},
    {"heir", fn_heir},
    {NULL, NULL},
};
