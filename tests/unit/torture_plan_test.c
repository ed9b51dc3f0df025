/*
 * Out of memory while a Dockerfile is read: the whole plan or AZ_ENOMEM, never a plan
 * with a step less, and never a complaint about the Dockerfile.
 * Only warnings may be lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include "torture.h"
#include "work/runplan.h"

static struct az_str text;

static void
words(struct az_buf *b, const char *const *v)
{
	for (; v && *v; v++)
		az_buf_addf(b, "[%s]", *v);
	az_buf_addch(b, '\n');
}

static void
write_plan(struct az_buf *b, const struct az_plan *p)
{
	az_buf_addf(
	    b, "%.*s %.*s %s %s\n", AZ_FMT(p->image), AZ_FMT(p->language), p->probe, p->cwd);
	words(b, p->argv);
	words(b, p->env);
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct az_plan_step *s = &p->steps[i];

		az_buf_addf(b, "%d %d %.*s %s %s %o %.*s\n", (int)s->kind, s->line, AZ_FMT(s->text),
		    s->cwd ? s->cwd : "-", s->dest ? s->dest : "-", s->mode, AZ_FMT(s->body));
		words(b, s->env);
		words(b, s->argv);
		words(b, s->src);
	}
	for (size_t i = 0; i < p->n_ports; i++)
		az_buf_addf(b, "%d ", p->ports[i]);
}

static enum az_code
plan(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_PLAN_ARENA_BYTES);
	struct az_plan p;
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_plan_parse(text, a, &p, err);
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	if (!rc) {
		write_plan(&b, &p);
		torture_made(az_buf_str(&b));
	}
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static const struct {
	const char *name, *text;
} files[] = {
    {"an ordinary one",
	"# syntax=docker/dockerfile:1\nFROM python:3.12-slim\nWORKDIR /srv/app\n"
	"COPY requirements.txt ./\nRUN pip install --no-cache-dir -r "
	"requirements.txt && \\\n    # why\n    echo done\nCOPY . .\nEXPOSE 8000/tcp "
	"9000-9002\nENV PORT=8000\nCMD [\"python\", \"main.py\", \"/srv/app/x\"]\n"},
    {"variables", "ARG V=3.12\nFROM python:${V}\nARG V\nARG NAME=\"a b\"\nENV A=${V:-1} B=\"x $A\" "
		  "C='$A' PATH=/srv/bin:$PATH\nENV OLD style value\nWORKDIR ${H:-/srv}/../x/./y\n"
		  "COPY $A/*.py ${B:+d/}\nRUN echo \"$NAME\" ${UNSET}\nENTRYPOINT exec run $A\n"},
    {"here-documents",
	"FROM debian\nRUN <<EOF\nset -e\necho $HOME\nEOF\nCOPY --chmod=0755 <<-\"E\" "
	"/app/x\n\tb $A\n\tE\nRUN cat <<E | sh\nx\nE\nENTRYPOINT [\"/app/x\"]\n"},
    {"what is only warned of", "FROM node:22 AS build\nMAINTAINER me\nLABEL a=b c=\"d e\"\nUSER "
			       "node\nVOLUME /data\nSTOPSIGNAL SIGTERM\nHEALTHCHECK CMD curl x\n"
			       "SHELL [\"/bin/bash\", \"-c\"]\nRUN --mount=type=cache,target=/x "
			       "make\nCOPY --chown=a:b [\"a b.txt\", \"/opt/\"]\nADD x y /root/\n"
			       "CMD node x.js\n"},
};

static void
plans_are_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
		text = az_str_c(files[i].text);
		torture(files[i].name, plan);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plans_are_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
