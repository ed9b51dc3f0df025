/*
 * sandbox: E2B's protocol for boxes on this host, behind nginx on the stand-ins' port.
 * One process owns all of them; when it ends they end.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <azlon/box.h>
#include <azlon/conf.h>
#include <azlon/log.h>

enum { EX_CONFIG_ = 78, THREADS = 256 };

static enum az_level
level_of(const char *name)
{
	return !strcmp(name, "debug")   ? AZ_DEBUG
	       : !strcmp(name, "warn")  ? AZ_WARN
	       : !strcmp(name, "error") ? AZ_ERROR
					: AZ_INFO;
}

/* bubblewrap needs absolute names: they are looked up from another root. */
static bool
absolute(const char *path, const char *what, char out[PATH_MAX])
{
	if (path && realpath(path, out))
		return true;
	fprintf(stderr, "sandbox: %s '%s' is not there\n", what, path ? path : "");
	return false;
}

int
main(int argc, char **argv)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_box_server *s = NULL;
	char var[PATH_MAX], agent[PATH_MAX], dir[PATH_MAX + 8];
	struct az_conf c;
	int status = az_conf_main(argc, argv, "local sandboxes on E2B's wire", &c);

	if (status >= 0)
		return status;
	status = EX_CONFIG_;
	az_log_open("sandbox", c.log, level_of(c.log_level));
	if (strcmp(c.sandbox, "local")) {
		fprintf(stderr, "sandbox: AZLON_SANDBOX is %s: nothing to serve here\n", c.sandbox);
		goto out;
	}
	if (!c.e2b_api_key || !c.e2b_api_key[0]) {
		fprintf(stderr, "sandbox: %s/secret/e2b.key is missing\n", c.var);
		goto out;
	}
	if (!absolute(c.var, "AZLON_VAR", var) || !absolute(c.agent, "AZLON_AGENT", agent))
		goto out;
	snprintf(dir, sizeof dir, "%s/box", var);
	if (az_box_open(&(struct az_box_opts){.dir = dir,
			    .agent = agent,
			    .bwrap = c.bwrap,
			    .key = c.e2b_api_key,
			    .port = (int)c.local_port,
			    .memory_bytes = c.box_memory_mb << 20,
			    .disk_bytes = c.box_disk_mb << 20,
			    .pids = (int)c.box_pids,
			    .cpu_pct = (int)c.box_cpus_pct,
			    .max = (int)c.box_max,
			    .cgroup = c.cgroup},
		&s, &err)) {
		fprintf(stderr, "sandbox: %s\n", err.text);
		az_log(AZ_ERROR, "sandbox.refused", AZ_KE(&err));
		goto out;
	}
	az_log(AZ_INFO, "sandbox.start", AZ_KC("dir", dir), AZ_KN("max", c.box_max));
	/* a stream holds a thread for as long as its program runs */
	if (az_web_run(&(struct az_web){.routes = az_box_routes,
			   .app = s,
			   .threads = THREADS,
			   .arena_bytes = (size_t)64 * 1024 * 1024,
			   .problem = az_box_problem},
		&err)) {
		az_log(AZ_ERROR, "sandbox.end", AZ_KE(&err));
		status = 1;
		goto out;
	}
	az_log(AZ_INFO, "sandbox.stop", AZ_KN("status", 0));
	status = 0;
out:
	az_box_close(s);
	az_conf_release(&c);
	return status;
}
