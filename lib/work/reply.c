#include <stdarg.h>
#include <stdio.h>
#include <azlon/limits.h>
#include <azlon/llm.h>
#include <azlon/path.h>
#include "reply_int.h"

static const char OP[] = "reply.parse";

static enum az_code fail(struct az_err *err, enum az_code code, const char *fmt, va_list ap)
    AZ_PRINTF(3, 0);

static enum az_code
fail(struct az_err *err, enum az_code code, const char *fmt, va_list ap)
{
	char text[240];

	vsnprintf(text, sizeof text, fmt, ap);
	(void)az_fail(err, code, OP, "%s", text);
	if (err)
		(void)az_err_reason(err, "bad_model_output");
	return code;
}

enum az_code
reply_bad(struct az_err *err, const char *fmt, ...)
{
	enum az_code rc;
	va_list ap;

	va_start(ap, fmt);
	rc = fail(err, AZ_EUNPROC, fmt, ap);
	va_end(ap);
	return rc;
}

enum az_code
reply_big(struct az_err *err, const char *fmt, ...)
{
	enum az_code rc;
	va_list ap;

	va_start(ap, fmt);
	rc = fail(err, AZ_ETOOBIG, fmt, ap);
	va_end(ap);
	return rc;
}

struct az_str
reply_clip(struct az_str s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max && ((unsigned char)s.p[max] & 0xc0) == 0x80)
		max--;
	return az_str_sub(s, 0, max);
}

/* Length of the valid UTF-8 sequence at p, 0 if there is none. */
static size_t
sequence(struct az_str s, size_t at)
{
	unsigned char c = (unsigned char)s.p[at];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

	if (n == 1)
		return 1;
	if (c < 0xc2 || s.n - at < n || !az_str_utf8_ok(az_str_sub(s, at, at + n)))
		return 0;
	return n;
}

static struct az_str
without_bom(struct az_str s)
{
	return az_str_starts(s, AZ_S("\xef\xbb\xbf")) ? az_str_sub(s, 3, s.n) : s;
}

/* Is CRLF how this answer came? Its first line tells: otherwise it is a file's content. */
static bool
ends_lines_with_crlf(struct az_str s)
{
	ptrdiff_t lf = az_str_chr(s, '\n');

	return lf > 0 && s.p[lf - 1] == '\r';
}

struct az_str
reply_clean(struct az_arena *a, struct az_str text)
{
	size_t out = 0, n = 0;
	bool crlf;
	char *p;

	text = without_bom(az_llm_unthink(without_bom(text)));
	crlf = ends_lines_with_crlf(text);
	for (size_t i = 0, k; i < text.n; i += k ? k : 1) {
		k = sequence(text, i);
		n += k ? k : 3;
	}
	if (!(p = az_arena_alloc(a, n + 1)))
		return (struct az_str){NULL, 0};
	for (size_t i = 0, k; i < text.n; i += k ? k : 1) {
		k = sequence(text, i);
		if (crlf && text.p[i] == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
			continue;
		memcpy(p + out, k ? text.p + i : "\xef\xbf\xbd", k ? k : 3);
		out += k ? k : 3;
	}
	return az_str_n(p, out);
}

/* "x" -> x for one pair of the given mark. */
static bool
unwrap(struct az_str *s, struct az_str mark)
{
	if (s->n < 2 * mark.n || !az_str_starts(*s, mark) || !az_str_ends(*s, mark))
		return false;
	*s = az_str_trim(az_str_sub(*s, mark.n, s->n - mark.n));
	return true;
}

struct az_str
reply_bare_path(struct az_str raw)
{
	static const char *const said[] = {" (new)", " (new file)", " (updated)", " (modified)",
	    " (changed)", " (complete)", " (full)"};
	struct az_str s = az_str_trim(raw);
	bool more = true;

	while (more) {
		more = unwrap(&s, AZ_S("**")) || unwrap(&s, AZ_S("`")) || unwrap(&s, AZ_S("\"")) ||
		       unwrap(&s, AZ_S("'")) || unwrap(&s, AZ_S("*"));
		if (az_str_ends(s, AZ_S(":"))) {
			s = az_str_trim(az_str_sub(s, 0, s.n - 1));
			more = true;
		}
		for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
			if (az_str_ends(s, az_str_c(said[i]))) {
				s = az_str_trim(az_str_sub(s, 0, s.n - strlen(said[i])));
				more = true;
			}
		}
	}
	while (az_str_starts(s, AZ_S("./")))
		s = az_str_sub(s, 2, s.n);
	return s;
}

/* A path for an error text: short, one line, whole characters. */
static const char *
shown(struct az_str path, char out[100])
{
	struct az_str s = reply_clip(path, 96);

	for (size_t i = 0; i < s.n; i++)
		out[i] = (unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i];
	out[s.n] = '\0';
	return out;
}

static bool
has_word(struct az_str line, const char *word)
{
	struct az_str w = az_str_c(word);

	for (size_t i = 0; i + w.n <= line.n; i++)
		if (az_str_ieq(az_str_sub(line, i, i + w.n), w))
			return true;
	return false;
}

static bool
has_any(struct az_str line, const char *const *words)
{
	for (; *words; words++)
		if (has_word(line, *words))
			return true;
	return false;
}

/*
 * A comment that stands for code the model did not write out. Only short lines that
 * look like a comment count, so that prose in data or strings is left alone.
 */
static bool
is_placeholder(struct az_str raw)
{
	static const char *const lead[] = {"#", "//", "/*", "*", "<!--", "--", ";", "%", "...",
	    "\xe2\x80\xa6", "{/*", "\"\"\"", NULL};
	static const char *const same[] = {"unchanged", "the same", "as before", "remains", "stays",
	    "goes here", "omitted", "as is", NULL};
	static const char *const what[] = {"existing code", "previous code", "original code",
	    "remaining code", "other code", "existing content", "existing functions",
	    "existing methods", "existing implementation", "previous implementation",
	    "other functions", "other methods", "your code", NULL};
	static const char *const dots[] = {"...", "\xe2\x80\xa6", NULL};
	struct az_str s = az_str_trim(raw);
	bool comment = false;

	if (s.n < 8 || s.n > 120)
		return false;
	for (size_t i = 0; lead[i]; i++)
		comment = comment || az_str_starts(s, az_str_c(lead[i]));
	if (!comment)
		return false;
	if (has_word(s, "rest of") && has_any(s, same))
		return true;
	if (has_any(s, dots))
		return has_word(s, "rest of") || has_word(s, "unchanged") || has_any(s, what) ||
		       has_word(s, "omitted");
	return has_any(s, what) && has_any(s, same);
}

static bool
has_placeholder(struct az_str body)
{
	static const char *const all[] = {"unchanged", "same as before", "no changes", "no change",
	    "(unchanged)", "[unchanged]", NULL};
	struct az_str rest = body, line, whole = az_str_trim(body);

	for (size_t i = 0; all[i]; i++)
		if (az_str_ieq(whole, az_str_c(all[i])))
			return true;
	while (az_str_line(&rest, &line))
		if (is_placeholder(line))
			return true;
	return false;
}

static struct az_reply_file *
slot(struct reply_ctx *c, struct az_str path)
{
	struct az_reply *r = c->r;

	for (size_t i = 0; i < r->n; i++)
		if (az_str_eq(r->files[i].path, path))
			return &r->files[i];
	if (!r->files && !(r->files = az_arena_alloc(c->a, AZ_LIM_REPLY_FILES * sizeof *r->files)))
		return NULL;
	r->files[r->n].path = az_arena_str(c->a, path);
	return r->files[r->n].path.p ? &r->files[r->n++] : NULL;
}

enum az_code
reply_add(struct reply_ctx *c, struct az_str raw, struct az_str body, bool remove)
{
	struct az_str path = reply_bare_path(raw);
	struct az_reply_file *f;
	struct az_err why;
	char name[100];

	shown(path, name);
	if (++c->added > AZ_LIM_REPLY_FILES)
		return reply_big(c->err, "the answer has more than %d files", AZ_LIM_REPLY_FILES);
	if (path.n > REPLY_PATH_BYTES)
		return reply_bad(c->err, "the file name \"%s…\" is longer than %d bytes", name,
		    REPLY_PATH_BYTES);
	if (az_path_ok(path, &why))
		return reply_bad(c->err, "the file name \"%s\" is not allowed: %s", name, why.text);
	if (body.n > AZ_LIM_REPLY_FILE_BYTES)
		return reply_big(c->err, "the file \"%s\" is larger than %zu bytes", name,
		    AZ_LIM_REPLY_FILE_BYTES);
	if ((c->total += body.n) > AZ_LIM_REPLY_TOTAL_BYTES)
		return reply_big(c->err, "the files are larger than %zu bytes together",
		    AZ_LIM_REPLY_TOTAL_BYTES);
	if (az_str_chr(body, '\0') >= 0)
		return reply_bad(c->err, "the file \"%s\" holds a NUL byte", name);
	if (!remove && has_placeholder(body))
		return reply_bad(c->err,
		    "the file \"%s\" leaves code out (\"rest of code "
		    "unchanged\"): send the whole file",
		    name);
	if (az_str_eqc(path, "Dockerfile") || az_str_eqc(path, "dockerfile")) {
		if (remove)
			return reply_bad(c->err, "the Dockerfile cannot be deleted");
		c->r->dockerfile = body;
		c->r->has_dockerfile = true;
		return AZ_OK;
	}
	if (!(f = slot(c, path)))
		return az_fail(c->err, AZ_ENOMEM, OP, "no memory");
	f->body = body;
	f->remove = remove;
	return AZ_OK;
}

enum az_code
reply_note(struct reply_ctx *c, struct az_str prose)
{
	struct az_str s = reply_clip(az_str_trim(prose), REPLY_NOTE_BYTES), note;
	char *p;

	note = az_arena_str(c->a, s);
	if (!note.p)
		return az_fail(c->err, AZ_ENOMEM, OP, "no memory");
	p = az_arena_alloc(c->a, note.n + 1);
	if (!p)
		return az_fail(c->err, AZ_ENOMEM, OP, "no memory");
	for (size_t i = 0; i < note.n; i++)
		p[i] = (unsigned char)note.p[i] < 0x20 && note.p[i] != '\n' && note.p[i] != '\t'
			   ? ' '
			   : note.p[i];
	c->r->note = az_str_n(p, note.n);
	return AZ_OK;
}

enum az_code
az_reply_parse(struct az_str text, bool cut_by_length, struct az_arena *a, struct az_reply *r,
    struct az_err *err)
{
	struct reply_ctx c = {.a = a, .r = r, .err = err, .cut = cut_by_length};
	/* cppcheck-suppress uninitvar ; it is the array being made */
	enum az_code (*const by[])(struct reply_ctx *, struct az_str, bool *) = {
	    reply_blocks,
	    reply_json,
	    reply_path_fences,
	};
	struct az_str clean, head;
	size_t first = 0;
	bool found = false;
	enum az_code rc;

	*r = (struct az_reply){0};
	if (text.n > AZ_LIM_REPLY_BYTES)
		return reply_big(err, "the answer is larger than %zu bytes", AZ_LIM_REPLY_BYTES);
	if (!(clean = reply_clean(a, text)).p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	head = az_str_trim(clean);
	/* an answer that is JSON from its first byte may hold markers in its strings */
	if (head.n && head.p[0] == '{')
		first = 1;
	for (size_t i = 0; i < 3 && !found; i++) {
		size_t k = first && i < 2 ? 1 - i : i;

		if ((rc = by[k](&c, clean, &found)))
			return rc;
	}
	r->truncated = r->truncated || cut_by_length;
	if (found)
		return AZ_OK;
	if (head.n == 0)
		return reply_bad(
		    err, cut_by_length
			     ? "the answer was cut off before it began; think less, answer with "
			       "### FILE: blocks"
			     : "the answer is empty; answer with ### FILE: blocks");
	if (cut_by_length)
		return reply_bad(err, "the answer was cut off before the first file; "
				      "begin with the ### FILE: blocks");
	return reply_bad(err, "no file blocks found; answer with ### FILE: path blocks, "
			      "each body in a fence, and ### END after the last");
}
