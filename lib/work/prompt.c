/*
 * The user's part of the prompts. Order is fixed, most stable first, so that providers
 * can reuse what they have cached.
 */
#include "prompt.h"

#include <azlon/flow.h>
#include "memory.h"

#define OP "work.prompt"

enum {
	PROMPT_BYTES = 1024 * 1024,
	FILES_BYTES = 96 * 1024, /* of current files shown whole, together */
	DATA_BYTES = 16 * 1024,  /* of what is said about data files */
	NAMES_BYTES = 8 * 1024,  /* of names without content */
	JUDGE_FILES = 5,
	JUDGE_FILE_BYTES = 4096,
};

static void
request(struct work_job *j, struct az_buf *b)
{
	const struct az_json *all = az_json_get(j->request, "checks");
	unsigned last = 0;

	az_buf_addf(b, "# Task\n%.*s\n", AZ_FMT(az_json_gets(j->request, "user_prompt")));
	if (job_has_conditions(j))
		az_buf_addf(b, "\n# Test conditions\n%.*s\n",
		    AZ_FMT(az_json_gets(j->request, "test_conditions")));
	if (az_json_len(all))
		az_buf_addc(b, "\n# Checks that will be run, in the directory of the program\n");
	for (size_t i = 0; i < az_json_len(all); i++) {
		const struct az_json *c = az_json_at(all, i), *v;
		struct az_str key, id = az_json_gets(c, "id");
		char made[16];
		void *it = NULL;
		struct az_jw w;

		if (id.n == 0) {
			az_flow_check_id(all, &last, made);
			id = az_str_c(made);
		}
		if (az_json_getb(c, "hidden", false)) {
			az_buf_addf(b, "- %.*s: hidden\n", AZ_FMT(id));
			continue;
		}
		az_buf_addf(b, "- %.*s: ", AZ_FMT(id));
		az_jw_init(&w, b);
		az_jw_obj(&w);
		while (az_json_each(c, &it, &key, &v)) {
			if (az_str_eqc(key, "id") || az_str_eqc(key, "hidden"))
				continue;
			az_jw_keys(&w, key);
			az_jw_value(&w, v);
		}
		az_jw_end(&w, '}');
		az_buf_addc(b, "\n");
	}
}

static enum az_code
data_files(struct work_job *j, const struct az_manifest *m, struct az_buf *b, struct az_err *err)
{
	enum az_code rc = AZ_OK;
	size_t start = b->n, more = 0;

	for (size_t i = 0; i < m->n && rc == AZ_OK; i++) {
		if (!prompt_is_data(&m->files[i]))
			continue;
		if (b->n == start)
			az_buf_addc(b, "\n# Input files, beside the program\n");
		if (b->n - start > DATA_BYTES)
			more++;
		else
			rc = prompt_data(j, &m->files[i], b, err);
	}
	if (more)
		az_buf_addf(b, "- and %zu more data files\n", more);
	return rc;
}

/* Files of the tree, whole while there is room. */
static enum az_code
current_files(
    struct work_job *j, const struct prompt_generate *g, struct az_buf *b, struct az_err *err)
{
	int64_t room = FILES_BYTES;
	size_t names = 0, more = 0;
	bool any = false;

	for (size_t i = 0; i < g->current->n; i++) {
		const struct az_file *f = &g->current->files[i];
		struct az_str text;
		enum az_code rc;

		if (prompt_is_data(f)) {
			if (az_manifest_find(g->inputs, f->path))
				continue;
		}
		if (!any)
			az_buf_addc(b, "\n# Current files\n");
		any = true;
		if (prompt_is_data(f) || f->size > room) {
			if (names > NAMES_BYTES)
				more++;
			else
				az_buf_addf(b, "- %.*s (%lld bytes, not shown)\n", AZ_FMT(f->path),
				    (long long)f->size);
			names += f->path.n + 30;
			continue;
		}
		rc = job_get_file(j, f, (size_t)f->size, &text, err);
		if (rc != AZ_OK)
			return rc;
		if (!az_str_utf8_ok(text) || memchr(text.p ? text.p : "", 0, text.n)) {
			if (names > NAMES_BYTES)
				more++;
			else
				az_buf_addf(b, "- %.*s (%lld bytes, binary)\n", AZ_FMT(f->path),
				    (long long)f->size);
			names += f->path.n + 30;
			continue;
		}
		room -= f->size;
		az_buf_addf(b, "### FILE: %.*s\n", AZ_FMT(f->path));
		/* every file has a head and fences of its own */
		room -= (int64_t)f->path.n + 40;
		prompt_block(b, text);
	}
	if (more)
		az_buf_addf(b, "- and %zu more files\n", more);
	return AZ_OK;
}

static enum az_code
attempts(struct work_job *j, struct az_buf *b, struct az_err *err)
{
	struct memory_line v[MEMORY_LINES + 1];
	enum az_code rc;
	size_t n = 0;

	rc = memory_load(j, j->iteration, v, &n, err);
	if (rc != AZ_OK || n == 0)
		return rc;
	az_buf_addc(b, "\n# Attempts so far\n");
	for (size_t i = 0; i < n; i++)
		az_buf_addf(b, "- %d: %.*s%s%d of %d checks passed%s%.*s\n", v[i].iteration,
		    AZ_FMT(v[i].hypothesis), v[i].hypothesis.n ? " -> " : "", v[i].passed,
		    v[i].total, v[i].lesson.n ? "; " : "", AZ_FMT(v[i].lesson));
	return AZ_OK;
}

/* What people said meanwhile, oldest first. */
static void
people(struct work_job *j, struct az_buf *b)
{
	const struct az_json *all = az_json_get(j->in, "messages");

	if (az_json_len(all))
		az_buf_addc(b, "\n# Said by the person who asked\n");
	for (size_t i = 0; i < az_json_len(all); i++) {
		const struct az_json *m = az_json_at(all, i);
		struct az_str kind = az_json_gets(m, "kind");

		az_buf_addf(b, "- attempt %lld%s: %.*s\n",
		    (long long)az_json_geti(m, "iteration", 0),
		    az_str_eqc(kind, "reject")    ? ", which was refused"
		    : az_str_eqc(kind, "approve") ? ", which was approved"
						  : "",
		    AZ_FMT(az_json_gets(m, "text")));
	}
}

static void
now(const struct prompt_generate *g, struct az_buf *b)
{
	az_buf_addc(b, "\n# Now\n");
	if (g->fresh)
		az_buf_addc(b, "The last attempts led nowhere. Start afresh with another approach; "
			       "the lessons above hold.\n");
	else if (g->change)
		az_buf_addc(b, "The same failure came back. Change the approach, not only the "
			       "line.\n");
	else if (g->previous > 0)
		az_buf_addc(b, "Find the cause of the failure and correct it.\n");
	az_buf_addc(b, "Answer with one line of diagnosis, then the files.\n");
}

enum az_code
prompt_generate(
    struct work_job *j, const struct prompt_generate *g, struct az_str *out, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, PROMPT_BYTES);
	request(j, &b);
	rc = data_files(j, g->inputs, &b, err);
	if (rc == AZ_OK)
		rc = current_files(j, g, &b, err);
	if (rc == AZ_OK)
		rc = prompt_result(j, g->previous, &b, err);
	if (rc == AZ_OK)
		rc = attempts(j, &b, err);
	people(j, &b);
	now(g, &b);
	if (rc == AZ_OK)
		rc = job_text(j, &b, out, err);
	az_buf_release(&b);
	return rc;
}

/* ---- the judge ---- */

static enum az_code
written_files(struct work_job *j, const struct az_json *run, const struct az_manifest *m,
    struct az_buf *b, struct az_err *err)
{
	const struct az_json *all = az_json_get(run, "written");
	size_t shown = 0;

	if (az_json_len(all))
		az_buf_addc(b, "\n# Files the program wrote\n");
	for (size_t i = 0; i < az_json_len(all); i++) {
		struct az_str path = az_json_gets(az_json_at(all, i), "path"), text;
		const struct az_file *f = az_manifest_find(m, path);
		enum az_code rc;

		if (!f)
			continue;
		az_buf_addf(b, "- %.*s (%lld bytes)\n", AZ_FMT(path), (long long)f->size);
		if (shown == JUDGE_FILES || f->size > (int64_t)AZ_MIB(1))
			continue;
		rc = job_get_file(j, f, AZ_MIB(1), &text, err);
		if (rc != AZ_OK)
			return rc;
		text = az_str_sub(text, 0, JUDGE_FILE_BYTES);
		while (text.n && ((unsigned char)text.p[text.n - 1] & 0x80))
			text.n--; /* maybe cut inside a character */
		if (text.n == 0 || !az_str_utf8_ok(text) || memchr(text.p, 0, text.n))
			continue;
		shown++;
		prompt_block(b, text);
	}
	return AZ_OK;
}

enum az_code
prompt_judge(struct work_job *j, struct az_str condition, const struct az_json *run,
    const struct az_manifest *m, const struct checks *c, struct az_str *out, struct az_err *err)
{
	struct az_str text;
	enum az_code rc;
	struct az_buf b;

	az_buf_init(&b, PROMPT_BYTES);
	az_buf_addf(&b, "# Condition\n%.*s\n\n# Task the program was written for\n%.*s\n",
	    AZ_FMT(condition), AZ_FMT(az_json_gets(j->request, "user_prompt")));
	az_buf_addc(&b, "\n# Executable checks\n");
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].status == CHECK_PASS)
			az_buf_addf(&b, "- %.*s: passed\n", AZ_FMT(c->v[i].what));
	text = az_json_gets(az_json_get(run, "stdout"), "text");
	az_buf_addc(&b,
	    text.n ? "\n# stdout of the program\n" : "\n# The program printed nothing on stdout\n");
	if (text.n)
		prompt_block(&b, text);
	text = az_json_gets(az_json_get(run, "stderr"), "text");
	if (text.n) {
		az_buf_addc(&b, "\n# stderr of the program\n");
		prompt_block(&b, text);
	}
	rc = written_files(j, run, m, &b, err);
	if (rc == AZ_OK)
		rc = job_text(j, &b, out, err);
	az_buf_release(&b);
	return rc;
}
