/*
 * Executing the build steps. What fails because of the Dockerfile or the code is a
 * build failure, told to model and user; what fails because a sandbox is away is an
 * error, retried by others.
 */
#include <stdio.h>
#include "runplan_int.h"

#define SCRIPT_OUT_BYTES AZ_KIB(16) /* kept of our own scripts' output */

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

struct exec {
	const struct az_plan *p;
	const struct az_plan_exec *x;
	struct az_arena *a;
	struct az_plan_result *r;
	struct az_err *err;
	const struct az_plan_step *step;
	struct az_buf *keep;      /* collects stdout when set */
	struct az_str path, have; /* of the sandbox */
	unsigned seq;
};

static enum az_code
on_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct exec *e = arg;

	if (e->keep) {
		if (e->keep->n < SCRIPT_OUT_BYTES)
			az_buf_adds(e->keep, az_str_sub(bytes, 0, SCRIPT_OUT_BYTES - e->keep->n));
		return AZ_OK;
	}
	return e->x->output ? e->x->output(e->x->arg, e->step, stream, bytes, err) : AZ_OK;
}

static bool
on_wait(void *arg)
{
	struct exec *e = arg;

	return e->x->cancelled && e->x->cancelled(e->x->arg);
}

static enum az_code
run(struct exec *e, const char *const *argv, const char *const *env, const char *cwd,
    struct az_sb_result *r)
{
	char tag[160];
	enum az_code rc;

	snprintf(tag, sizeof tag, "%.120s-b%u", e->x->tag ? e->x->tag : "azlon", e->seq++);
	rc = az_sandbox_run(e->x->sandbox, e->x->box,
	    &(struct az_sb_cmd){.argv = argv,
		.env = env,
		.cwd = cwd,
		.tag = e->x->tag ? tag : NULL,
		.timeout_s = e->x->timeout_s,
		.output = on_output,
		.cancelled = on_wait,
		.arg = e},
	    r, e->err);
	if (rc == AZ_OK && r->end == AZ_END_CANCELLED)
		rc = az_fail(e->err, AZ_ECANCELLED, "work.build", "cancelled");
	return rc;
}

/* A build failure: known, told, not an error. */
static enum az_code
fail(struct exec *e, const struct az_sb_result *r, const char *why)
{
	struct az_plan_result *out = e->r;
	const struct az_plan_step *s = e->step;
	char *t;

	out->built = false;
	out->failed = s;
	out->end = r ? r->end : 0;
	out->exit_code = r ? r->exit_code : 0;
	if (s)
		t = az_arena_printf(
		    e->a, "Dockerfile line %d, %.*s: %s", s->line, AZ_FMT(s->text), why);
	else
		t = az_arena_printf(e->a, "FROM %.*s: %s", AZ_FMT(e->p->image), why);
	if (!t)
		return az_fail(e->err, AZ_ENOMEM, "work.build", "out of memory");
	out->text = az_str_c(t);
	return AZ_OK;
}

/* Texts carry a mark where the Dockerfile said $PATH. */
static char *
with_path(struct exec *e, const char *s)
{
	struct az_buf b;
	char *out;

	if (!strchr(s, PLAN_PATH_MARK[0]))
		return az_arena_cstr(e->a, az_str_c(s));
	az_buf_init(&b, AZ_KIB(128));
	for (; *s; s++)
		if (*s == PLAN_PATH_MARK[0])
			az_buf_adds(&b, e->path);
		else
			az_buf_addch(&b, *s);
	out = b.fail == AZ_OK ? az_arena_cstr(e->a, az_buf_str(&b)) : NULL;
	az_buf_release(&b);
	return out;
}

/* env with PATH filled in, and more where a build step may write for itself. */
static const char *const *
environment(struct exec *e, const char *const *env, bool build)
{
	/* there is no root: what installs goes beneath the home */
	static const char *const extra[] = {"PIP_BREAK_SYSTEM_PACKAGES=1",
	    "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1",
	    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): it is one string */
	    "NPM_CONFIG_PREFIX=" AZ_PLAN_HOME "/.local", "NPM_CONFIG_UPDATE_NOTIFIER=false"};
	const size_t n_extra = sizeof extra / sizeof extra[0];
	const char **out;
	size_t n = 0, i, k = 0;
	bool path = false;

	while (env && env[n])
		n++;
	if (!(out = az_arena_alloc(e->a, (n + n_extra + 2) * sizeof *out)))
		return NULL;
	for (i = 0; build && i < n_extra; i++)
		out[k++] = extra[i]; /* first, so that the Dockerfile's own win */
	for (i = 0; i < n; i++) {
		if (!(out[k++] = with_path(e, env[i])))
			return NULL;
		path |= strncmp(env[i], "PATH=", 5) == 0;
	}
	if (!path && !(out[k++] = az_arena_printf(e->a, "PATH=%.*s", AZ_FMT(e->path))))
		return NULL;
	out[k] = NULL;
	return out;
}

/* A bare program name is looked up on our PATH, which the service may not do. */
static const char *const *
lookup(struct exec *e, const char *const *argv)
{
	const char **out;
	size_t n = 0, i;

	if (strchr(argv[0], '/'))
		return argv;
	while (argv[n])
		n++;
	if (!(out = az_arena_alloc(e->a, (n + 5) * sizeof *out)))
		return NULL;
	out[0] = "/bin/sh";
	out[1] = "-c";
	out[2] = "exec \"$@\"";
	out[3] = "sh";
	for (i = 0; i <= n; i++)
		out[4 + i] = argv[i];
	return out;
}

static enum az_code
nomem(struct exec *e)
{
	return az_fail(e->err, AZ_ENOMEM, "work.build", "out of memory");
}

static enum az_code
probe(struct exec *e)
{
	const char *argv[] = {"/bin/sh", "-c", probe_script, "sh", e->p->probe, NULL};
	struct az_sb_result r = {0};
	struct az_str out, line, version = {"", 0};
	struct az_buf b;
	char *why;
	enum az_code rc;

	az_buf_init(&b, SCRIPT_OUT_BYTES);
	e->keep = &b;
	rc = run(e, argv, NULL, NULL, &r);
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
		rc = why ? fail(e, &r, why) : nomem(e);
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

static bool
word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '/' || c == '+' || c == '=' || c == '$';
}

/* Next word of a shell text; operators and quotes only separate. */
static bool
next_word(struct az_str *s, struct az_str *w)
{
	size_t i = 0, from;

	while (i < s->n && !word_char(s->p[i]))
		i++;
	from = i;
	while (i < s->n && word_char(s->p[i]))
		i++;
	*w = az_str_sub(*s, from, i);
	*s = az_str_sub(*s, i, s->n);
	return w->n > 0;
}

/* The package manager a command would install system packages with, or "". */
static struct az_str
system_packages(const char *const *argv)
{
	static const char *const managers[] = {
	    "apt-get", "apt", "apk", "yum", "dnf", "microdnf", "zypper", "pacman", NULL};
	static const char *const verbs[] = {
	    "install", "add", "update", "upgrade", "dist-upgrade", "-S", "-Sy", "-Syu", NULL};
	struct az_str found = {"", 0}, rest, w;

	for (; *argv; argv++)
		for (rest = az_str_c(*argv); next_word(&rest, &w);) {
			ptrdiff_t at = az_str_rchr(w, '/');
			struct az_str base = az_str_sub(w, (size_t)(at + 1), w.n);

			if (plan_in_list(base, managers))
				found = base;
			else if (found.n && plan_in_list(w, verbs))
				return found;
			else if (w.p[0] != '-')
				found.n = 0;
		}
	found.n = 0;
	return found;
}

static bool
needs_root(const char *const *argv)
{
	static const char *const tools[] = {"useradd", "adduser", "groupadd", "addgroup", "usermod",
	    "chown", "chgrp", "sudo", "su", "systemctl", "service", NULL};
	struct az_str rest, w;

	for (; *argv; argv++)
		for (rest = az_str_c(*argv); next_word(&rest, &w);)
			if (plan_in_list(w, tools))
				return true;
	return false;
}

/* Did the sandbox refuse what the Dockerfile asks for? No directory where it wants to
   work, no right to write there, a full disk: the Dockerfile's fault. */
static bool
refused(struct exec *e, enum az_code rc)
{
	return rc == AZ_EINVAL || rc == AZ_EPERM ||
	       (rc == AZ_ENOTFOUND && e->err && strcmp(e->err->reason, "sandbox_gone") != 0);
}

static enum az_code
tell_refusal(struct exec *e)
{
	char *why = az_arena_printf(e->a, "refused: %.200s", e->err ? e->err->text : "");

	return why ? fail(e, NULL, why) : nomem(e);
}

static enum az_code
do_run(struct exec *e, const struct az_plan_step *s)
{
	struct az_str manager = system_packages(s->argv);
	const char *const *env, *const *argv;
	struct az_sb_result r = {0};
	const char *hint = "";
	char *why;
	enum az_code rc;

	if (manager.n) { /* it could only fail, after a long wait for the network */
		why = az_arena_printf(e->a,
		    "system packages cannot be installed (%.*s): there is no root. Leave "
		    "the line out and use what is there: %.*s; language packages by pip "
		    "or npm work",
		    AZ_FMT(manager), AZ_FMT(e->have));
		return why ? fail(e, NULL, why) : nomem(e);
	}
	if (!(env = environment(e, s->env, true)) || !(argv = lookup(e, s->argv)))
		return nomem(e);
	if ((rc = run(e, argv, env, s->cwd, &r)) != AZ_OK)
		return refused(e, rc) ? tell_refusal(e) : rc;
	if (r.end == AZ_END_EXITED && r.exit_code == 0)
		return AZ_OK;
	if (needs_root(s->argv))
		hint = "; there is no root: commands run as \"user\"";
	if (r.end == AZ_END_TIMEOUT)
		why = az_arena_printf(e->a, "stopped after %d s",
		    e->x->timeout_s > 0 ? e->x->timeout_s : AZ_LIM_CMD_S);
	else
		why = az_arena_printf(e->a, "%s%s%s%s", r.status[0] ? r.status : "it failed",
		    r.error[0] ? ", " : "", r.error, hint);
	return why ? fail(e, &r, why) : nomem(e);
}

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

static enum az_code
do_copy(struct exec *e, const struct az_plan_step *s)
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
			return refused(e, rc) ? tell_refusal(e) : rc;
	}
	while (s->src && s->src[n])
		n++;
	if (!(argv = az_arena_alloc(e->a, (n + 9) * sizeof *argv)))
		return nomem(e);
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
	az_buf_init(&b, SCRIPT_OUT_BYTES);
	e->keep = &b;
	rc = run(e, argv, NULL, AZ_PLAN_APP, &r);
	e->keep = NULL;
	if (rc == AZ_OK && (r.end != AZ_END_EXITED || r.exit_code != 0)) {
		struct az_str said = az_str_trim(az_buf_str(&b));

		why = az_arena_printf(
		    e->a, "%.*s", (int)(said.n < 300 ? said.n : 300), said.n ? said.p : r.status);
		rc = why ? fail(e, &r, why) : nomem(e);
	}
	az_buf_release(&b);
	return refused(e, rc) ? tell_refusal(e) : rc;
}

enum az_code
az_plan_exec(const struct az_plan *p, const struct az_plan_exec *x, struct az_arena *a,
    struct az_plan_result *r, struct az_err *err)
{
	struct exec e = {.p = p, .x = x, .a = a, .r = r, .err = err};
	enum az_code rc;
	size_t i;

	*r = (struct az_plan_result){.built = true, .text = {"", 0}, .cwd = p->cwd};
	if ((rc = az_sandbox_mkdir(x->sandbox, x->box, AZ_PLAN_APP, err)) != AZ_OK ||
	    (rc = probe(&e)) != AZ_OK)
		return rc;
	for (i = 0; i < p->n_steps && r->built; i++) {
		const struct az_plan_step *s = e.step = &p->steps[i];

		if (on_wait(&e))
			return az_fail(err, AZ_ECANCELLED, "work.build", "cancelled");
		if (x->begin)
			x->begin(x->arg, s, s->text);
		switch (s->kind) {
		case AZ_PLAN_RUN:
			rc = do_run(&e, s);
			break;
		case AZ_PLAN_COPY:
			rc = do_copy(&e, s);
			break;
		case AZ_PLAN_WORKDIR:
			rc = az_sandbox_mkdir(x->sandbox, x->box, s->cwd, err);
			if (refused(&e, rc)) /* a file is in the way, or it is not ours */
				rc = fail(&e, NULL, "cannot make this directory");
			break;
		}
		if (rc != AZ_OK)
			return rc;
	}
	if (!r->built)
		return AZ_OK;
	if (!(r->env = environment(&e, p->env, false)))
		return nomem(&e);
	if (p->argv && !(r->argv = lookup(&e, p->argv)))
		return nomem(&e);
	return AZ_OK;
}
