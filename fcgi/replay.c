/* replay: recorded model replies on OpenAI's wire, behind nginx on the stand-ins' port. */
#include <azlon/limits.h>
#include <azlon/replay.h>
#include "common/process.h"

enum { THREADS = 16 };

static enum az_code
open_all(const struct az_conf *c, struct az_replay **out, struct az_err *err)
{
	if (!c->replay_key || !c->replay_key[0])
		return az_fail(
		    err, AZ_EINVAL, "replay.open", "%s/secret/replay.key is missing", c->var);
	return az_replay_open(&(struct az_replay_opts){.dir = c->recordings,
				  .key = c->replay_key,
				  .record = c->record,
				  .port = (int)c->local_port,
				  .faults = c->replay_faults},
	    out, err);
}

int
main(int argc, char **argv)
{
	struct process p = {.name = "replay", .what = "recorded model replies"};
	struct az_replay *r = NULL;

	az_web_signals_block();
	if (!process_begin(&p, argc, argv))
		return p.status;
	if (open_all(&p.conf, &r, &p.err)) {
		process_refused(&p);
		goto out;
	}
	process_serve(&p, &(struct az_web){.routes = az_replay_routes,
			      .app = r,
			      .threads = p.conf.threads < THREADS ? (int)p.conf.threads : THREADS,
			      .arena_bytes = AZ_MIB(64),
			      .problem = az_replay_problem});
out:
	az_replay_close(r);
	return process_end(&p);
}
