/*
 * The original's JSON as a reply: {dockerfile, files: [{filename, content}]} and what
 * models make of it. Candidates are scored, the lowest wins.
 */
#include <azlon/limits.h>
#include "reply_int.h"

static const char OP[] = "reply.json";

static const char *const k_dockerfile[] = {"dockerfile", NULL};
static const char *const k_files[] = {"files", NULL};
/* alone at the top, only what cannot be some program's data */
static const char *const k_path[] = {"filename", "path", "filepath", NULL};
static const char *const k_only[] = {"content", NULL};
static const char *const k_content[] = {
    "content", "contents", "code", "text", "body", "source", NULL};
static const char *const k_note[] = {"note", "diagnosis", "explanation", "reason", NULL};

static bool
is_content(const struct az_json *v)
{
	if (az_json_type(v) != AZ_JARR)
		return az_json_is_str(v) || az_json_type(v) == AZ_JNULL;
	for (size_t i = 0; i < az_json_len(v); i++)
		if (!az_json_is_str(az_json_at(v, i)))
			return false;
	return true;
}

/* What a candidate holds for us. */
struct shape {
	const struct az_json *dockerfile, *files, *note;
	bool single; /* files is one {filename, content} */
	size_t n;    /* complete files */
	int score;   /* < 0: unusable */
	struct reply_candidate c;
};

static bool
is_file(const struct az_json *f)
{
	return az_json_type(f) == AZ_JOBJ && az_json_is_str(reply_get(f, reply_k_name)) &&
	       is_content(reply_get(f, k_content));
}

static bool
files_ok(const struct shape *s)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;
	size_t i = 0;

	if (s->single)
		return is_file(s->files);
	if (az_json_type(s->files) == AZ_JARR) {
		for (; i < s->n; i++)
			if (!is_file(az_json_at(s->files, i)))
				return false;
		return true;
	}
	for (; i < s->n && az_json_each(s->files, &it, &key, &v); i++)
		if (!az_json_is_str(v) &&
		    !(az_json_type(v) == AZ_JOBJ && az_json_is_str(reply_get(v, k_content))))
			return false;
	return true;
}

static void
shape_of(const struct reply_candidate *c, struct shape *s)
{
	const struct az_json *root = c->root;
	size_t level = 1, used = 0;

	*s = (struct shape){.score = -1, .c = *c};
	if (az_json_type(root) == AZ_JOBJ && az_json_len(root) == 1 &&
	    az_json_type(reply_last(root)) == AZ_JOBJ && !reply_get(root, k_files)) {
		root = reply_last(root);
		level = 2;
	}
	if (az_json_type(root) == AZ_JARR) {
		if (!reply_get(az_json_at(root, 0), k_path) ||
		    !reply_get(az_json_at(root, 0), k_only))
			return;
		s->files = root;
		level = 0;
	} else {
		s->dockerfile = reply_get(root, k_dockerfile);
		s->files = reply_get(root, k_files);
		s->note = reply_get(root, k_note);
		used = (size_t)(s->dockerfile != NULL) + (s->files != NULL);
		if (!s->files && reply_get(root, k_path) && reply_get(root, k_only)) {
			s->files = root;
			s->single = true;
			used += 2;
		}
	}
	if (az_json_type(s->files) != AZ_JARR && az_json_type(s->files) != AZ_JOBJ)
		s->files = NULL;
	if (az_str_trim(az_json_str(s->dockerfile)).n == 0)
		s->dockerfile = NULL;
	if (s->files)
		s->n = s->single ? 1 : az_json_len(s->files);
	/* what the end cut is the last of its level: it is not complete */
	if (s->single && (c->cut.in_value || c->cut.depth > level))
		s->n = 0;
	else if (s->n && (level == 0 || reply_last(root) == s->files) &&
		 (c->cut.depth > level + 1 || (c->cut.depth == level + 1 && c->cut.in_value &&
						  az_json_type(s->files) == AZ_JOBJ)))
		s->n--;
	if (c->cut.in_value && c->cut.depth == level && s->dockerfile &&
	    reply_last(root) == s->dockerfile)
		s->dockerfile = NULL;
	if (s->n == 0 && !s->dockerfile && c->cut.depth == 0)
		return;
	if (!s->files && !s->dockerfile && !(level && reply_get(root, k_dockerfile)))
		return;
	if (s->files && !files_ok(s))
		return;
	if (level && az_json_len(root) > used)
		s->score = (int)(az_json_len(root) - used < 1000 ? az_json_len(root) - used : 1000);
	else
		s->score = 0;
	s->score += (c->repaired ? 10 : 0) + (c->cut.depth ? 50 : 0);
}

static int
judge_files(void *arg, const struct reply_candidate *c)
{
	struct shape *best = arg, s;

	shape_of(c, &s);
	if (s.score < 0)
		return 0;
	if (best->score >= 0 && s.score >= best->score)
		return REPLY_USABLE;
	*best = s;
	return REPLY_USABLE | REPLY_KEEP | (s.score == 0 ? REPLY_DONE : 0);
}

static enum az_code
add_file(struct reply_ctx *c, struct az_str name, const struct az_json *content)
{
	struct az_buf b;
	struct az_str body = az_json_str(content), kept;
	enum az_code rc;

	if (az_json_type(content) != AZ_JARR)
		return reply_add(c, name, body, false);
	az_buf_init(&b, AZ_LIM_REPLY_FILE_BYTES + 1);
	for (size_t i = 0; i < az_json_len(content); i++) {
		az_buf_adds(&b, az_json_str(az_json_at(content, i)));
		if (!az_str_ends(az_buf_str(&b), AZ_S("\n")))
			az_buf_addch(&b, '\n');
	}
	if (b.fail == AZ_ETOOBIG) {
		rc = reply_big(c->err, "a file is larger than %zu bytes", AZ_LIM_REPLY_FILE_BYTES);
	} else if (b.fail || !(kept = az_arena_str(c->a, az_buf_str(&b))).p) {
		rc = az_fail(c->err, AZ_ENOMEM, OP, "no memory");
	} else {
		rc = reply_add(c, name, kept, false);
	}
	az_buf_release(&b);
	return rc;
}

static enum az_code
add_all(struct reply_ctx *c, const struct shape *s)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;
	enum az_code rc = AZ_OK;

	for (size_t i = 0; !rc && i < s->n; i++) {
		if (az_json_type(s->files) == AZ_JARR || s->single) {
			v = s->single ? s->files : az_json_at(s->files, i);
			rc = add_file(
			    c, az_json_str(reply_get(v, reply_k_name)), reply_get(v, k_content));
		} else if (az_json_each(s->files, &it, &key, &v)) {
			rc = add_file(c, key, az_json_is_str(v) ? v : reply_get(v, k_content));
		}
	}
	if (!rc && s->dockerfile)
		rc = reply_add(c, AZ_S("Dockerfile"), az_json_str(s->dockerfile), false);
	return rc;
}

enum az_code
reply_json(struct reply_ctx *c, struct az_str text, bool *found)
{
	struct shape best = {.score = -1};
	struct reply_search s = {.a = c->a, .err = c->err, .judge = judge_files, .arg = &best};
	struct az_str prose;
	enum az_code rc;

	rc = reply_search(&s, text);
	if (rc)
		return rc;
	c->r->candidates = s.n;
	if (best.score < 0)
		return AZ_OK;
	*found = true;
	c->r->fenced = best.c.fenced;
	c->r->repaired = best.c.repaired;
	/* a last brace or two forgotten is a slip; an open list or value was cut */
	c->r->truncated =
	    best.c.cut.in_value || best.c.cut.depth >= 2 || (best.n == 0 && !best.dockerfile);
	prose = az_str_sub(text, 0, best.c.from);
	if (az_str_trim(prose).n == 0)
		prose = az_json_str(best.note);
	if ((rc = reply_note(c, prose)))
		return rc;
	return add_all(c, &best);
}
