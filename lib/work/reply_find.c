/*
 * Where JSON may stand in a model's reply (the whole text, a fence, a brace in prose),
 * and how it is read (strictly, else repaired). Candidates are shown to a judge, who
 * scores them. Prose is never read as data.
 */
#include <azlon/limits.h>
#include "reply_int.h"

static const char OP[] = "reply.json";

enum { MAX_CANDIDATES = 64, MAX_UNBALANCED = 4 };

static const struct az_json_limits limits = {
    .bytes = 32 * 1024 * 1024,
    .depth = AZ_LIM_REPLY_DEPTH,
    .tokens = 200000,
};

const char *const reply_k_name[] = {"filename", "path", "file", "name", "filepath", NULL};

static void
judge(struct reply_search *s, const struct reply_candidate *c, struct az_json *doc,
    struct az_str at, bool *done)
{
	int said = s->judge(s->arg, c);

	*done = (said & REPLY_DONE) != 0;
	if (said & REPLY_USABLE) {
		s->used_from = (size_t)(at.p - s->text.p);
		s->used_to = s->used_from + at.n;
	}
	if (said & REPLY_KEEP) {
		az_json_free(s->kept);
		s->kept = doc;
	} else {
		az_json_free(doc);
	}
}

/* Parse text strictly, else repaired, and have it judged. *done ends the search. */
static enum az_code
consider(struct reply_search *s, struct az_str text, bool fenced, size_t from, bool *done)
{
	struct reply_candidate c = {.fenced = fenced, .from = from};
	struct az_str t = az_str_trim(text);
	struct az_json *doc = NULL;
	struct az_buf b;
	enum az_code rc;
	size_t at;

	if (t.n == 0 || (t.p[0] != '{' && t.p[0] != '[') || s->n >= MAX_CANDIDATES)
		return AZ_OK;
	at = (size_t)(t.p - s->text.p);
	if (at > s->used_from && at < s->used_to)
		return AZ_OK;
	s->n++;
	c.whole = text.n == s->text.n;
	rc = az_json_parse(t, &limits, &doc, s->err);
	c.root = doc;
	if (rc == AZ_OK) {
		judge(s, &c, doc, t, done);
		return AZ_OK;
	}
	if (rc == AZ_ENOMEM)
		return rc;
	az_buf_init(&b, limits.bytes);
	c.repaired = true;
	if (reply_repair(t, &b, &c.cut))
		rc = az_json_parse(az_buf_str(&b), &limits, &doc, s->err);
	c.root = doc;
	if (rc == AZ_OK)
		judge(s, &c, doc, az_str_sub(t, 0, c.cut.end), done);
	az_buf_release(&b);
	return rc == AZ_ENOMEM ? rc : AZ_OK;
}

static enum az_code
fences(struct reply_search *s, struct az_str text, bool *done)
{
	struct az_str rest = text, line;
	enum az_code rc = AZ_OK;

	while (!rc && !*done && az_str_line(&rest, &line)) {
		size_t from = (size_t)(line.p - text.p);
		struct reply_fence open, f;
		const char *start = rest.p, *end = NULL;

		if (!start || !reply_fence_line(line, &open))
			continue;
		while (!end && az_str_line(&rest, &line))
			if (reply_fence_line(line, &f) && reply_fence_ends(&f, &open))
				end = line.p;
		if (!end)
			end = text.p + text.n;
		rc = consider(s, az_str_n(start, (size_t)(end - start)), true, from, done);
	}
	return rc;
}

/* End of the object that begins at i, strings respected; text.n if it has none. */
static size_t
balanced(struct az_str text, size_t i)
{
	bool in = false;
	size_t depth = 0;

	for (; i < text.n; i++) {
		char c = text.p[i];

		if (in) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in = false;
		} else if (c == '"') {
			in = true;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if ((c == '}' || c == ']') && --depth == 0) {
			return i + 1;
		}
	}
	return text.n;
}

static enum az_code
braces(struct reply_search *s, struct az_str text, bool *done)
{
	int unbalanced = 0;
	enum az_code rc = AZ_OK;
	size_t i = 0;

	while (!rc && !*done && i < text.n && s->n < MAX_CANDIDATES) {
		ptrdiff_t at = az_str_chr(az_str_sub(text, i, text.n), '{');
		size_t end;

		if (at < 0)
			break;
		i += (size_t)at;
		end = balanced(text, i);
		rc = consider(s, az_str_sub(text, i, end), false, i, done);
		if (end < text.n || text.p[end - 1] == '}')
			i = end;
		else if (++unbalanced == MAX_UNBALANCED)
			break;
		else
			i++;
	}
	return rc;
}

static void
free_doc(void *doc)
{
	az_json_free(doc);
}

enum az_code
reply_search(struct reply_search *s, struct az_str text)
{
	bool done = false;
	enum az_code rc;

	s->text = text;
	rc = consider(s, text, false, 0, &done);
	if (!rc && !done)
		rc = fences(s, text, &done);
	if (!rc && !done)
		rc = braces(s, text, &done);
	if (s->kept && !az_arena_defer(s->a, free_doc, s->kept))
		return az_fail(s->err, AZ_ENOMEM, OP, "no memory");
	return rc;
}

/* Keys are compared without case, '_' and '-'. */
bool
reply_key_is(struct az_str key, const char *const *names)
{
	for (; *names; names++) {
		const char *n = *names;
		size_t i = 0;

		for (; i < key.n; i++) {
			char c = key.p[i];

			if (c == '_' || c == '-')
				continue;
			if (c >= 'A' && c <= 'Z')
				c = (char)(c + 32);
			if (*n == '\0' || c != *n)
				break;
			n++;
		}
		if (i == key.n && *n == '\0')
			return true;
	}
	return false;
}

const struct az_json *
reply_get(const struct az_json *obj, const char *const *names)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	/* the first alias of the list that is there */
	for (; *names; names++) {
		const char *const one[] = {*names, NULL};

		for (it = NULL; az_json_each(obj, &it, &key, &v);)
			if (v && reply_key_is(key, one))
				return v;
	}
	return NULL;
}

const struct az_json *
reply_last(const struct az_json *obj)
{
	const struct az_json *v = NULL;
	struct az_str key;
	void *it = NULL;

	while (az_json_each(obj, &it, &key, &v))
		;
	return v;
}
