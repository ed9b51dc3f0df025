/* Model replies: what is found in them, what is refused, what a cut loses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "work/reply.h"

#define T5 "~~~~~\n"
#define END "### END\n"
#define BOM "\xef\xbb\xbf"

/* Expected: flags (t truncated, f fenced, r repaired) + ':' then, in order, D{…} for
   the Dockerfile, path{…} for a file, path- for a removal; or "!" and a part of the
   error's text. */
struct row {
	const char *name, *in, *want;
	bool cut;
};

static const struct row rows[] = {
    /* blocks */
    {"two files and a Dockerfile",
	"I fix it.\n### FILE: Dockerfile\n" T5 "FROM python\n" T5 "### FILE: src/app.py\n" T5
	"print(1)\n" T5 END,
	"f:D{FROM python\n}src/app.py{print(1)\n}", false},
    {"removal", "### DELETE: old.py\n### FILE: a\n" T5 T5 END, "f:old.py-a{}", false},
    {"only a removal", "### DELETE: old.py\n" END, ":old.py-", false},
    {"back-tick fence with a language", "### FILE: a.py\n```python\nx\n```\n" END, "f:a.py{x\n}",
	false},
    {"CRLF", "### FILE: a.py\r\n```\r\nx\r\ny\r\n```\r\n### END\r\n", "f:a.py{x\ny\n}", false},
    {"CRLF without a last line end", "### FILE: a.py\r\n```\r\nx\r\n```\r\n### END", "f:a.py{x\n}",
	false},
    {"CRLF at first, LF later", "### FILE: a\r\n" T5 "x\ny\r\n" T5 END, "f:a{x\ny\n}", false},
    {"a file of CRLF lines", "### FILE: a.bat\n" T5 "x\r\n\r\ny\r\n" T5 END,
	"f:a.bat{x\r\n\r\ny\r\n}", false},
    {"a file of CRLF lines, unfenced", "### FILE: a.bat\nx\r\ny\r\n### FILE: b\nz\n" END,
	"r:a.bat{x\r\ny\r\n}b{z\n}", false},
    {"a file of CRLF lines in tags", "Here.\n<file path=\"a.bat\">\nx\r\ny\r\n</file>\n",
	":a.bat{x\r\ny\r\n}", false},
    {"a file of CRLF lines by path", "a.bat\n```bat\nx\r\ny\r\n```\n", "f:a.bat{x\r\ny\r\n}",
	false},
    {"CR alone", "### FILE: a\n" T5 "x\ry\n" T5 END, "f:a{x\ry\n}", false},
    {"CR alone among CRLF", "### FILE: a\r\n~~~\r\nx\ry\r\r\n~~~\r\n### END\r\n", "f:a{x\ry\r\n}",
	false},
    {"CRLF escaped in JSON", "{\"files\":[{\"filename\":\"a\",\"content\":\"x\\r\\ny\"}]}",
	":a{x\r\ny}", false},
    {"CRLF escaped in JSON of CRLF lines",
	"{\"files\":[{\"filename\":\"a\",\r\n\"content\":\"x\\r\\ny\"}]}\r\n", ":a{x\r\ny}", false},
    {"raw CRLF in a JSON string", "{\"files\":[\n{\"filename\":\"a\",\"content\":\"x\r\ny\"}]}",
	"r:a{x\r\ny}", false},
    {"BOM", BOM "### FILE: a\n" T5 "x\n" T5 END, "f:a{x\n}", false},
    {"BOM before JSON", BOM "{\"files\":[{\"filename\":\"a\",\"content\":\"x\"}]}", ":a{x}", false},
    {"BOM before thoughts",
	BOM "<think>### FILE: no\n</think>\n" BOM "### FILE: a\n" T5 "x\n" T5 END, "f:a{x\n}",
	false},
    {"BOM of a file", "### FILE: a.csv\n" T5 BOM "id\n" T5 END, "f:a.csv{" BOM "id\n}", false},
    {"BOM of a file in JSON", "{\"files\":[{\"filename\":\"a.csv\",\"content\":\"\\ufeffid\"}]}",
	":a.csv{" BOM "id}", false},
    {"readme with back-ticks in tildes",
	"### FILE: README.md\n" T5 "# T\n```sh\nmake\n```\n" T5 END,
	"f:README.md{# T\n```sh\nmake\n```\n}", false},
    {"readme with back-ticks in back-ticks",
	"### FILE: README.md\n```markdown\n# T\n"
	"```sh\nmake\n```\nend\n```\n" END,
	"f:README.md{# T\n```sh\nmake\n```\nend\n}", false},
    {"readme with a bare inner fence",
	"### FILE: README.md\n```\n# T\n\n```\nmake\n```\n"
	"```\n" END,
	"f:README.md{# T\n\n```\nmake\n```\n}", false},
    {"an inner fence never closed ends at the mark",
	"### FILE: a.py\n```python\n"
	"'''\n```python\nx\n'''\n```\n### FILE: b\n```\ny\n```\n" END,
	"f:a.py{'''\n```python\nx\n'''\n}b{y\n}", false},
    {"longer close", "### FILE: a\n```\nx\n`````\n" END, "f:a{x\n}", false},
    {"shorter inner fence is content", "### FILE: a\n`````\n```\nx\n```\n`````\n" END,
	"f:a{```\nx\n```\n}", false},
    {"a close too short, then a mark", "### FILE: a\n" T5 "x\n~~~\n### FILE: b\n" T5 "y\n" T5 END,
	"fr:a{x\n}b{y\n}", false},
    {"close forgotten", "### FILE: a\n" T5 "x\n### FILE: b\n" T5 "y\n" T5 END, "fr:a{x\n}b{y\n}",
	false},
    {"marks inside a longer fence are content",
	"### FILE: doc.md\n~~~~~~~~\n"
	"### FILE: x\n" T5 "b\n" T5 "~~~~~~~~\n" END,
	"f:doc.md{### FILE: x\n" T5 "b\n" T5 "}", false},
    {"no fence", "### FILE: a.txt\nhello\nworld\n\n### FILE: b.txt\nx\n" END,
	"r:a.txt{hello\nworld\n}b.txt{x\n}", false},
    {"words before the fence", "### FILE: a.py\nThe main program:\n\n```python\nx\n```\n" END,
	"f:a.py{x\n}", false},
    {"decorated path", "### FILE: **`./src/a.py`**:\n```\nx\n```\n" END, "f:src/a.py{x\n}", false},
    {"remark behind the path", "### FILE: src/a.py (new)\n```\nx\n```\n" END, "f:src/a.py{x\n}",
	false},
    {"bold mark", "**### FILE: a.py**\n```\nx\n```\n" END, "f:a.py{x\n}", false},
    {"other heading levels and case", "## File: a.py\n```\nx\n```\n#### end\n", "f:a.py{x\n}",
	false},
    {"dunder names keep their underscores", "### FILE: __init__.py\n```\n```\n" END,
	"f:__init__.py{}", false},
    {"the whole in a fence", "Sure.\n```\n### FILE: a.py\n~~~~~\nx\n~~~~~\n### END\n```\n",
	"f:a.py{x\n}", false},
    {"named twice: the last", "### FILE: a\n" T5 "1\n" T5 "### FILE: a\n" T5 "2\n" T5 END,
	"f:a{2\n}", false},
    {"think block", "<think>### FILE: no\n" T5 "1\n" T5 "</think>\n### FILE: a\n" T5 "2\n" T5 END,
	"f:a{2\n}", false},
    {"think block without its opening", "hmm\n</think>\n### FILE: a\n" T5 "2\n" T5 END, "f:a{2\n}",
	false},
    {"think marks in a program stay", "### FILE: a\n" T5 "<think>x</think>\n" T5 END,
	"f:a{<think>x</think>\n}", false},
    {"bytes that are no UTF-8", "### FILE: a\n" T5 "\xff\xc3(\n" T5 END,
	"f:a{\xef\xbf\xbd\xef\xbf\xbd(\n}", false},
    /* truncation */
    {"no END", "### FILE: a\n" T5 "x\n" T5, "tf:a{x\n}", false},
    {"body cut", "### FILE: a\n" T5 "x\n" T5 "### FILE: b\n" T5 "y\n", "tf:a{x\n}", true},
    {"body cut, nothing else", "### FILE: b\n" T5 "y", "tf:", true},
    {"cut inside a nested fence", "### FILE: a.md\n```\n# T\n```sh\nmake\n```", "tf:", true},
    {"cut after the mark", "### FILE: a\n" T5 "x\n" T5 "### FILE: b", "tf:a{x\n}", true},
    {"unfenced body cut", "### FILE: a\nx\ny", "tr:", true},
    {"END but length", "### FILE: a\n" T5 "x\n" T5 END, "tf:a{x\n}", true},
    {"prose cut", "I would first", "!cut off before the first file", true},
    {"thinking cut", "<think>well", "!cut off before it began", true},
    /* tags */
    {"file tags", "<file path=\"a.py\">\nx\n</file>\n<file path='b/c'>\ny\n</file>",
	":a.py{x\n}b/c{y\n}", false},
    {"file tag with a fence", "<file name=\"a.py\">\n```python\nx\n```\n</file>", "f:a.py{x\n}",
	false},
    {"file tag with CDATA", "<file path=\"a.xml\"><![CDATA[\n<x/>\n]]></file>", ":a.xml{<x/>\n}",
	false},
    {"file tag cut", "<file path=\"a\">\nx\n</file>\n<file path=\"b\">\ny\n", "t:a{x\n}", true},
    /* fences with paths */
    {"path in the info",
	"```python src/a.py\nx\n```\n```js:lib/b.js\ny\n```\n"
	"```toml title=\"c.toml\"\nz\n```",
	"f:src/a.py{x\n}lib/b.js{y\n}c.toml{z\n}", false},
    {"path before the fence",
	"Here:\n\n**src/a.py**\n```python\nx\n```\n\n#### `b.txt`:\n\n"
	"```\ny\n```\n",
	"f:src/a.py{x\n}b.txt{y\n}", false},
    {"path in a sentence", "Create `a.py` as follows:\n```python\nx\n```", "f:a.py{x\n}", false},
    {"path in a comment", "```python\n# src/a.py\nx\n```", "f:src/a.py{# src/a.py\nx\n}", false},
    {"dockerfile by language", "```dockerfile\nFROM x\n```", "f:D{FROM x\n}", false},
    {"a command is no file", "Run `a.py`:\n```bash\npython a.py\n```", "!no file blocks", false},
    {"fence with a path cut", "a.py\n```python\nx\n```\nb.py\n```python\ny", "tf:a.py{x\n}", true},
    /* JSON */
    {"the original's JSON",
	"{\"dockerfile\":\"FROM x\",\"files\":[{\"filename\":\"a.py\","
	"\"content\":\"x\\n\"}]}",
	":D{FROM x}a.py{x\n}", false},
    {"JSON in a fence with prose",
	"Here you go\n```json\n{\"files\":[{\"path\":\"a\","
	"\"code\":\"x\"}]}\n```\nBye",
	"f:a{x}", false},
    {"JSON in prose", "Result: {\"files\":[{\"name\":\"a\",\"text\":\"x{\"}]} done", ":a{x{}",
	false},
    {"aliases and case",
	"{\"DockerFile\":null,\"Files\":[{\"fileName\":\"a\","
	"\"Content\":null}]}",
	":a{}", false},
    {"wrapped once", "{\"response\":{\"dockerfile\":\"FROM x\",\"files\":[]}}", ":D{FROM x}",
	false},
    {"files as a map", "{\"files\":{\"a\":\"x\",\"b\":{\"content\":\"y\"}}}", ":a{x}b{y}", false},
    {"content as lines", "{\"files\":[{\"filename\":\"a\",\"content\":[\"x\",\"y\"]}]}",
	":a{x\ny\n}", false},
    {"one file alone", "{\"filename\":\"a\",\"content\":\"x\"}", ":a{x}", false},
    {"a list of files", "[{\"filename\":\"a\",\"content\":\"x\"}]", ":a{x}", false},
    {"trailing commas, comments, single quotes",
	"{'files': [ // all\n{'filename': 'a', "
	"'content': 'it\\'s',},],}",
	"r:a{it's}", false},
    {"unquoted keys", "{files:[{filename:a.py, content:\"x\"}]}", "r:a.py{x}", false},
    {"raw newlines", "{\"files\":[{\"filename\":\"a\",\"content\":\"x\ny\tz\n\"}]}",
	"r:a{x\ny\tz\n}", false},
    {"inner quotes", "{\"files\":[{\"filename\":\"a\",\"content\":\"print(\"hi\", 'x')\"}]}",
	"r:a{print(\"hi\", 'x')}", false},
    {"triple quotes", "{\"files\":[{\"filename\":\"a\",\"content\":\"\"\"x = \"1\"\ny\"\"\"}]}",
	"r:a{x = \"1\"\ny}", false},
    {"bad escapes", "{\"files\":[{\"filename\":\"a\",\"content\":\"\\d \\x \\n\"}]}",
	"r:a{\\d \\x \n}", false},
    {"comma forgotten",
	"{\"dockerfile\":\"FROM x\"\n\"files\":[{\"filename\":\"a\"\n"
	"\"content\":\"x\"}]}",
	"r:D{FROM x}a{x}", false},
    {"last brace forgotten", "{\"files\":[{\"filename\":\"a\",\"content\":\"x\"}]", "tr:a{x}",
	true},
    {"last brace forgotten, not cut", "{\"dockerfile\":\"FROM x\",\"files\":[]", "r:D{FROM x}",
	false},
    {"JSON cut in a body",
	"{\"dockerfile\":\"FROM x\",\"files\":[{\"filename\":\"a\","
	"\"content\":\"x\"},{\"filename\":\"b\",\"content\":\"y",
	"tr:D{FROM x}a{x}", true},
    {"JSON cut between files", "{\"files\":[{\"filename\":\"a\",\"content\":\"x\"},", "tr:a{x}",
	true},
    {"JSON cut in the Dockerfile",
	"{\"files\":[{\"filename\":\"a\",\"content\":\"x\"}],"
	"\"dockerfile\":\"FROM py",
	"tr:a{x}", true},
    {"JSON map cut", "{\"files\":{\"a\":\"x\",\"b\":\"y", "tr:a{x}", true},
    {"cut JSON in a fence",
	"```json\n{\"files\":[{\"filename\":\"a\",\"content\":\"x\"},"
	"{\"filename\":\"b\"",
	"tfr:a{x}", true},
    {"marks inside JSON strings",
	"{\"files\":[{\"filename\":\"a.md\",\"content\":"
	"\"\\n### FILE: x\\n~~~\\n\"}]}",
	":a.md{\n### FILE: x\n~~~\n}", false},
    {"package.json is not an answer",
	"### FILE: package.json\n" T5 "{\"name\":\"x\","
	"\"files\":[\"d\"]}\n" T5 END,
	"f:package.json{{\"name\":\"x\",\"files\":[\"d\"]}\n}", false},
    {"a package.json alone is none", "{\"name\":\"x\",\"files\":[\"d\"]}", "!no file blocks",
	false},
    /* refusals */
    {"prose", "I cannot do that.", "!no file blocks found", false},
    {"nothing", " \n", "!empty", false},
    {"END alone", "text\n### END\n", "!no file blocks found", false},
    {"climbing path", "### FILE: ../../x\n" T5 "x\n" T5 END, "!\"../../x\" is not allowed", false},
    {"climbing path in JSON", "{\"files\":[{\"filename\":\"../../x\",\"content\":\"\"}]}",
	"!\"../../x\" is not allowed", false},
    {"climbing path after good files", "### FILE: a\n" T5 "x\n" T5 "### DELETE: b/../../c\n" END,
	"!\"b/../../c\" is not allowed", false},
    {"absolute path", "### FILE: /etc/passwd\n" T5 "x\n" T5 END, "!absolute", false},
    {"absolute path before a fence", "/etc/x.conf\n```ini\nx\n```", "!absolute", false},
    {"backslash", "### FILE: a\\b\n" T5 "x\n" T5 END, "!backslash", false},
    {".git", "### FILE: .git/config\n" T5 "x\n" T5 END, "!reserved", false},
    {"reserved folder", "### FILE: .azlon/x\n" T5 "x\n" T5 END, "!reserved", false},
    {"control byte", "### FILE: a\x01z\n" T5 "x\n" T5 END, "!control character", false},
    {"empty path", "### FILE:\n" T5 "x\n" T5 END, "!no file name", false},
    {"NUL by escape", "{\"files\":[{\"filename\":\"a\",\"content\":\"\\u0000\"}]}", "!NUL", false},
    {"placeholder", "### FILE: a.py\n" T5 "import x\n# ... rest of the code unchanged ...\n" T5 END,
	"!leaves code out", false},
    {"placeholder in other words",
	"### FILE: a.js\n" T5 "// existing code remains the same\n" T5 END, "!leaves code out",
	false},
    {"placeholder for a whole body", "### FILE: a.js\n" T5 "(unchanged)\n" T5 END,
	"!leaves code out", false},
    {"a sentence about unchanged things is fine",
	"### FILE: a.py\n" T5
	"# values outside the range are returned unchanged\nx = 'rest of code unchanged'\n" T5 END,
	"f:a.py{# values outside the range are returned unchanged\n"
	"x = 'rest of code unchanged'\n}",
	false},
    {"the Dockerfile stays", "### DELETE: Dockerfile\n" END, "!cannot be deleted", false},
};

static void
render(const struct az_reply *r, struct az_buf *b)
{
	az_buf_addf(
	    b, "%s%s%s:", r->truncated ? "t" : "", r->fenced ? "f" : "", r->repaired ? "r" : "");
	if (r->has_dockerfile)
		az_buf_addf(b, "D{%.*s}", AZ_FMT(r->dockerfile));
	for (size_t i = 0; i < r->n; i++) {
		az_buf_adds(b, r->files[i].path);
		if (r->files[i].remove)
			az_buf_addch(b, '-');
		else
			az_buf_addf(b, "{%.*s}", AZ_FMT(r->files[i].body));
	}
}

static void
replies_are_read_as_told(void **state)
{
	struct az_buf b;
	int bad = 0;

	(void)state;
	az_buf_init(&b, 1 << 20);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
		struct az_err err = AZ_ERR_INIT;
		struct az_reply r;
		enum az_code rc;
		bool ok;

		rc = az_reply_parse(az_str_c(rows[i].in), rows[i].cut, a, &r, &err);
		az_buf_reset(&b);
		if (rc == AZ_OK)
			render(&r, &b);
		else
			az_buf_addf(&b, "!%s", err.text);
		az_buf_addch(&b, '\0');
		if (rows[i].want[0] == '!')
			ok = rc == AZ_EUNPROC && strstr(b.p, rows[i].want + 1) &&
			     strcmp(err.reason, "bad_model_output") == 0;
		else
			ok = strcmp(b.p, rows[i].want) == 0;
		if (!ok) {
			print_error("%s:\n  want %s\n  got  %s\n", rows[i].name, rows[i].want, b.p);
			bad++;
		}
		az_arena_free(a);
	}
	az_buf_release(&b);
	assert_int_equal(bad, 0);
}

static struct az_arena *
parse(struct az_str in, struct az_reply *r, struct az_err *err, enum az_code want)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	enum az_code rc = az_reply_parse(in, false, a, r, err);

	if (rc != want)
		fail_msg("%s: %s", az_code_name(rc), err->text);
	return a;
}

static void
the_note_is_the_prose_before(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_reply r;
	struct az_arena *a;
	char long_note[5000];

	(void)state;
	a = parse(AZ_S("\n The sum is wrong\x07.\n\n```\n### FILE: a\n" T5 "x\n" T5 END "```\n"),
	    &r, &err, AZ_OK);
	assert_true(az_str_eqc(r.note, "The sum is wrong ."));
	az_arena_free(a);
	a = parse(AZ_S("Why: x\n```json\n{\"files\":[{\"filename\":\"a\",\"content\":\"\"}]}\n```"),
	    &r, &err, AZ_OK);
	assert_true(az_str_eqc(r.note, "Why: x"));
	az_arena_free(a);
	a = parse(AZ_S("{\"explanation\":\"y\",\"files\":[{\"filename\":\"a\",\"content\":\"\"}]}"),
	    &r, &err, AZ_OK);
	assert_true(az_str_eqc(r.note, "y"));
	az_arena_free(a);
	memset(long_note, 'n', sizeof long_note);
	/* a two-byte character across the cut */
	memcpy(long_note + 2047, "\xc3\xa9", 2);
	memcpy(long_note + sizeof long_note - 30, "\n### DELETE: a\n### END\n       ", 30);
	a = parse(az_str_n(long_note, sizeof long_note), &r, &err, AZ_OK);
	assert_int_equal(r.note.n, 2047);
	az_arena_free(a);
}

static void
limits_are_kept(void **state)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_reply r;
	struct az_arena *a;
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_MIB(16));
	for (int i = 0; i <= AZ_LIM_REPLY_FILES; i++)
		az_buf_addf(&b, "### DELETE: f%d\n", i);
	a = parse(az_buf_str(&b), &r, &err, AZ_ETOOBIG);
	assert_string_equal(err.reason, "bad_model_output");
	az_arena_free(a);
	az_buf_reset(&b);
	az_buf_addc(&b, "### FILE: big\n" T5);
	while (b.n < AZ_LIM_REPLY_FILE_BYTES + 100)
		az_buf_addc(&b, "0123456789012345678901234567890123456789\n");
	az_buf_addc(&b, T5 END);
	a = parse(az_buf_str(&b), &r, &err, AZ_ETOOBIG);
	assert_non_null(strstr(err.text, "\"big\""));
	az_arena_free(a);
	while (b.n <= AZ_LIM_REPLY_BYTES)
		az_buf_addc(&b, "0123456789012345678901234567890123456789\n");
	a = parse(az_buf_str(&b), &r, &err, AZ_ETOOBIG);
	az_arena_free(a);
	az_buf_reset(&b);
	az_buf_addc(&b, "### FILE: ");
	for (int i = 0; i < 64; i++)
		az_buf_addc(&b, "abc/");
	az_buf_addc(&b, "x\n" T5 T5 END);
	a = parse(az_buf_str(&b), &r, &err, AZ_EUNPROC);
	az_arena_free(a);
	az_buf_reset(&b);
	for (int i = 0; i < 100; i++)
		az_buf_addc(&b, "{\"a\":");
	a = parse(az_buf_str(&b), &r, &err, AZ_EUNPROC);
	az_arena_free(a);
	az_buf_release(&b);
}

/* CPU ms to parse n bytes of the pattern. */
static double
cost(const char *pattern, size_t n)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	struct az_err err = AZ_ERR_INIT;
	struct az_reply_verdict v;
	struct az_reply r;
	struct az_buf b;
	clock_t from;

	az_buf_init(&b, n);
	while (b.n + strlen(pattern) < n)
		az_buf_addc(&b, pattern);
	from = clock();
	(void)!az_reply_parse(az_buf_str(&b), false, a, &r, &err);
	(void)!az_reply_verdict_parse(az_buf_str(&b), a, &v, &err);
	az_arena_free(a);
	az_buf_release(&b);
	return (double)(clock() - from) * 1000 / CLOCKS_PER_SEC;
}

/* Eight times the text costs about eight times as much, for whatever text. */
static void
time_is_linear(void **state)
{
	static const char *const patterns[] = {"{", "[", "\"", "{\"", "```\n", "```x\n", "~~~\n\n",
	    "### FILE: a\n", "### FILE: a\n```\n", "{\"a\":\"b\" ", "{}", "{a", "'", "\\", "\n",
	    "<file path=\"a\">\n", "<think>", "</think>", "{'a': \"\"\"", "/*", "a.py\n```\n"};

	(void)state;
	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
		double small = cost(patterns[i], AZ_KIB(128));
		double large = cost(patterns[i], AZ_KIB(1024));

		if (large > 60 && large > 40 * (small < 1 ? 1 : small))
			fail_msg("%s: %.1f ms, then %.1f ms", patterns[i], small, large);
	}
}

static const struct {
	const char *name, *in, *want; /* want: "T|reason|plan|evidence|files" or "!…" */
} verdicts[] = {
    {"full",
	"{\"result\":true,\"reason\":null,\"plan\":\"p\",\"suspectedFiles\":[{\"filename\":"
	"\"a.py\"}],\"unsuspectedFiles\":[],\"evidence\":\"42\"}",
	"T||p|42|a.py"},
    {"least", "{\"result\":false}", "F||||"},
    {"fence", "So:\n```json\n{\"result\": true, \"evidence\": \"x\"}\n```", "T|||x|"},
    {"prose around", "I think {\"result\": false, \"reason\": \"r\"} is right", "F|r|||"},
    {"text for a truth value", "{\"Result\":\"Yes\"}", "T||||"},
    {"single quotes and Python", "{'result': True, 'reason': None}", "T||||"},
    {"names as strings", "{\"result\":false,\"suspected_files\":[\"a\",\"../b\",\"./c\"]}",
	"F||||a,c"},
    {"one name", "{\"result\":false,\"suspectedFiles\":\"a\"}", "F||||a"},
    {"wrapped", "{\"validation\":{\"result\":true}}", "T||||"},
    {"cut after the result", "{\"result\":false,\"reason\":\"it fai", "F|it fai|||"},
    {"thinking first", "<think>{\"result\":true}</think>{\"result\":false}", "F||||"},
    {"agreeing twice", "{\"result\":true} so {\"result\":true}", "T||||"},
    {"the complete one counts", "{\"result\":true ... no:\n```json\n{\"result\":false}\n```",
	"F||||"},
    {"contradiction", "{\"result\":true} no {\"result\":false}", "!contradict"},
    {"prose is never a verdict", "result: true. All tests pass.", "!no verdict"},
    {"no result", "{\"reason\":\"fine\"}", "!no verdict"},
    {"result is a number", "{\"result\":1}", "!no verdict"},
    {"result is a sentence", "{\"result\":\"true, I think\"}", "!no verdict"},
    {"result cut", "{\"result\": tr", "!no verdict"},
    {"nothing", "", "!no verdict"},
};

static void
verdicts_are_read_as_told(void **state)
{
	struct az_buf b;
	int bad = 0;

	(void)state;
	az_buf_init(&b, 1 << 20);
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
		struct az_err err = AZ_ERR_INIT;
		struct az_reply_verdict v;
		bool ok;

		az_buf_reset(&b);
		if (az_reply_verdict_parse(az_str_c(verdicts[i].in), a, &v, &err)) {
			az_buf_addf(&b, "!%s", err.text);
			ok = strcmp(err.reason, "bad_model_output") == 0 &&
			     err.code == AZ_EUNPROC && verdicts[i].want[0] == '!' &&
			     strstr(b.p, verdicts[i].want + 1);
		} else {
			az_buf_addf(&b, "%c|%.*s|%.*s|%.*s|", v.result ? 'T' : 'F',
			    AZ_FMT(v.reason), AZ_FMT(v.plan), AZ_FMT(v.evidence));
			for (size_t k = 0; k < v.n_suspected; k++)
				az_buf_addf(&b, "%s%.*s", k ? "," : "", AZ_FMT(v.suspected[k]));
			ok = strcmp(b.p, verdicts[i].want) == 0;
		}
		if (!ok) {
			print_error(
			    "%s:\n  want %s\n  got  %s\n", verdicts[i].name, verdicts[i].want, b.p);
			bad++;
		}
		az_arena_free(a);
	}
	az_buf_release(&b);
	assert_int_equal(bad, 0);
}

/* One line of nearly a mebibyte, of every letter that means something to the parser. */
static void
long_lines_stay_whole(void **state)
{
	static const char kinds[] = "x#<*~`{\"\\ \t:'/\r";
	static const char *const forms[][2] = {
	    {"### FILE: a.txt\n~~~~~\n", "\n~~~~~\n### END\n"},
	    {"### FILE: a.txt\nx", "\n### END\n"},
	    {"<file path=\"a.txt\">\n", "\n</file>\n"},
	    {"a.txt\n```text\n", "\n```\n"},
	};
	const size_t n = AZ_LIM_REPLY_FILE_BYTES - 10;

	(void)state;
	for (size_t f = 0; f < sizeof forms / sizeof *forms; f++)
		for (const char *k = kinds; *k; k++) {
			struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
			struct az_err err = AZ_ERR_INIT;
			char *line = test_malloc(n);
			struct az_reply r;
			struct az_str body;
			struct az_buf b;

			memset(line, *k, n);
			line[0] = 'a'; /* no fence, no mark */
			line[n - 1] = 'z';
			az_buf_init(&b, AZ_LIM_REPLY_BYTES);
			az_buf_addc(&b, forms[f][0]);
			az_buf_add(&b, line, n);
			az_buf_addc(&b, forms[f][1]);
			if (az_reply_parse(az_buf_str(&b), false, a, &r, &err) != AZ_OK)
				fail_msg("form %zu, '%c': %s", f, *k, err.text);
			assert_int_equal(r.n, 1);
			body = r.files[0].body;
			/* unfenced: one letter in front keeps it from being a fence */
			assert_true(body.n >= n);
			assert_memory_equal(body.p + (f == 1), line, n);
			test_free(line);
			az_buf_release(&b);
			az_arena_free(a);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replies_are_read_as_told),
	    cmocka_unit_test(long_lines_stay_whole),
	    cmocka_unit_test(the_note_is_the_prose_before),
	    cmocka_unit_test(limits_are_kept),
	    cmocka_unit_test(time_is_linear),
	    cmocka_unit_test(verdicts_are_read_as_told),
	};

	return cmocka_run_group_tests_name("work_reply", tests, NULL, NULL);
}
