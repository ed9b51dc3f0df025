/* Build, run, collect, record: see execute.h. */
#include "execute.h"

#include <azlon/clock.h>

#define OP "work.execute"

enum {
	SERVER_LOOK_S = 5, /* a server is watched so long, then stopped */
	FILES_TOLD = 100,
};

struct streams {
	struct work_job *j;
	struct work_sink build, out, err;
	struct az_buf tail;
};

bool
execute_is_server(const struct work_job *j)
{
	const struct az_json *checks = az_json_get(j->request, "checks");

	for (size_t i = 0; i < az_json_len(checks); i++)
		if (az_json_get(az_json_at(checks, i), "http"))
			return true;
	return false;
}

/* What the program is fed with: the input of the first check that has one. */
static struct az_str
stdin_of(const struct work_job *j)
{
	const struct az_json *checks = az_json_get(j->request, "checks");

	for (size_t i = 0; i < az_json_len(checks); i++) {
		const struct az_json *s = az_json_get(az_json_at(checks, i), "stdin");

		if (az_json_is_str(s))
			return az_json_str(s);
	}
	return (struct az_str){0};
}

struct az_str
execute_words(struct work_job *j, const struct az_sb_result *r, int timeout_s)
{
	const char *p = NULL;
	bool oom = strstr(r->error, "memory") || strstr(r->error, "OOM");

	switch (r->end) {
	case AZ_END_EXITED:
		p = az_arena_printf(
		    j->a, "exit code %d%s", r->exit_code, oom ? " (out of memory)" : "");
		break;
	case AZ_END_SIGNALLED:
		p = az_arena_printf(j->a, "killed (%s)%s%s", r->status[0] ? r->status : "signal",
		    r->error[0] && strcmp(r->error, r->status) != 0 ? ": " : "",
		    r->error[0] && strcmp(r->error, r->status) != 0 ? r->error : "");
		break;
	case AZ_END_TIMEOUT:
		p = az_arena_printf(j->a, "stopped: still running after %d s", timeout_s);
		break;
	case AZ_END_CANCELLED:
		p = "cancelled";
		break;
	}
	return az_str_c(p ? p : "not started");
}

static void
show_tail(struct work_job *j, void *arg)
{
	struct streams *s = arg;
	const struct work_sink *k = s->out.bytes ? &s->out : s->err.bytes ? &s->err : &s->build;

	az_buf_reset(&s->tail);
	az_tail_last(&k->ends, AZ_LIM_TAIL_BYTES, &s->tail);
	j->tail = az_buf_str(&s->tail);
}

static enum az_code
program_output(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct streams *s = arg;

	return sink_write(stream == 2 ? &s->err : &s->out, bytes, err);
}

static bool
streams_cancelled(void *arg)
{
	return job_cancelled(((struct streams *)arg)->j);
}

/* Run the program itself. A command the sandbox refuses is the code's fault. */
static enum az_code
run_program(struct work_job *j, const struct work_box *x, const struct work_build *b,
    struct streams *s, int timeout_s, struct work_run *out, struct az_err *err)
{
	struct az_sb_cmd c = {.argv = b->r.argv,
	    .env = b->r.env,
	    .cwd = b->r.cwd,
	    .tag = job_tag(j, "program"),
	    .stdin_bytes = stdin_of(j),
	    .timeout_s = timeout_s,
	    .output = program_output,
	    .cancelled = streams_cancelled,
	    .arg = s};
	enum az_code rc;

	rc = work_box_run(j, x, &c, &out->r, err);
	if (rc == AZ_EINVAL || rc == AZ_EPERM) {
		out->kind = "run_failed";
		out->text = job_clip(j, err ? az_str_c(err->text) : AZ_S("refused"), 300);
		out->r = (struct az_sb_result){.end = AZ_END_EXITED, .exit_code = 126};
		return AZ_OK;
	}
	if (rc != AZ_OK)
		return err && strcmp(err->reason, "store_unavailable") == 0
			   ? rc
			   : job_sandbox_rc(rc, err);
	if (out->r.end == AZ_END_CANCELLED)
		return az_fail(err, AZ_ECANCELLED, OP, "cancelled");
	out->text = execute_words(j, &out->r, timeout_s);
	if (j->box_spent && out->r.end == AZ_END_TIMEOUT)
		out->text = AZ_S("stopped: " AZ_PLAN_OUT_OF_TIME);
	if (out->server && out->r.end == AZ_END_TIMEOUT) {
		out->kind = "ok";
		out->text = AZ_S("a server: it was still running, as it should");
	} else {
		out->kind =
		    out->r.end == AZ_END_EXITED && out->r.exit_code == 0 ? "ok" : "run_failed";
	}
	return AZ_OK;
}

/* The checks start the program again from these. */
static void
strings(struct az_jw *w, const char *key, const char *const *v)
{
	az_jw_key(w, key);
	az_jw_arr(w);
	for (; v && *v; v++)
		az_jw_cstr(w, *v);
	az_jw_end(w, ']');
}

static void
write_record(struct work_job *j, int n, const struct work_run *run, const struct work_build *b,
    const struct streams *s, const struct az_manifest *source, const struct az_manifest *m,
    const struct tree_stats *st, struct az_jw *w)
{
	static const char *const ends[] = {"none", "exited", "signalled", "timeout", "cancelled"};
	size_t told = 0;

	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_ki(w, "ref", j->ctx->ref);
	az_jw_ki(w, "iteration", n);
	az_jw_kc(w, "kind", run->kind);
	az_jw_ks(w, "text", run->text);
	az_jw_kb(w, "program", run->has_program);
	az_jw_kb(w, "server", run->server);
	az_jw_kc(w, "end", ends[run->r.end]);
	az_jw_ki(w, "exit", run->r.exit_code);
	az_jw_ki(w, "ms", run->r.ms);
	az_jw_ki(w, "sandbox_ms", run->sandbox_ms);
	az_jw_kb(w, "sandbox_cut", j->box_spent);
	az_jw_ks(w, "language", b->plan.language);
	az_jw_kb(w, "guessed_dockerfile", b->guessed);
	strings(w, "argv", b->ok ? b->r.argv : NULL);
	strings(w, "env", b->ok ? b->r.env : NULL);
	az_jw_kc(w, "cwd", b->ok ? b->r.cwd : NULL);
	az_jw_key(w, "warnings");
	az_jw_arr(w);
	for (size_t i = 0; i < b->plan.n_warnings; i++)
		az_jw_str(w, b->plan.warnings[i]);
	az_jw_end(w, ']');
	az_jw_ks(w, "failed_step", b->step);
	az_jw_key(w, "build");
	sink_json(&s->build, w);
	az_jw_key(w, "stdout");
	sink_json(&s->out, w);
	az_jw_key(w, "stderr");
	sink_json(&s->err, w);
	az_jw_key(w, "written");
	az_jw_arr(w);
	for (size_t i = 0; i < m->n && told < FILES_TOLD; i++) {
		const struct az_file *was = az_manifest_find(source, m->files[i].path);

		if (was && strcmp(was->sha256, m->files[i].sha256) == 0)
			continue;
		told++;
		az_jw_obj(w);
		az_jw_ks(w, "path", m->files[i].path);
		az_jw_ki(w, "size", m->files[i].size);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
	az_jw_ki(w, "collected", (int64_t)st->collected);
	az_jw_kb(w, "collect_cut", st->cut);
	blocked_json(&run->blocked, w);
	az_jw_end(w, '}');
}

static enum az_code
open_streams(struct work_job *j, struct streams *s, struct az_err *err)
{
	enum az_code rc;

	s->j = j;
	rc = sink_open(&s->build, j, "build", err);
	if (rc == AZ_OK)
		rc = sink_open(&s->out, j, "stdout", err);
	if (rc == AZ_OK)
		rc = sink_open(&s->err, j, "stderr", err);
	return rc;
}

static enum az_code
commit_streams(struct streams *s, struct az_err *err)
{
	enum az_code rc = sink_commit(&s->build, err);

	if (rc == AZ_OK)
		rc = sink_commit(&s->out, err);
	if (rc == AZ_OK)
		rc = sink_commit(&s->err, err);
	return rc;
}

/* In the sandbox: build, run, stop everything, collect. */
static enum az_code
in_sandbox(struct work_job *j, int n, struct az_manifest *m, struct work_build *b,
    struct streams *s, struct work_run *out, struct tree_stats *st, struct az_err *err)
{
	int timeout_s = out->server ? SERVER_LOOK_S : AZ_LIM_CMD_S;
	struct work_box x;
	enum az_code rc = work_box_open(j, &x, err);

	if (rc == AZ_OK) {
		blocked_begin(j, &x, &out->blocked);
		rc = build_exec(j, &x, n, m, b, &s->build, err);
	}
	/* earlier programs may have left what is in the way of this one */
	if (work_box_spoiled(&x, rc)) {
		rc = work_box_renew(j, &x, err);
		if (rc == AZ_OK)
			rc = build_exec(j, &x, n, m, b, &s->build, err);
	}
	if (rc == AZ_OK && !b->ok)
		blocked_end(j, &x, &out->blocked);
	if (rc != AZ_OK || !b->ok)
		return rc;
	out->has_program = b->r.argv != NULL;
	out->kind = "ok";
	out->text = AZ_S("built; the Dockerfile has no CMD, so nothing was started");
	if (out->has_program)
		rc = run_program(j, &x, b, s, timeout_s, out, err);
	if (rc == AZ_OK)
		rc = job_sandbox_rc(az_sandbox_kill_all(j->sandbox, &x.ref, err), err);
	if (rc == AZ_OK)
		rc = work_tree_collect(j, &x, &b->before, m, st, err);
	if (rc == AZ_OK)
		blocked_end(j, &x, &out->blocked);
	return rc;
}

enum az_code
execute_iteration(struct work_job *j, int n, struct work_run *out, struct az_err *err)
{
	struct streams *s = az_arena_alloc(j->a, sizeof(*s));
	struct work_build *b = az_arena_alloc(j->a, sizeof(*b));
	struct tree_stats st = {0};
	struct az_manifest source, m;
	int64_t since = az_boot_ms();
	enum az_code rc;
	struct az_buf rec;
	struct az_jw w;

	*out = (struct work_run){.kind = "build_failed", .server = execute_is_server(j)};
	if (!s || !b)
		return job_nomem(err);
	az_buf_init(&rec, AZ_MIB(2));
	az_buf_init(&s->tail, 2 * AZ_LIM_TAIL_BYTES);
	j->refresh = show_tail;
	j->refresh_arg = s;
	rc = job_manifest(j, n, "source", &source, err);
	if (rc == AZ_OK)
		rc = job_manifest(j, n, "source", &m, err);
	if (rc == AZ_OK)
		rc = open_streams(j, s, err);
	if (rc == AZ_OK)
		rc = build_parse(j, &m, b, err);
	if (rc == AZ_OK && b->ok)
		rc = in_sandbox(j, n, &m, b, s, out, &st, err);
	if (rc == AZ_OK && !b->ok) {
		/* people look for it where errors are */
		out->text = b->text;
		rc = sink_write(&s->err, s->build.bytes ? sink_text(&s->build) : b->text, err);
	}
	if (rc == AZ_OK)
		rc = commit_streams(s, err);
	out->sandbox_ms = az_boot_ms() - since;
	out->n_files = st.collected;
	if (rc == AZ_OK)
		rc = job_save_manifest(j, n, "manifest", &m, err);
	if (rc == AZ_OK) {
		az_jw_init(&w, &rec);
		write_record(j, n, out, b, s, &source, &m, &st, &w);
		rc = job_put_iter_buf(j, n, "run", &rec, err);
	}
	sink_close(&s->build);
	sink_close(&s->out);
	sink_close(&s->err);
	j->refresh = NULL;
	j->tail = (struct az_str){0};
	az_buf_release(&s->tail);
	az_buf_release(&rec);
	return rc;
}
