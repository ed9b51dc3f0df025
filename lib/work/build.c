/* Upload, plan, build: see build.h. */
#include "build.h"

#define OP "work.build"

/* Outside the app directory, so that it is no output. */
#define MARKER AZ_PLAN_HOME "/.azlon-iteration"

/* For a tree without a Dockerfile whose entry point is plain. */
static const struct {
	const char *main, *dockerfile;
} guesses[] = {
    {"main.py", "FROM python:3\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n"},
    {"main.js", "FROM node\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"main.js\"]\n"},
    {"main.sh", "FROM debian\nWORKDIR /app\nCOPY . .\nCMD [\"sh\", \"main.sh\"]\n"},
};

static const char *
guess(const struct az_manifest *m)
{
	for (size_t i = 0; i < sizeof(guesses) / sizeof(guesses[0]); i++)
		if (az_manifest_find(m, az_str_c(guesses[i].main)))
			return guesses[i].dockerfile;
	return NULL;
}

bool
build_possible(const struct az_manifest *m)
{
	return az_manifest_find(m, AZ_S("Dockerfile")) || guess(m);
}

enum az_code
build_parse(
    struct work_job *j, const struct az_manifest *m, struct work_build *b, struct az_err *err)
{
	const struct az_file *f = az_manifest_find(m, AZ_S("Dockerfile"));
	struct az_err e = AZ_ERR_INIT;
	struct az_str text = {0};
	enum az_code rc;

	*b = (struct work_build){.ok = false};
	if (f) {
		if (f->size > (int64_t)AZ_PLAN_MAX_BYTES) {
			b->text = AZ_S("The Dockerfile is too long.");
			return AZ_OK;
		}
		rc = job_get_file(j, f, AZ_PLAN_MAX_BYTES, &text, err);
		if (rc != AZ_OK)
			return rc;
	} else {
		text = az_str_c(guess(m));
		b->guessed = true;
	}
	if (!text.p) {
		b->text = AZ_S("There is no Dockerfile.");
		return AZ_OK;
	}
	rc = az_plan_parse(text, j->a, &b->plan, &e);
	if (rc == AZ_OK) {
		b->ok = true;
		return AZ_OK;
	}
	if (rc != AZ_EUNPROC && rc != AZ_EINVAL && rc != AZ_ETOOBIG) {
		if (err)
			*err = e;
		return rc;
	}
	b->text = job_clip(j, az_str_c(e.text), 1000);
	return b->text.p ? AZ_OK : job_nomem(err);
}

struct watch {
	struct work_job *j;
	struct work_sink *log;
};

static void
step_begins(void *arg, const struct az_plan_step *step, struct az_str text)
{
	struct watch *w = arg;
	struct az_str line;

	/* FROM tells versions of this host, which would get into prompts */
	if (!step)
		return;
	line = az_str_c(az_arena_printf(w->j->a, "> %.*s\n", AZ_FMT(text)));
	/* a failure of the store shows at the next write */
	if (line.p && sink_write(w->log, line, NULL) != AZ_OK)
		return;
}

static enum az_code
step_output(
    void *arg, const struct az_plan_step *step, int stream, struct az_str bytes, struct az_err *err)
{
	struct watch *w = arg;

	(void)step;
	(void)stream;
	return sink_write(w->log, bytes, err);
}

static bool
watch_cancelled(void *arg)
{
	return job_cancelled(((struct watch *)arg)->j);
}

static int
watch_allow(void *arg, int wish_s)
{
	return work_box_time(((struct watch *)arg)->j, wish_s);
}

static bool
has_run_steps(const struct az_plan *p)
{
	for (size_t i = 0; i < p->n_steps; i++)
		if (p->steps[i].kind == AZ_PLAN_RUN)
			return true;
	return false;
}

static enum az_code
execute(struct work_job *j, const struct work_box *x, struct work_build *b, struct work_sink *log,
    struct az_err *err)
{
	struct watch w = {j, log};
	struct az_plan_exec e = {.sandbox = j->sandbox,
	    .box = &x->ref,
	    .allow = watch_allow,
	    .begin = step_begins,
	    .output = step_output,
	    .cancelled = watch_cancelled,
	    .arg = &w};
	bool online = has_run_steps(&b->plan);
	enum az_code rc = AZ_OK;

	if (online)
		rc = work_box_network(j, x, true, err);
	if (rc == AZ_OK)
		rc = job_sandbox_rc(az_plan_exec(&b->plan, &e, j->a, &b->r, err), err);
	if (rc == AZ_OK)
		rc = work_box_network(j, x, false, err);
	if (rc != AZ_OK)
		return rc;
	b->ok = b->r.built;
	j->box_spent = j->box_spent || b->r.out_of_time;
	if (!b->ok) {
		b->text = job_clip(j, b->r.text, 1000);
		b->step = b->r.failed ? job_clip(j, b->r.failed->text, 300) : AZ_S("FROM");
	}
	return AZ_OK;
}

enum az_code
build_forget(struct work_job *j, const struct work_box *x, struct az_err *err)
{
	return work_box_write(j, x, MARKER, AZ_S("none"), err);
}

enum az_code
build_exec(struct work_job *j, const struct work_box *x, int n, const struct az_manifest *m,
    struct work_build *b, struct work_sink *log, struct az_err *err)
{
	struct az_str mark = az_str_c(az_arena_printf(j->a, "%d", n));
	enum az_code rc;

	if (!mark.p)
		return job_nomem(err);
	rc = build_forget(j, x, err);
	if (rc == AZ_OK)
		rc = job_sandbox_rc(az_sandbox_kill_all(j->sandbox, &x->ref, err), err);
	if (rc == AZ_OK)
		rc = work_tree_upload(j, x, m, err);
	if (rc == AZ_OK)
		rc = work_tree_list(j, x, &b->before, err);
	if (rc == AZ_OK)
		rc = execute(j, x, b, log, err);
	if (rc == AZ_OK && b->ok)
		rc = work_box_write(j, x, MARKER, mark, err);
	return rc;
}

enum az_code
build_held(struct work_job *j, const struct work_box *x, int n, bool *held, struct az_err *err)
{
	const char *mark = az_arena_printf(j->a, "%d", n);
	struct az_str text;
	enum az_code rc;

	*held = false;
	if (x->made)
		return AZ_OK;
	if (!mark)
		return job_nomem(err);
	rc = work_box_read(j, x, MARKER, 64, &text, err);
	*held = rc == AZ_OK && az_str_eqc(text, mark);
	return rc;
}
