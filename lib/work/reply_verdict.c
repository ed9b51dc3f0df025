/* The judge's verdict: a JSON object with a boolean result, or nothing. */
#include <azlon/limits.h>
#include <azlon/path.h>
#include "reply_int.h"

static const char OP[] = "reply.verdict";

enum { TEXT_BYTES = 8192 };

static const char *const k_result[] = {"result", NULL};
static const char *const k_reason[] = {"reason", NULL};
static const char *const k_plan[] = {"plan", NULL};
static const char *const k_evidence[] = {"evidence", NULL};
static const char *const k_suspected[] = {"suspectedfiles", NULL};
static const char *const k_unsuspected[] = {"unsuspectedfiles", NULL};

struct verdict {
	const struct az_json *root;
	struct reply_candidate c;
	bool result, contradicted;
	int score;
};

static bool
as_bool(const struct az_json *v, bool *out)
{
	struct az_str s = az_str_trim(az_json_str(v));

	if (az_json_type(v) == AZ_JBOOL) {
		*out = az_json_bool(v, false);
		return true;
	}
	*out = az_str_ieq(s, AZ_S("true")) || az_str_ieq(s, AZ_S("yes"));
	return *out || az_str_ieq(s, AZ_S("false")) || az_str_ieq(s, AZ_S("no"));
}

static int
judge_verdict(void *arg, const struct reply_candidate *c)
{
	static const char *const *const known[] = {
	    k_result, k_reason, k_plan, k_evidence, k_suspected, k_unsuspected};
	struct verdict *best = arg;
	const struct az_json *root = c->root, *v;
	struct az_str key;
	void *it = NULL;
	int score = (c->repaired ? 10 : 0) + (c->cut.depth ? 50 : 0);
	bool result;

	if (az_json_type(root) == AZ_JARR && az_json_len(root) == 1)
		root = az_json_at(root, 0);
	if (!reply_get(root, k_result) && az_json_type(root) == AZ_JOBJ && az_json_len(root) == 1)
		root = reply_last(root);
	if (az_json_type(root) != AZ_JOBJ || !as_bool(reply_get(root, k_result), &result))
		return 0;
	if (az_json_type(reply_get(root, k_result)) != AZ_JBOOL)
		score++;
	while (az_json_each(root, &it, &key, &v)) {
		bool extra = true;

		for (size_t i = 0; i < sizeof known / sizeof *known; i++)
			extra = extra && !reply_key_is(key, known[i]);
		if (extra && score < 1000)
			score++;
	}
	if (best->score >= 0 && score >= best->score) {
		if (score == best->score && result != best->result)
			best->contradicted = true;
		return REPLY_USABLE;
	}
	*best = (struct verdict){root, *c, result, false, score};
	return REPLY_USABLE | REPLY_KEEP | (c->whole && !c->repaired ? REPLY_DONE : 0);
}

/* A copy in the arena, cut, without NULs. */
static struct az_str
kept(struct az_arena *a, const struct az_json *v)
{
	struct az_str s = reply_clip(az_json_str(v), TEXT_BYTES);
	char *p = az_arena_alloc(a, s.n + 1);

	if (!p)
		return (struct az_str){NULL, 0};
	for (size_t i = 0; i < s.n; i++)
		p[i] = s.p[i] ? s.p[i] : ' ';
	return az_str_n(p, s.n);
}

static enum az_code
suspects(
    struct az_arena *a, const struct az_json *list, struct az_reply_verdict *v, struct az_err *err)
{
	/* one name is a list of one */
	size_t n = az_json_type(list) == AZ_JARR ? az_json_len(list) : list ? 1 : 0;

	for (size_t i = 0; i < n && v->n_suspected < AZ_REPLY_SUSPECTED; i++) {
		const struct az_json *e =
		    az_json_type(list) == AZ_JARR ? az_json_at(list, i) : list;
		struct az_str path;

		if (az_json_type(e) == AZ_JOBJ)
			e = reply_get(e, reply_k_name);
		path = reply_bare_path(az_json_str(e));
		if (path.n > REPLY_PATH_BYTES || az_path_ok(path, NULL))
			continue;
		path = az_arena_str(a, path);
		if (!path.p)
			return az_fail(err, AZ_ENOMEM, OP, "no memory");
		v->suspected[v->n_suspected++] = path;
	}
	return AZ_OK;
}

enum az_code
az_reply_verdict_parse(
    struct az_str text, struct az_arena *a, struct az_reply_verdict *v, struct az_err *err)
{
	struct verdict best = {.score = -1};
	struct reply_search s = {.a = a, .err = err, .judge = judge_verdict, .arg = &best};
	struct az_str clean;
	enum az_code rc;

	*v = (struct az_reply_verdict){0};
	if (text.n > AZ_LIM_REPLY_BYTES)
		return reply_big(err, "the answer is larger than %zu bytes", AZ_LIM_REPLY_BYTES);
	if (!(clean = reply_clean(a, text)).p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	if ((rc = reply_search(&s, clean)))
		return rc;
	if (best.score < 0)
		return reply_bad(err, "no verdict found; answer with one JSON object that "
				      "has \"result\" (true or false), \"reason\", \"plan\", "
				      "\"suspectedFiles\" and \"evidence\"");
	if (best.contradicted)
		return reply_bad(err, "two verdicts that contradict each other; answer "
				      "with one JSON object");
	v->result = best.result;
	v->fenced = best.c.fenced;
	v->repaired = best.c.repaired;
	v->candidates = s.n;
	v->reason = kept(a, reply_get(best.root, k_reason));
	v->plan = kept(a, reply_get(best.root, k_plan));
	v->evidence = kept(a, reply_get(best.root, k_evidence));
	if (!v->reason.p || !v->plan.p || !v->evidence.p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	return suspects(a, reply_get(best.root, k_suspected), v, err);
}
