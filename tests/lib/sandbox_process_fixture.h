/* Commands in a sandbox, whose streams are scripted. */
#ifndef SANDBOX_PROCESS_FIXTURE_H
#define SANDBOX_PROCESS_FIXTURE_H

#include <azlon/clock.h>
#include "e2b_fixture.h"

#define START "POST /process.Process/Start"
#define CONNECT "POST /process.Process/Connect"
#define SIGNAL "POST /process.Process/SendSignal"
#define HEALTH "GET /health"

static const char gone[] = "{\"sandboxId\":\"iabc\",\"message\":\"The sandbox was not found\","
			   "\"code\":502}";

struct got {
	struct az_buf out, err;
	int calls, fail_at;
	int cancel_after; /* questions until cancelled() says yes; 0 = never */
	int asked;
};

static inline enum az_code
on_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct got *g = arg;

	if (++g->calls == g->fail_at)
		return az_fail(err, AZ_EIO, "test", "no room");
	az_buf_adds(stream == 1 ? &g->out : &g->err, bytes);
	return AZ_OK;
}

static inline bool
on_cancel(void *arg)
{
	struct got *g = arg;

	return g->cancel_after && ++g->asked >= g->cancel_after;
}

static inline enum az_code
run_cmd(struct fix *f, struct got *g, struct az_sb_result *r, struct az_str in, int timeout_s)
{
	const char *argv[] = {"python3", "-c", "print(1)", NULL};
	const char *env[] = {"A=1", "B=x=y", "A=2", NULL};

	az_buf_init(&g->out, AZ_MIB(4));
	az_buf_init(&g->err, AZ_MIB(1));
	return az_sandbox_run(f->sb, &f->ref,
	    &(struct az_sb_cmd){.argv = argv,
		.env = env,
		.cwd = "/home/user/app",
		.tag = "azlon-run-1",
		.stdin_bytes = in,
		.timeout_s = timeout_s,
		.output = on_output,
		.cancelled = on_cancel,
		.arg = g},
	    r, &f->err);
}

static inline void
got_release(struct got *g)
{
	az_buf_release(&g->out);
	az_buf_release(&g->err);
}

static const struct az_str no_input = {NULL, 0};

/* A stream's answer of the JSON texts in list; flag 2 for one that begins with '!'. */
static inline struct http_peer_step
script(struct fix *f, const char *const *list, bool cut)
{
	struct az_buf *b = fix_buf(f);

	for (; *list; list++)
		if (**list == '!')
			frame(b, 2, *list + 1);
		else
			frame(b, 0, *list);
	return stream_of(f, b, cut);
}
#define SCRIPT(f, cut, ...) script((f), (const char *const[]){__VA_ARGS__, NULL}, (cut))
#define OUT(b64) "{\"event\":{\"data\":{\"stdout\":\"" b64 "\"}}}"
#define ERR(b64) "{\"event\":{\"data\":{\"stderr\":\"" b64 "\"}}}"

#endif
