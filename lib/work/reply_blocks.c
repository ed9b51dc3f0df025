/*
 * File blocks: "### FILE: path" + a fence, "### DELETE: path", "### END", and
 * <file path="…">…</file>. And, where a reply has no such marks, fences with a path.
 * One walk over the lines; look-ahead is over blank lines only, or bounded.
 */
#include "reply_int.h"

enum mark { NOTHING, A_FILE, A_DELETE, AN_END, A_TAG };

static bool
keyword(struct az_str *s, struct az_str word)
{
	if (s->n < word.n || !az_str_ieq(az_str_sub(*s, 0, word.n), word))
		return false;
	*s = az_str_sub(*s, word.n, s->n);
	return true;
}

/* <file path="x"> and its spellings; *arg the path, *after what follows on the line */
static bool
tag(struct az_str s, struct az_str *arg, struct az_str *after)
{
	static const char *const attrs[] = {
	    " path=\"", " name=\"", " filename=\"", " path='", " name='", " filename='"};
	ptrdiff_t end = az_str_chr(s, '>');
	struct az_str head;

	if (end < 0 || end > 1200 || !keyword(&s, AZ_S("<file ")))
		return false;
	end -= 6;
	head = az_str_sub(s, 0, (size_t)end);
	for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
		struct az_str attr = az_str_c(attrs[i] + 1);
		ptrdiff_t at = az_str_find(head, attr, 0), q;

		if (at < 0 || (at > 0 && head.p[at - 1] != ' '))
			continue;
		*arg = az_str_sub(head, (size_t)at + attr.n, head.n);
		if ((q = az_str_chr(*arg, attr.p[attr.n - 1])) < 0)
			continue;
		*arg = az_str_sub(*arg, 0, (size_t)q);
		*after = az_str_sub(s, (size_t)end + 1, s.n);
		return true;
	}
	return false;
}

static enum mark
mark_of(struct az_str line, struct az_str *arg, struct az_str *after)
{
	struct az_str s = az_str_trim(line);
	size_t hashes = 0;
	enum mark m;

	*arg = *after = (struct az_str){NULL, 0};
	if (s.n == 0 || (s.p[0] != '#' && s.p[0] != '<' && s.p[0] != '*'))
		return NOTHING;
	if (s.p[0] == '<')
		return tag(s, arg, after) ? A_TAG : NOTHING;
	while (s.n && s.p[0] == '*')
		s = az_str_sub(s, 1, s.n);
	while (hashes < s.n && s.p[hashes] == '#')
		hashes++;
	if (hashes < 2 || hashes > 6)
		return NOTHING;
	s = az_str_trim(az_str_sub(s, hashes, s.n));
	while (s.n && s.p[0] == '*')
		s = az_str_sub(s, 1, s.n);
	if (keyword(&s, AZ_S("FILE")))
		m = A_FILE;
	else if (keyword(&s, AZ_S("DELETE")))
		m = A_DELETE;
	else if (keyword(&s, AZ_S("END"))) {
		while (s.n && (s.p[s.n - 1] == '*' || s.p[s.n - 1] == '#' || s.p[s.n - 1] == '.' ||
				  s.p[s.n - 1] == ' '))
			s.n--;
		return s.n ? NOTHING : AN_END;
	} else {
		return NOTHING;
	}
	s = az_str_trim(s);
	/* **FILE:** x */
	while (s.n && s.p[0] == '*')
		s = az_str_sub(s, 1, s.n);
	if (s.n == 0 || s.p[0] != ':')
		return NOTHING;
	s = az_str_sub(s, 1, s.n);
	if (az_str_starts(s, AZ_S("** ")))
		s = az_str_sub(s, 2, s.n);
	if (az_str_ends(s, AZ_S("**")) && az_str_find(s, AZ_S("**"), 0) == (ptrdiff_t)s.n - 2)
		s = az_str_sub(s, 0, s.n - 2);
	*arg = az_str_trim(s);
	return m;
}

static bool
is_mark(struct az_str line)
{
	struct az_str arg, after;

	return mark_of(line, &arg, &after) != NOTHING;
}

/* Is the next line that is not blank a mark (or the end, if that counts)? */
static bool
mark_next(struct az_str rest, bool or_end)
{
	struct az_str line;

	while (az_str_line(&rest, &line))
		if (az_str_trim(line).n)
			return is_mark(line);
	return or_end;
}

/* From start to the byte p, both inside one text. */
static struct az_str
span(const char *start, const char *p)
{
	return az_str_n(start, (size_t)(p - start));
}

/*
 * The body of an open fence; *rest moves behind its end. False when the text ends
 * first. Inner fences of the same length (a readme inside back-ticks) are nested
 * when they name a language, or when in a markdown file text follows directly.
 */
static bool
fenced(struct reply_ctx *c, struct az_str *rest, const struct reply_fence *open, bool marks,
    bool markdown, struct az_str *body)
{
	const char *start = rest->p, *prev_file = NULL;
	bool nested = false;
	struct az_str line, arg, after, prev_rest = *rest, peek, next;
	struct reply_fence f;

	while (az_str_line(rest, &line)) {
		if (!reply_fence_line(line, &f) || f.c != open->c) {
			if (az_str_trim(line).n == 0)
				continue;
			prev_file = marks && mark_of(line, &arg, &after) == A_FILE ? line.p : NULL;
			prev_rest = span(line.p, rest->p ? rest->p + rest->n : line.p + line.n);
			continue;
		}
		if (prev_file && f.len >= open->len) {
			/* the fence before was never closed: this opens the next file */
			*body = span(start, prev_file);
			*rest = prev_rest;
			c->r->repaired = true;
			return true;
		}
		prev_file = NULL;
		if (f.len < open->len) {
			if (marks && f.info.n == 0 && !nested && mark_next(*rest, false)) {
				c->r->repaired = true;
				*body = span(start, line.p);
				return true;
			}
			continue;
		}
		if (f.info.n) {
			nested = true;
			continue;
		}
		if (nested && !(marks && mark_next(*rest, !c->cut))) {
			nested = false;
			continue;
		}
		peek = *rest;
		if (marks && markdown && f.len == open->len && az_str_line(&peek, &next) &&
		    az_str_trim(next).n && !is_mark(next)) {
			nested = true;
			continue;
		}
		*body = span(start, line.p);
		return true;
	}
	return false;
}

/* A body without a fence: up to the next mark. False when the text ends first. */
static bool
unfenced(struct az_str *rest, struct az_str *body)
{
	const char *start = rest->p;
	struct az_str line, before = *rest;

	while (az_str_line(rest, &line)) {
		if (is_mark(line)) {
			*body = span(start, line.p);
			while (body->n > 1 && body->p[body->n - 1] == '\n' &&
			       body->p[body->n - 2] == '\n')
				body->n--;
			*rest = before;
			return true;
		}
		before = *rest;
	}
	return false;
}

static bool
is_markdown(struct az_str path)
{
	struct az_str p = reply_bare_path(path);

	return az_str_ends(p, AZ_S(".md")) || az_str_ends(p, AZ_S(".MD")) ||
	       az_str_ends(p, AZ_S(".markdown")) || az_str_ends(p, AZ_S(".mdx"));
}

/* Find the fence that opens a body: the first line, or after a few words. */
static bool
open_fence(struct az_str *rest, bool markdown, struct reply_fence *f)
{
	struct az_str ahead = *rest, line;
	const char *start = rest->p;
	int words = 0;

	while (az_str_line(&ahead, &line)) {
		if (az_str_trim(line).n == 0)
			continue;
		if (reply_fence_line(line, f)) {
			*rest = ahead.p ? ahead : span(line.p + line.n, line.p + line.n);
			return true;
		}
		if (markdown || ++words > 2 || is_mark(line) || line.p - start > REPLY_LOOK_BYTES)
			return false;
	}
	return false;
}

static enum az_code
file_block(struct reply_ctx *c, struct az_str path, struct az_str *rest)
{
	bool markdown = is_markdown(path), whole;
	struct az_str body = {NULL, 0};
	struct reply_fence f;

	if (path.n == 0)
		return reply_bad(c->err, "a ### FILE: line has no file name");
	if (!rest->p)
		whole = false;
	else if (open_fence(rest, markdown, &f)) {
		whole = fenced(c, rest, &f, true, markdown, &body);
		c->r->fenced = true;
	} else {
		whole = unfenced(rest, &body);
		c->r->repaired = true;
	}
	if (!whole) {
		c->r->truncated = true;
		return AZ_OK;
	}
	return reply_add(c, path, body, false);
}

/* <file>: up to </file>; one fence or CDATA around the body is taken off. */
static enum az_code
tag_block(struct reply_ctx *c, struct az_str path, struct az_str after, struct az_str *rest)
{
	const char *start = rest->p;
	struct az_str line, body, first, last, t = az_str_trim(after);
	struct reply_fence open, end;
	ptrdiff_t nl;

	if (az_str_ends(t, AZ_S("</file>"))) {
		body = az_str_sub(t, 0, t.n - 7);
		return reply_add(c, path, body, false);
	}
	if (t.n)
		start = after.p;
	for (;;) {
		if (!az_str_line(rest, &line)) {
			c->r->truncated = true;
			return AZ_OK;
		}
		line = az_str_trim(line);
		if (az_str_eqc(line, "</file>") || az_str_ends(line, AZ_S("]]></file>")))
			break;
	}
	body = span(start, line.p + line.n - 7);
	t = az_str_trim(body);
	if (az_str_starts(t, AZ_S("<![CDATA[")) && az_str_ends(t, AZ_S("]]>"))) {
		body = az_str_sub(t, 9, t.n - 3);
		if (body.n && body.p[0] == '\n')
			body = az_str_sub(body, 1, body.n);
		return reply_add(c, path, body, false);
	}
	nl = az_str_chr(t, '\n');
	first = az_str_sub(t, 0, nl < 0 ? t.n : (size_t)nl);
	nl = az_str_rchr(t, '\n');
	last = az_str_sub(t, (size_t)(nl + 1), t.n);
	if (last.p > first.p && reply_fence_line(first, &open) && reply_fence_line(last, &end) &&
	    reply_fence_ends(&end, &open)) {
		body = span(first.p + first.n + 1, last.p);
		c->r->fenced = true;
	}
	return reply_add(c, path, body, false);
}

enum az_code
reply_blocks(struct reply_ctx *c, struct az_str text, bool *found)
{
	struct az_str rest = text, line, arg, after;
	bool ended = false, hashes = false;
	enum az_code rc = AZ_OK;

	while (!rc && !ended && az_str_line(&rest, &line)) {
		enum mark m = mark_of(line, &arg, &after);

		/* an END alone is no block */
		if (m == NOTHING || (m == AN_END && !*found))
			continue;
		if (!*found) {
			struct az_str prose = span(text.p, line.p), head = az_str_trim(prose);
			ptrdiff_t nl = az_str_rchr(head, '\n');
			struct reply_fence f;

			/* a fence around the whole answer */
			if (reply_fence_line(az_str_sub(head, (size_t)(nl + 1), head.n), &f))
				prose = az_str_sub(head, 0, (size_t)(nl + 1));
			*found = true;
			if ((rc = reply_note(c, prose)))
				break;
		}
		switch (m) {
		case A_FILE:
			hashes = true;
			rc = file_block(c, arg, &rest);
			break;
		case A_DELETE:
			hashes = true;
			rc = reply_add(c, arg, AZ_S(""), true);
			break;
		case A_TAG:
			if (!rest.p)
				rest = span(line.p + line.n, line.p + line.n);
			rc = tag_block(c, arg, after, &rest);
			break;
		case AN_END:
			ended = true;
			break;
		case NOTHING:
			break;
		}
	}
	/* only the hash form promises an end; tags close themselves */
	if (hashes && !ended)
		c->r->truncated = true;
	return rc;
}

/* "# src/a.py" as the first line of a fence. */
static bool
comment_path(struct az_str rest, struct az_str *path)
{
	struct az_str line;

	if (!az_str_line(&rest, &line) || line.n < 4 || (line.p[0] != '#' && line.p[0] != '/') ||
	    az_str_starts(line, AZ_S("#!")))
		return false;
	if (az_str_starts(line, AZ_S("//")))
		line = az_str_sub(line, 2, line.n);
	return reply_line_path(line, false, path);
}

enum az_code
reply_path_fences(struct reply_ctx *c, struct az_str text, bool *found)
{
	struct az_str rest = text, line, prev = {NULL, 0};
	enum az_code rc;

	while (az_str_line(&rest, &line)) {
		struct az_str path = {NULL, 0}, body, prose = span(text.p, line.p);
		bool named, shell;
		struct reply_fence f;

		if (!reply_fence_line(line, &f)) {
			if (az_str_trim(line).n)
				prev = line;
			continue;
		}
		shell = reply_info_shell(f.info);
		named = reply_info_path(f.info, &path);
		if (!named && prev.n && (named = reply_line_path(prev, !shell, &path)))
			prose = span(text.p, prev.p);
		if (!named && !shell && rest.p)
			named = comment_path(rest, &path);
		prev = (struct az_str){NULL, 0};
		if (!rest.p || !fenced(c, &rest, &f, false, false, &body)) {
			if (named) {
				*found = true;
				c->r->truncated = true;
			}
			break;
		}
		if (!named)
			continue;
		if (!*found && (rc = reply_note(c, prose)))
			return rc;
		*found = c->r->fenced = true;
		if ((rc = reply_add(c, path, body, false)))
			return rc;
	}
	return AZ_OK;
}
