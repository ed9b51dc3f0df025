/* COPY and ADD carried out. */
#include <stdio.h>
#include "runplan_exec.h"

/* COPY: $1 destination, $2 1 when it is a directory, $3 mode or 0, then sources. Runs in
   the context. What already lies where it should is left alone; a destination inside
   its source is filled by way of a copy. */
static const char copy_script[] =
    "d=$1 isdir=$2 mode=$3; shift 3\n"
    "IFS=\n"
    "put() {\n"
    "  if [ -d \"$1\" ]; then\n"
    "    mkdir -p \"$d\" || exit 1\n"
    "    [ \"$1\" -ef \"$d\" ] && { changed=$d; return 0; }\n"
    "    s=$(cd \"$1\" && pwd) || exit 1\n"
    "    case $d/ in\n"
    "    \"$s\"/*)\n"
    "      t=$(mktemp -d \"${HOME:-" AZ_PLAN_HOME "}/.copy.XXXXXX\") || exit 1\n"
    "      cp -RPp \"$s/.\" \"$t/\" && rm -rf \"$t/${d#\"$s\"/}\" &&\n"
    "        cp -RPp \"$t/.\" \"$d/\" || exit 1\n"
    "      rm -rf \"$t\" ;;\n"
    "    *) cp -RPp \"$s/.\" \"$d/\" || exit 1 ;;\n"
    "    esac\n"
    "    changed=$d\n"
    "  else\n"
    "    to=$d\n"
    "    if [ \"$isdir\" = 1 ] || [ -d \"$d\" ]; then mkdir -p \"$d\" || exit 1; to=$d/${1##*/}\n"
    "    else case $d in */*) mkdir -p \"${d%/*}\" || exit 1 ;; esac; fi\n"
    "    [ \"$1\" -ef \"$to\" ] || cp -Pp \"$1\" \"$to\" || exit 1\n"
    "    changed=$to\n"
    "  fi\n"
    "  [ \"$mode\" = 0 ] || find \"$changed\" -type f -exec chmod \"$mode\" {} + || exit 1\n"
    "}\n"
    "for pat do\n"
    "  n=0\n"
    "  for f in $pat; do n=$((n + 1)); done\n"
    "  [ $n -gt 1 ] && isdir=1\n"
    "  for f in $pat; do\n"
    "    if [ ! -e \"$f\" ] && [ ! -L \"$f\" ]; then\n"
    "      echo \"$pat: not found in the build context\" >&2; exit 1\n"
    "    fi\n"
    "    put \"./$f\"\n"
    "  done\n"
    "done\n";

struct body {
	struct az_str rest;
};

static enum az_code
body_read(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct body *b = arg;

	(void)err;
	*got = n < b->rest.n ? n : b->rest.n;
	if (*got)
		memcpy(p, b->rest.p, *got);
	b->rest = az_str_sub(b->rest, *got, b->rest.n);
	return AZ_OK;
}

enum az_code
plan_exec_copy(struct plan_exec *e, const struct az_plan_step *s)
{
	struct az_sb_result r = {0};
	const char **argv;
	size_t n = 0, k = 0;
	char mode[8];
	struct az_buf b;
	char *why;
	enum az_code rc;

	/* the whole context to where it already lies: nothing to do */
	if (s->src && !s->mode && s->src[0] && !s->src[1] && strcmp(s->src[0], ".") == 0 &&
	    strcmp(s->dest, AZ_PLAN_APP) == 0)
		return AZ_OK;
	if (!s->src) {
		struct body body = {s->body};

		rc = az_sandbox_upload(e->x->sandbox, e->x->box, s->dest, (int64_t)s->body.n,
		    body_read, &body, e->err);
		if (rc != AZ_OK || !s->mode)
			return plan_exec_refused(e, rc) ? plan_exec_tell_refusal(e) : rc;
	}
	while (s->src && s->src[n])
		n++;
	if (!(argv = az_arena_alloc(e->a, (n + 9) * sizeof *argv)))
		return plan_exec_nomem(e);
	snprintf(mode, sizeof mode, "%o", s->mode);
	argv[k++] = "/bin/sh";
	argv[k++] = "-c";
	if (!s->src) {
		argv[k++] = "chmod \"$2\" \"$1\"";
		argv[k++] = "sh";
		argv[k++] = s->dest;
		argv[k++] = mode;
	} else {
		argv[k++] = copy_script;
		argv[k++] = "sh";
		argv[k++] = s->dest;
		argv[k++] = s->dest_dir ? "1" : "0";
		argv[k++] = mode;
	}
	for (n = 0; s->src && s->src[n]; n++)
		argv[k++] = s->src[n];
	argv[k] = NULL;
	az_buf_init(&b, PLAN_SCRIPT_BYTES);
	e->keep = &b;
	rc = plan_exec_run(e, argv, NULL, AZ_PLAN_APP, &r);
	e->keep = NULL;
	if (rc == AZ_OK && (r.end != AZ_END_EXITED || r.exit_code != 0)) {
		struct az_str said = az_str_trim(az_buf_str(&b));

		why = az_arena_printf(
		    e->a, "%.*s", (int)(said.n < 300 ? said.n : 300), said.n ? said.p : r.status);
		rc = why ? plan_exec_fail(e, &r, why) : plan_exec_nomem(e);
	}
	az_buf_release(&b);
	return plan_exec_refused(e, rc) ? plan_exec_tell_refusal(e) : rc;
}
