/*
 * Executing the build steps. What fails because of the Dockerfile or the code is a
 * build failure, told to model and user; what fails because a sandbox is away is an
 * error, retried by others.
 */
#include <stdio.h>
#include "runplan_exec.h"

static enum az_code
on_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct plan_exec *e = arg;

	if (e->keep) {
		if (e->keep->n < PLAN_SCRIPT_BYTES)
			az_buf_adds(e->keep, az_str_sub(bytes, 0, PLAN_SCRIPT_BYTES - e->keep->n));
		return AZ_OK;
	}
	return e->x->output ? e->x->output(e->x->arg, e->step, stream, bytes, err) : AZ_OK;
}

static bool
on_wait(void *arg)
{
	struct plan_exec *e = arg;

	return e->x->cancelled && e->x->cancelled(e->x->arg);
}

enum az_code
plan_exec_run(struct plan_exec *e, const char *const *argv, const char *const *env, const char *cwd,
    struct az_sb_result *r)
{
	int wish = e->x->timeout_s > 0 ? e->x->timeout_s : AZ_LIM_CMD_S;
	char tag[160];
	enum az_code rc;

	e->limit_s = e->x->allow ? e->x->allow(e->x->arg, wish) : wish;
	if (e->limit_s <= 0) {
		e->r->out_of_time = true;
		*r = (struct az_sb_result){.end = AZ_END_TIMEOUT};
		return AZ_OK;
	}
	snprintf(tag, sizeof tag, "%.120s-b%u", e->x->tag ? e->x->tag : "azlon", e->seq++);
	rc = az_sandbox_run(e->x->sandbox, e->x->box,
	    &(struct az_sb_cmd){.argv = argv,
		.env = env,
		.cwd = cwd,
		.tag = e->x->tag ? tag : NULL,
		.timeout_s = e->limit_s,
		.output = on_output,
		.cancelled = on_wait,
		.arg = e},
	    r, e->err);
	if (rc == AZ_OK && r->end == AZ_END_CANCELLED)
		rc = az_fail(e->err, AZ_ECANCELLED, "work.build", "cancelled");
	if (rc == AZ_OK && r->end == AZ_END_TIMEOUT && e->limit_s < wish)
		e->r->out_of_time = true;
	return rc;
}

enum az_code
plan_exec_fail(struct plan_exec *e, const struct az_sb_result *r, const char *why)
{
	struct az_plan_result *out = e->r;
	const struct az_plan_step *s = e->step;
	char *t;

	out->built = false;
	out->failed = s;
	out->end = r ? r->end : 0;
	out->exit_code = r ? r->exit_code : 0;
	if (out->out_of_time)
		why = AZ_PLAN_OUT_OF_TIME;
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
with_path(struct plan_exec *e, const char *s)
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
environment(struct plan_exec *e, const char *const *env, bool build)
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
lookup(struct plan_exec *e, const char *const *argv)
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

enum az_code
plan_exec_nomem(struct plan_exec *e)
{
	return az_fail(e->err, AZ_ENOMEM, "work.build", "out of memory");
}

bool
plan_exec_refused(struct plan_exec *e, enum az_code rc)
{
	return rc == AZ_EINVAL || rc == AZ_EPERM ||
	       (rc == AZ_ENOTFOUND && e->err && !az_sandbox_is_gone(e->err));
}

enum az_code
plan_exec_tell_refusal(struct plan_exec *e)
{
	char *why = az_arena_printf(e->a, "refused: %.200s", e->err ? e->err->text : "");

	return why ? plan_exec_fail(e, NULL, why) : plan_exec_nomem(e);
}

static enum az_code
do_run(struct plan_exec *e, const struct az_plan_step *s)
{
	struct az_str manager = plan_system_packages(s->argv);
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
		return why ? plan_exec_fail(e, NULL, why) : plan_exec_nomem(e);
	}
	if (!(env = environment(e, s->env, true)) || !(argv = lookup(e, s->argv)))
		return plan_exec_nomem(e);
	if ((rc = plan_exec_run(e, argv, env, s->cwd, &r)) != AZ_OK)
		return plan_exec_refused(e, rc) ? plan_exec_tell_refusal(e) : rc;
	if (r.end == AZ_END_EXITED && r.exit_code == 0)
		return AZ_OK;
	if (plan_needs_root(s->argv))
		hint = "; there is no root: commands run as \"user\"";
	if (r.end == AZ_END_TIMEOUT)
		why = az_arena_printf(e->a, "stopped after %d s", e->limit_s);
	else
		why = az_arena_printf(e->a, "%s%s%s%s", r.status[0] ? r.status : "it failed",
		    r.error[0] ? ", " : "", r.error, hint);
	return why ? plan_exec_fail(e, &r, why) : plan_exec_nomem(e);
}

enum az_code
az_plan_exec(const struct az_plan *p, const struct az_plan_exec *x, struct az_arena *a,
    struct az_plan_result *r, struct az_err *err)
{
	struct plan_exec e = {.p = p, .x = x, .a = a, .r = r, .err = err};
	enum az_code rc;
	size_t i;

	*r = (struct az_plan_result){.built = true, .text = {"", 0}, .cwd = p->cwd};
	if ((rc = az_sandbox_mkdir(x->sandbox, x->box, AZ_PLAN_APP, err)) != AZ_OK ||
	    (rc = plan_exec_probe(&e)) != AZ_OK)
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
			rc = plan_exec_copy(&e, s);
			break;
		case AZ_PLAN_WORKDIR:
			rc = az_sandbox_mkdir(x->sandbox, x->box, s->cwd, err);
			if (plan_exec_refused(&e, rc)) /* a file is in the way, or it is not ours */
				rc = plan_exec_fail(&e, NULL, "cannot make this directory");
			break;
		}
		if (rc != AZ_OK)
			return rc;
	}
	if (!r->built)
		return AZ_OK;
	if (!(r->env = environment(&e, p->env, false)))
		return plan_exec_nomem(&e);
	if (p->argv && !(r->argv = lookup(&e, p->argv)))
		return plan_exec_nomem(&e);
	return AZ_OK;
}
