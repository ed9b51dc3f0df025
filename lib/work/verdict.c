/* Reaching a verdict: see verdict.h. */
#include "verdict.h"

#include <azlon/clock.h>
#include <azlon/crypto.h>

#define OP "work.verdict"

enum { SIG_LINES = 3 };

/* ---- the sandbox as the run left it ---- */

static const char *const *
strings(struct work_job *j, const struct az_json *v)
{
	size_t n = az_json_len(v);
	const char **s;

	if (n == 0 || !(s = az_arena_alloc(j->a, (n + 1) * sizeof(*s))))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (!(s[i] = az_arena_cstr(j->a, az_json_str(az_json_at(v, i)))))
			return NULL;
	return s;
}

/* The sandbox went away since the run: make another out of what was stored. */
static enum az_code
rebuild(struct work_job *j, const struct work_box *x, const struct az_manifest *m, bool *built,
    struct az_err *err)
{
	struct work_build *b = az_arena_alloc(j->a, sizeof(*b));
	struct work_sink *log = az_arena_alloc(j->a, sizeof(*log));
	enum az_code rc;

	if (!b || !log)
		return job_nomem(err);
	rc = sink_open(log, j, NULL, err);
	if (rc == AZ_OK)
		rc = build_parse(j, m, b, err);
	if (rc == AZ_OK && b->ok)
		rc = build_exec(j, x, j->iteration, m, b, log, err);
	sink_close(log);
	*built = b->ok;
	return rc;
}

/* It built before: the world outside has changed, not the code; or there was no time. */
static enum az_code
unbuildable(const struct work_job *j, struct az_err *err)
{
	if (j->box_spent)
		return AZ_OK;
	az_fail(err, AZ_EUNAVAIL, OP, "the attempt can no longer be built");
	return az_err_reason(err, "sandbox_unavailable");
}

/* The program has had its turn. */
static enum az_code
prepare(struct work_job *j, struct verdict *v, const struct work_box *x, struct az_err *err)
{
	enum az_code rc = job_sandbox_rc(az_sandbox_kill_all(j->sandbox, &x->ref, err), err);

	/* checks that are cut short leave traces: whoever repeats them builds anew */
	if (rc == AZ_OK)
		rc = build_forget(j, x, err);
	return rc == AZ_OK ? checks_restore(j, &v->checks, x, err) : rc;
}

/* Everything that needs the sandbox. */
static enum az_code
execute(struct work_job *j, struct verdict *v, const struct az_json *run,
    const struct az_manifest *m, struct az_err *err)
{
	struct check_program p = {.argv = strings(j, az_json_get(run, "argv")),
	    .env = strings(j, az_json_get(run, "env")),
	    .cwd = az_arena_cstr(j->a, az_json_gets(run, "cwd"))};
	int64_t since = az_boot_ms();
	bool held = false, built = true;
	struct work_box x;
	enum az_code rc = work_box_open(j, &x, err);

	if (!p.cwd || !*p.cwd)
		p.cwd = AZ_PLAN_APP;
	if (rc == AZ_OK) {
		blocked_begin(j, &x, &v->blocked);
		rc = build_held(j, &x, j->iteration, &held, err);
	}
	if (rc == AZ_OK && !held)
		rc = rebuild(j, &x, m, &built, err);
	if (rc == AZ_OK && !built)
		rc = unbuildable(j, err);
	if (rc == AZ_OK && built)
		rc = prepare(j, v, &x, err);
	/* what the program left is in the way: its tree again, in another sandbox */
	if (work_box_spoiled(&x, rc)) {
		rc = work_box_renew(j, &x, err);
		if (rc == AZ_OK)
			rc = rebuild(j, &x, m, &built, err);
		if (rc == AZ_OK && !built)
			rc = unbuildable(j, err);
		if (rc == AZ_OK && built)
			rc = prepare(j, v, &x, err);
	}
	if (rc == AZ_OK)
		rc = checks_run(j, &v->checks, &x, &p, err);
	if (rc == AZ_OK)
		blocked_end(j, &x, &v->blocked);
	v->sandbox_ms = az_boot_ms() - since;
	return rc;
}

static bool
needs_sandbox(const struct work_job *j, const struct checks *c)
{
	struct az_str t;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].explicit && !check_is_text(j, c, i, &t))
			return true;
	return false;
}

static enum az_code
judge_all(struct work_job *j, struct verdict *v, const struct az_json *run,
    const struct az_manifest *m, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (size_t i = 0; i < v->checks.n && rc == AZ_OK; i++) {
		struct az_str text;

		if (!check_is_text(j, &v->checks, i, &text))
			continue;
		rc = judge_text(
		    j, text, run, m, &v->checks, &v->checks.v[i], &v->judged, &v->use, err);
	}
	return rc;
}

/* ---- what it amounts to ---- */

static bool
word_end(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '"' || c == '\'' || c == ',' ||
	       c == ')' || c == '(';
}

void
verdict_signature(struct az_str s, char out[17])
{
	struct az_buf b;
	char hex[65];

	az_buf_init(&b, AZ_KIB(64));
	for (size_t i = 0; i < s.n && b.n < AZ_KIB(32);) {
		size_t n = 0;
		bool path = false, digit = false;

		while (i + n < s.n && !word_end(s.p[i + n])) {
			path = path || s.p[i + n] == '/';
			digit = digit || (s.p[i + n] >= '0' && s.p[i + n] <= '9');
			n++;
		}
		if (path)
			az_buf_addch(&b, '/');
		else if (digit)
			az_buf_addch(&b, '#');
		else
			az_buf_adds(&b, az_str_sub(s, i, i + n));
		i += n;
		if (i < s.n)
			az_buf_addch(&b, s.p[i++]);
	}
	az_sha256_hex(az_buf_str(&b), hex);
	memcpy(out, hex, 16);
	out[16] = '\0';
	az_buf_release(&b);
}

/* Which checks failed and the last words of the program. */
static void
sign(struct verdict *v, const struct az_json *run)
{
	struct az_str text = az_str_trim(az_json_gets(az_json_get(run, "stderr"), "text"));
	struct az_buf b;
	size_t from = text.n;

	az_buf_init(&b, AZ_KIB(64));
	az_buf_adds(&b, az_json_gets(run, "kind"));
	for (size_t i = 0; i < v->checks.n; i++)
		if (v->checks.v[i].status != CHECK_PASS)
			az_buf_addf(&b, "\n%.*s: %.*s", AZ_FMT(v->checks.v[i].id),
			    AZ_FMT(v->checks.v[i].message));
	for (int lines = 0; from > 0 && lines < SIG_LINES; from--)
		lines += text.p[from - 1] == '\n';
	az_buf_addc(&b, "\n");
	az_buf_adds(&b, az_str_sub(text, from, text.n));
	verdict_signature(az_buf_str(&b), v->error_sig);
	az_buf_release(&b);
}

static void
explain(struct work_job *j, struct verdict *v)
{
	struct az_buf b;

	if (v->passed) {
		v->reason = job_clip(j, v->judged.reason, WORK_MESSAGE_BYTES - 4);
		return;
	}
	az_buf_init(&b, AZ_KIB(64));
	for (size_t i = 0; i < v->checks.n && b.n < WORK_MESSAGE_BYTES; i++) {
		const struct check_result *r = &v->checks.v[i];

		if (r->status == CHECK_PASS || r->status == CHECK_SKIPPED)
			continue;
		/* the reason is shown to the model: hidden checks keep theirs */
		az_buf_addf(&b, "%s%.*s: %.*s", b.n ? "; " : "", AZ_FMT(r->id),
		    AZ_FMT(r->hidden ? AZ_S("failed") : r->message));
	}
	v->reason = job_clip(j, az_buf_str(&b), WORK_MESSAGE_BYTES - 4);
	az_buf_release(&b);
}

void
verdict_checks_json(struct work_job *j, const struct verdict *v, struct az_jw *w)
{
	(void)j;
	az_jw_arr(w);
	for (size_t i = 0; i < v->checks.n; i++) {
		const struct check_result *r = &v->checks.v[i];

		az_jw_obj(w);
		az_jw_ks(w, "id", r->id);
		az_jw_kc(w, "status", check_status_name(r->status));
		az_jw_ki(w, "ms", r->ms);
		if (r->message.n)
			az_jw_ks(w, "message", r->message);
		az_jw_end(w, '}');
	}
	az_jw_end(w, ']');
}

void
verdict_events(struct work_job *j, const struct verdict *v, struct az_jw *w)
{
	(void)j;
	for (size_t i = 0; i < v->checks.n; i++) {
		const struct check_result *r = &v->checks.v[i];

		az_jw_obj(w);
		az_jw_kc(w, "type", "check");
		az_jw_ks(w, "id", r->id);
		az_jw_kc(w, "status", check_status_name(r->status));
		az_jw_ki(w, "ms", r->ms);
		if (r->message.n)
			az_jw_ks(w, "message", r->message);
		az_jw_end(w, '}');
	}
	if (v->checks.restored > 0) {
		az_jw_obj(w);
		az_jw_kc(w, "type", "warning");
		az_jw_kc(w, "code", "check_files_changed");
		az_jw_kc(w, "message",
		    "The program changed files that the checks rely on; "
		    "they were put back.");
		az_jw_end(w, '}');
	}
	az_jw_obj(w);
	az_jw_kc(w, "type", "verdict");
	az_jw_kb(w, "result", v->passed);
	az_jw_ki(w, "n_passed", (int64_t)checks_passed(&v->checks));
	az_jw_ki(w, "n_total", (int64_t)v->checks.n);
	az_jw_ks(w, "reason", v->reason);
	az_jw_end(w, '}');
}

/* The full record, read by the next prompt and by people. */
static enum az_code
record(struct work_job *j, const struct verdict *v, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_MIB(4));
	az_jw_init(&w, &b);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_ki(&w, "iteration", j->iteration);
	az_jw_kb(&w, "passed", v->passed);
	az_jw_ki(&w, "n_passed", (int64_t)checks_passed(&v->checks));
	az_jw_ki(&w, "n_total", (int64_t)v->checks.n);
	az_jw_ks(&w, "reason", v->reason);
	az_jw_ks(&w, "plan", v->judged.plan);
	az_jw_kc(&w, "error_sig", v->error_sig);
	az_jw_kc(&w, "tree", v->tree);
	az_jw_key(&w, "checks");
	az_jw_arr(&w);
	for (size_t i = 0; i < v->checks.n; i++) {
		const struct check_result *r = &v->checks.v[i];

		az_jw_obj(&w);
		az_jw_ks(&w, "id", r->id);
		az_jw_kc(&w, "status", check_status_name(r->status));
		az_jw_kb(&w, "hidden", r->hidden);
		az_jw_ki(&w, "ms", r->ms);
		az_jw_ks(&w, "what", r->what);
		az_jw_ks(&w, "message", r->message);
		az_jw_ks(&w, "expected", r->expected);
		az_jw_ks(&w, "got", r->got);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
	blocked_json(&v->blocked, &w);
	az_jw_end(&w, '}');
	rc = job_put_iter_buf(j, j->iteration, "verdict", &b, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
verdict_reach(struct work_job *j, bool judge, struct verdict *v, struct az_err *err)
{
	const struct az_json *run = NULL;
	struct az_manifest m, source;
	enum az_code rc;

	*v = (struct verdict){.passed = false};
	rc = job_json_iter(j, j->iteration, "run", &run, err);
	if (rc == AZ_OK && !run) {
		az_fail(err, AZ_EUNAVAIL, OP, "the record of the run is missing");
		rc = az_err_reason(err, "store_unavailable");
	}
	if (rc == AZ_OK)
		rc = job_manifest(j, j->iteration, "manifest", &m, err);
	if (rc == AZ_OK)
		rc = job_manifest(j, j->iteration, "source", &source, err);
	if (rc == AZ_OK)
		rc = checks_begin(j, &v->checks, err);
	if (rc != AZ_OK)
		return rc;
	checks_program(j, &v->checks, run);
	j->box_spent = j->box_spent || az_json_getb(run, "sandbox_cut", false);
	if (!az_str_eqc(az_json_gets(run, "kind"), "build_failed") &&
	    needs_sandbox(j, &v->checks)) {
		if (work_box_time(j, 1) > 0)
			rc = execute(j, v, run, &m, err);
		else
			checks_cut(j, &v->checks);
	}
	v->cut = j->box_spent;
	if (rc == AZ_OK && judge && checks_deterministic_ok(j, &v->checks))
		rc = judge_all(j, v, run, &m, err);
	if (rc != AZ_OK)
		return rc;
	v->passed = checks_all_passed(&v->checks);
	job_tree_hash(&source, v->tree);
	explain(j, v);
	if (!v->passed)
		sign(v, run);
	return record(j, v, err);
}
