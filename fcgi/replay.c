/*
 * replay: recorded model replies on OpenAI's wire, behind nginx on the stand-ins' port.
 * Two variables beside the configuration, for make record and for tests:
 * AZLON_RECORD (directory of scripts) and AZLON_REPLAY_FAULTS=1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <azlon/conf.h>
#include <azlon/log.h>
#include <azlon/replay.h>
#include <azlon/web.h>

enum { EX_CONFIG_ = 78, THREADS = 16 };

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

int
main(int argc, char **argv)
{
	const char *record = getenv("AZLON_RECORD");
	const char *faults = getenv("AZLON_REPLAY_FAULTS");
	struct az_err err = AZ_ERR_INIT;
	struct az_replay *r = NULL;
	struct az_conf c;
	int status = az_conf_main(argc, argv, "recorded model replies", &c);

	if (status >= 0)
		return status;
	status = EX_CONFIG_;
	az_log_open("replay", c.log, level_of(c.log_level));
	if (!c.replay_key || !c.replay_key[0]) {
		fprintf(stderr, "replay: %s/secret/replay.key is missing\n", c.var);
		goto out;
	}
	if (!c.recordings) {
		fprintf(stderr, "replay: AZLON_RECORDINGS names no directory\n");
		goto out;
	}
	if (az_replay_open(&(struct az_replay_opts){.dir = c.recordings,
			       .key = c.replay_key,
			       .record = record && record[0] ? record : NULL,
			       .port = (int)c.local_port,
			       .faults = faults && !strcmp(faults, "1")},
		&r, &err)) {
		fprintf(stderr, "replay: %s\n", err.text);
		goto out;
	}
	az_log(AZ_INFO, "replay.start", AZ_KC("recordings", c.recordings),
	    AZ_KC("record", record && record[0] ? record : "off"));
	if (az_web_run(&(struct az_web){.routes = az_replay_routes,
			   .app = r,
			   .threads = c.threads < THREADS ? (int)c.threads : THREADS,
			   .arena_bytes = (size_t)64 * 1024 * 1024,
			   .problem = az_replay_problem},
		&err)) {
		az_log(AZ_ERROR, "replay.end", AZ_KE(&err));
		status = 1;
		goto out;
	}
	az_log(AZ_INFO, "replay.stop", AZ_KN("status", 0));
	status = 0;
out:
	az_replay_close(r);
	az_conf_release(&c);
	return status;
}
