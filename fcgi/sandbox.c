/*
 * sandbox: E2B's protocol for boxes on this host, behind nginx on the stand-ins' port.
 * One process owns all of them; when it ends they end.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <azlon/box.h>
#include <azlon/limits.h>
#include "common/process.h"

/* a stream holds a thread for as long as its program runs */
enum { THREADS = 256 };

static const char OP[] = "sandbox.open";

/* bubblewrap needs absolute names: they are looked up from another root. */
static enum az_code
absolute(const char *path, const char *what, char out[PATH_MAX], struct az_err *err)
{
	if (path && realpath(path, out))
		return AZ_OK;
	return az_fail(err, AZ_EINVAL, OP, "%s '%s' is not there", what, path ? path : "");
}

static enum az_code
open_all(const struct az_conf *c, struct az_box_server **out, struct az_err *err)
{
	char var[PATH_MAX], agent[PATH_MAX], dir[PATH_MAX + 8];
	char templates[PATH_MAX] = "", wheels[PATH_MAX] = "";
	enum az_code rc;

	if (strcmp(c->sandbox, "local") != 0)
		return az_fail(
		    err, AZ_EINVAL, OP, "AZLON_SANDBOX is %s: nothing to serve here", c->sandbox);
	if (!c->e2b_api_key || !c->e2b_api_key[0])
		return az_fail(err, AZ_EINVAL, OP, "%s/secret/e2b.key is missing", c->var);
	if ((rc = absolute(c->var, "AZLON_VAR", var, err)) ||
	    (rc = absolute(c->agent, "AZLON_AGENT", agent, err)) ||
	    (c->templates_dir &&
		(rc = absolute(c->templates_dir, "AZLON_TEMPLATES_DIR", templates, err))) ||
	    (c->wheels && (rc = absolute(c->wheels, "AZLON_WHEELS", wheels, err))))
		return rc;
	snprintf(dir, sizeof dir, "%s/box", var);
	return az_box_open(&(struct az_box_opts){.dir = dir,
			       .agent = agent,
			       .bwrap = c->bwrap,
			       .key = c->e2b_api_key,
			       .port = (int)c->local_port,
			       .domain = c->sandbox_domain,
			       .ports = c->ports_socket,
			       .memory_bytes = c->box_memory_mb << 20,
			       .disk_bytes = c->box_disk_mb << 20,
			       .pids = (int)c->box_pids,
			       .cpu_pct = (int)c->box_cpus_pct,
			       .max = (int)c->box_max,
			       .cgroup = c->cgroup,
			       .spares = (int)c->box_spares,
			       .templates = templates,
			       .wheels = wheels},
	    out, err);
}

int
main(int argc, char **argv)
{
	struct process p = {.name = "sandbox", .what = "local sandboxes on E2B's wire"};
	struct az_box_server *s = NULL;

	az_web_signals_block();
	if (!process_begin(&p, argc, argv))
		return p.status;
	if (open_all(&p.conf, &s, &p.err)) {
		process_refused(&p);
		goto out;
	}
	process_serve(&p, &(struct az_web){.routes = az_box_routes,
			      .app = s,
			      .threads = THREADS,
			      .arena_bytes = AZ_MIB(64),
			      .problem = az_box_problem});
out:
	az_box_close(s);
	return process_end(&p);
}
