/*
 * Expectations: pure comparisons of what was seen with what was asked for. The first
 * that fails is told; the vocabulary is API.md's.
 */
#include "checks.h"

#include <stdio.h>

#include "match.h"

enum { REGEX_PATTERN = 1024, REGEX_TEXT = 256 * 1024 };

static void
pass(struct check_result *r)
{
	r->status = CHECK_PASS;
	r->message = (struct az_str){0};
}

static void AZ_PRINTF(3, 4) miss(struct work_job *j, struct check_result *r, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	r->status = CHECK_FAIL;
	r->message = job_clip(j, az_str_c(text), WORK_MESSAGE_BYTES - 4);
}

static void
show(struct work_job *j, struct check_result *r, struct az_str expected, struct az_str got)
{
	r->expected = job_clip(j, expected, CHECK_SHOW_BYTES);
	r->got = job_clip(j, got, CHECK_SHOW_BYTES);
}

/* "line 3: expected "a", got "b"" of the first line that differs. */
static void
tell_difference(struct work_job *j, struct check_result *r, struct az_str want, struct az_str got)
{
	struct az_str a = want, b = got, x = {0}, y = {0};
	bool more_a, more_b;
	int line = 0;

	do {
		line++;
		more_a = az_str_line(&a, &x);
		more_b = az_str_line(&b, &y);
	} while (more_a && more_b && az_str_eq(x, y));
	show(j, r, want, got);
	if (!more_a && !more_b)
		miss(j, r, "output differs in line ends only: expected %zu bytes, got %zu", want.n,
		    got.n);
	else if (!more_b)
		miss(j, r, "output ends early: line %d should be \"%.*s\"", line,
		    AZ_FMT(az_str_sub(x, 0, 120)));
	else if (!more_a)
		miss(j, r, "output goes on: line %d is \"%.*s\", expected the end", line,
		    AZ_FMT(az_str_sub(y, 0, 120)));
	else
		miss(j, r, "line %d: expected \"%.*s\", got \"%.*s\"", line,
		    AZ_FMT(az_str_sub(x, 0, 120)), AZ_FMT(az_str_sub(y, 0, 120)));
}

static bool
equals(
    struct work_job *j, const struct az_json *e, const struct check_seen *s, struct check_result *r)
{
	const struct az_json *w = az_json_get(e, "stdout_equals");

	if (!az_json_is_str(w))
		return true;
	if (s->out_bytes == (int64_t)s->out.n && az_str_eq(az_json_str(w), s->out))
		return true;
	tell_difference(j, r, az_json_str(w), s->out);
	return false;
}

static bool
contains(struct work_job *j, const struct az_json *e, const char *key, struct az_str text,
    const char *where, struct check_result *r)
{
	const struct az_json *w = az_json_get(e, key);

	if (!az_json_is_str(w) || az_str_find(text, az_json_str(w), 0) >= 0)
		return true;
	show(j, r, az_json_str(w), text);
	miss(j, r, "%s lacks \"%.*s\"", where, AZ_FMT(az_str_sub(az_json_str(w), 0, 200)));
	return false;
}

static bool
matches(struct work_job *j, const struct az_json *e, struct az_str text, struct check_result *r)
{
	struct az_str pat = az_json_gets(e, "stdout_matches");
	enum match found = MATCH_BAD;
	char *p = NULL;

	if (!az_json_is_str(az_json_get(e, "stdout_matches")))
		return true;
	if (pat.n <= REGEX_PATTERN)
		p = az_arena_cstr(j->a, pat);
	text = az_str_sub(text, 0, REGEX_TEXT);
	if (p)
		found = match_lines(p, text);
	if (found == MATCH_YES)
		return true;
	if (found != MATCH_NO) {
		miss(j, r,
		    found == MATCH_BAD ? "stdout_matches is no valid expression"
				       : "stdout_matches takes too long on this output");
		return false;
	}
	show(j, r, pat, text);
	miss(j, r, "stdout does not match %.*s", AZ_FMT(az_str_sub(pat, 0, 200)));
	return false;
}

/* Must it be so? true: fine. */
static bool
ended_well(
    struct work_job *j, const struct az_json *e, const struct check_seen *s, struct check_result *r)
{
	int64_t want = az_json_geti(e, "exit", 0);
	double max_s = az_json_num(az_json_get(e, "max_s"), -1);

	if (s->r.end != AZ_END_EXITED || s->r.exit_code != want) {
		show(j, r, (struct az_str){0}, s->err.n ? s->err : s->out);
		miss(j, r, "%.*s, expected exit code %lld", AZ_FMT(s->words), (long long)want);
		return false;
	}
	if (max_s >= 0 && (double)s->r.ms > max_s * 1000) {
		/* no measured time: it would make every prompt unique */
		miss(j, r, "took longer than %g s", max_s);
		return false;
	}
	return true;
}

void
expect_run(
    struct work_job *j, const struct az_json *e, const struct check_seen *s, struct check_result *r)
{
	int64_t min = az_json_geti(e, "min_bytes", -1);

	if (!ended_well(j, e, s, r) || !equals(j, e, s, r) ||
	    !contains(j, e, "stdout_contains", s->out, "stdout", r) ||
	    !contains(j, e, "contains", s->out, "stdout", r) || !matches(j, e, s->out, r))
		return;
	if (az_json_getb(e, "stderr_empty", false) && s->err_bytes > 0) {
		show(j, r, (struct az_str){0}, s->err);
		miss(j, r, "stderr is not empty");
		return;
	}
	if (min >= 0 && s->out_bytes < min) {
		miss(j, r, "stdout has %lld bytes, expected at least %lld", (long long)s->out_bytes,
		    (long long)min);
		return;
	}
	pass(r);
}

/* ---- files ---- */

static bool
is_svg(struct az_str h)
{
	h = az_str_trim(h);
	return (az_str_starts(h, AZ_S("<")) || az_str_starts(h, AZ_S("\xef\xbb\xbf<"))) &&
	       az_str_find(h, AZ_S("<svg"), 0) >= 0;
}

static bool
is_text(struct az_str h)
{
	for (size_t i = 0; i < h.n; i++) {
		unsigned char c = (unsigned char)h.p[i];

		if (c == 0 || (c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != 0x1b))
			return false;
	}
	return true;
}

static bool
is_csv(struct az_str h)
{
	struct az_str line;

	return is_text(h) && az_str_line(&h, &line) &&
	       (az_str_chr(line, ',') > 0 || az_str_chr(line, ';') > 0 ||
		   az_str_chr(line, '\t') > 0);
}

bool
magic_is(struct az_str name, struct az_str h, int64_t bytes, bool *known)
{
	static const struct {
		const char *name;
		size_t at;
		struct az_str sig;
	} table[] = {
	    {"png", 0, {"\x89PNG\r\n\x1a\n", 8}},
	    {"jpg", 0, {"\xff\xd8\xff", 3}},
	    {"jpeg", 0, {"\xff\xd8\xff", 3}},
	    {"gif", 0, {"GIF8", 4}},
	    {"pdf", 0, {"%PDF-", 5}},
	    {"zip", 0, {"PK\3\4", 4}},
	    {"xlsx", 0, {"PK\3\4", 4}},
	    {"gz", 0, {"\x1f\x8b", 2}},
	    {"gzip", 0, {"\x1f\x8b", 2}},
	    {"bz2", 0, {"BZh", 3}},
	    {"xz", 0,
		{"\xfd"
		 "7zXZ\0",
		    6}},
	    {"tar", 257, {"ustar", 5}},
	    {"sqlite", 0, {"SQLite format 3\0", 16}},
	    {"elf", 0,
		{"\x7f"
		 "ELF",
		    4}},
	    {"bmp", 0, {"BM", 2}},
	    {"webp", 8, {"WEBP", 4}},
	    {"wav", 8, {"WAVE", 4}},
	    {"parquet", 0, {"PAR1", 4}},
	};
	struct az_str t = az_str_trim(h);

	*known = true;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (az_str_ieq(name, az_str_c(table[i].name)))
			return az_str_eq(
			    az_str_sub(h, table[i].at, table[i].at + table[i].sig.n), table[i].sig);
	if (az_str_ieq(name, AZ_S("svg")))
		return is_svg(h);
	if (az_str_ieq(name, AZ_S("csv")))
		return is_csv(h);
	if (az_str_ieq(name, AZ_S("text")) || az_str_ieq(name, AZ_S("txt")))
		return bytes > 0 && is_text(h);
	if (az_str_ieq(name, AZ_S("json")))
		return t.n && is_text(t) && strchr("{[\"-0123456789tfn", t.p[0]);
	if (az_str_ieq(name, AZ_S("xml")) || az_str_ieq(name, AZ_S("html")))
		return t.n && is_text(t) && t.p[0] == '<';
	*known = false;
	return false;
}

void
expect_file(
    struct work_job *j, const struct az_json *e, const struct check_file *f, struct check_result *r)
{
	struct az_str magic = az_json_gets(e, "magic"), needle = az_json_gets(e, "contains");
	int64_t min = az_json_geti(e, "min_bytes", 0);
	bool known = true;

	if (!f->there)
		miss(j, r, "the file is missing");
	else if (f->bytes < min)
		miss(j, r, "the file has %lld bytes, expected at least %lld", (long long)f->bytes,
		    (long long)min);
	else if (magic.n && !magic_is(magic, f->head, f->bytes, &known))
		miss(j, r, known ? "the file is no %.*s" : "unknown magic \"%.*s\"",
		    AZ_FMT(az_str_sub(magic, 0, 40)));
	else if (needle.n && !f->contains)
		miss(j, r, "the file lacks \"%.*s\"", AZ_FMT(az_str_sub(needle, 0, 200)));
	else
		pass(r);
	if (r->status == CHECK_FAIL && f->there && is_text(f->head))
		show(j, r, needle, f->head);
}

/* ---- answers ---- */

void
expect_http(struct work_job *j, const struct az_json *http, const struct az_json *e,
    struct az_str reply, struct check_result *r)
{
	int64_t want = az_json_geti(http, "status", az_json_geti(e, "status", 200)), got = 0;
	struct az_str rest = reply, line = {0}, body = {0};
	ptrdiff_t at;

	if (az_str_line(&rest, &line) && az_str_starts(line, AZ_S("HTTP/")) &&
	    (at = az_str_chr(line, ' ')) > 0 &&
	    !az_str_to_i64(az_str_sub(line, (size_t)at + 1, (size_t)at + 4), 100, 999, &got))
		got = 0;
	at = az_str_find(reply, AZ_S("\r\n\r\n"), 0);
	if (at >= 0)
		body = az_str_sub(reply, (size_t)at + 4, reply.n);
	if (got == 0) {
		show(j, r, (struct az_str){0}, reply);
		miss(j, r, "the answer is not HTTP");
	} else if (got != want) {
		show(j, r, (struct az_str){0}, body);
		miss(j, r, "HTTP status %lld, expected %lld", (long long)got, (long long)want);
	} else if (contains(j, http, "contains", body, "the answer", r) &&
		   contains(j, e, "contains", body, "the answer", r)) {
		pass(r);
	}
}
