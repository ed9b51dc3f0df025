/* What the sandbox has: the first thing a build asks. */
#include "runplan_exec.h"

/* Which programs are there, and what PATH they are on; gives Python its usual names
   where a distribution has only python3. $1: the program the image stands for. */
static const char probe_script[] =
    ": \"${HOME:=" AZ_PLAN_HOME "}\"\n"
    "bin=$HOME/.local/bin\n"
    "PATH=$bin:$PATH\n"
    "echo \"path $PATH\"\n"
    "have=\n"
    "for p in python3 node npm gcc g++ make go cargo java ruby perl php bash git curl; do\n"
    "  command -v $p >/dev/null 2>&1 && have=\"$have $p\"\n"
    "done\n"
    "echo \"have$have\"\n"
    "command -v \"$1\" >/dev/null 2>&1 || exit 1\n"
    "if [ \"$1\" = python3 ]; then\n"
    "  mkdir -p \"$bin\"\n"
    "  command -v python >/dev/null 2>&1 || ln -sf \"$(command -v python3)\" \"$bin/python\"\n"
    "  if ! command -v pip >/dev/null 2>&1; then\n"
    "    if command -v pip3 >/dev/null 2>&1; then ln -sf \"$(command -v pip3)\" \"$bin/pip\"\n"
    "    else\n"
    "      printf '#!/bin/sh\\nexec python3 -m pip \"$@\"\\n' >\"$bin/pip\"\n"
    "      chmod 755 \"$bin/pip\"\n"
    "    fi\n"
    "  fi\n"
    "fi\n"
    "[ \"$1\" = sh ] || echo \"version $(\"$1\" --version 2>&1 | head -n 1)\"\n"
    "exit 0\n";

enum az_code
plan_exec_probe(struct plan_exec *e)
{
	const char *argv[] = {"/bin/sh", "-c", probe_script, "sh", e->p->probe, NULL};
	struct az_sb_result r = {0};
	struct az_str out, line, version = {"", 0};
	struct az_buf b;
	char *why;
	enum az_code rc;

	az_buf_init(&b, PLAN_SCRIPT_BYTES);
	e->keep = &b;
	rc = plan_exec_run(e, argv, NULL, NULL, &r);
	e->keep = NULL;
	if (rc != AZ_OK)
		goto out;
	out = az_buf_str(&b);
	while (az_str_line(&out, &line)) {
		struct az_str *to = az_str_starts(line, AZ_S("path "))      ? &e->path
				    : az_str_starts(line, AZ_S("have"))     ? &e->have
				    : az_str_starts(line, AZ_S("version ")) ? &version
									    : NULL;
		ptrdiff_t at = az_str_chr(line, ' ');

		if (to && at >= 0)
			*to = az_arena_str(e->a, az_str_trim(az_str_sub(line, (size_t)at, line.n)));
	}
	if (!e->path.n)
		e->path = AZ_S(AZ_PLAN_HOME "/.local/bin:/usr/local/bin:/usr/bin:/bin");
	if (r.end != AZ_END_EXITED || r.exit_code != 0) {
		why = az_arena_printf(
		    e->a, "this sandbox has no %s; it has: %.*s", e->p->probe, AZ_FMT(e->have));
		rc = why ? plan_exec_fail(e, &r, why) : plan_exec_nomem(e);
	} else if (e->x->begin) {
		char *t = az_arena_printf(e->a, "FROM %.*s%s%.*s", AZ_FMT(e->p->image),
		    version.n ? " -> " : "", AZ_FMT(version));

		if (t)
			e->x->begin(e->x->arg, NULL, az_str_c(t));
	}
out:
	az_buf_release(&b);
	return rc;
}
