/*
 * Out of memory while a model's reply is read: the reply as it always is, or AZ_ENOMEM.
 * Anything else would be laid to the model, or run as if it were all it wrote.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "torture.h"
#include "work/reply.h"

static struct az_str text;
static bool cut;

static enum az_code
reply(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	struct az_reply r;
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_reply_parse(text, cut, a, &r, err);
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	if (!rc) {
		az_buf_addf(&b, "%d %d %d %d\n%.*s\n%.*s\n", r.has_dockerfile, r.truncated,
		    r.fenced, r.repaired, AZ_FMT(r.dockerfile), AZ_FMT(r.note));
		for (size_t i = 0; i < r.n; i++)
			az_buf_addf(&b, "%s%.*s:%.*s\n", r.files[i].remove ? "-" : "+",
			    AZ_FMT(r.files[i].path), AZ_FMT(r.files[i].body));
		torture_made(az_buf_str(&b));
	}
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static enum az_code
verdict(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_REPLY_ARENA_BYTES);
	struct az_reply_verdict v;
	struct az_buf b;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = az_reply_verdict_parse(text, a, &v, err);
	torture_pause();
	az_buf_init(&b, AZ_MIB(1));
	if (!rc) {
		az_buf_addf(&b, "%d %d %d\n%.*s\n%.*s\n%.*s\n", v.result, v.fenced, v.repaired,
		    AZ_FMT(v.reason), AZ_FMT(v.plan), AZ_FMT(v.evidence));
		for (size_t i = 0; i < v.n_suspected; i++)
			az_buf_addf(&b, "%.*s\n", AZ_FMT(v.suspected[i]));
		torture_made(az_buf_str(&b));
	}
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

struct sample {
	const char *name, *text;
	bool cut;
};

static const struct sample replies[] = {
    {"blocks",
	"The sum was wrong.\n\n### FILE: main.py\n```python\nprint(42)\n```\n"
	"### FILE: ./src/lib/a.py\n~~~~\nx = \"```\"\n~~~~\n### DELETE: old.py\n"
	"### FILE: main.py\n```\nprint(43)\n```\n### FILE: Dockerfile\n```\n"
	"FROM python:3.12-slim\nCMD [\"python\", \"main.py\"]\n```\n### END\n",
	false},
    {"blocks that were cut", "### FILE: a.py\n```\nprint(1)\n```\n### FILE: b.py\n```\nprint(",
	true},
    {"bytes that are no text",
	"### FILE: a.txt\n```\n\xff\xfe caf\xe9 \xf0\x9f\x98\x80\r\nsecond\r\n```\n### END\n",
	false},
    {"fences",
	"Here it is.\n\n`main.py`:\n\n```python\nprint(1)\n```\n\n"
	"```dockerfile\nFROM python\nCMD python main.py\n```\n",
	false},
    {"JSON",
	"{\"dockerfile\":\"FROM python\\nCMD python m.py\\n\",\"files\":[{\"filename\":\"m.py\","
	"\"content\":\"print(\\\"\\u00e9\\\")\\n\"},{\"filename\":\"d/n.txt\",\"content\":\"1\"}]}",
	false},
    {"JSON in prose and a fence",
	"I use {curly} words first. {\"a\":1}\n```json\n{\"dockerfile\":\"FROM node\\nCMD node x\","
	"\"files\":[{\"filename\":\"x.js\",\"content\":\"1\"}]}\n```\nDone {as told}.",
	false},
    {"almost JSON",
	"{'dockerfile': 'FROM python\\nCMD python m.py', // why\n files: [{'filename': 'm.py', "
	"'content': 'print(1)\n', },],}",
	false},
    {"JSON that was cut",
	"{\"dockerfile\":\"FROM python\\nCMD python m.py\",\"files\":[{\"filename\":\"m.py\","
	"\"content\":\"1\"},{\"filename\":\"n.py\",\"content\":\"pri",
	true},
    {"a map of files", "{\"files\":{\"a.py\":\"print(1)\",\"b.py\":\"print(2)\"}}", false},
};

static const struct sample verdicts[] = {
    {"a verdict",
	"{\"result\":false,\"reason\":\"prints 41\",\"plan\":\"add one\","
	"\"evidence\":\"stdout\",\"suspected\":[\"main.py\",\"../x\"]}",
	false},
    {"a verdict in prose",
	"Let me see: {no}.\n```json\n{\"result\": \"yes\", \"reason\": null}\n```\n", false},
    {"almost a verdict", "{result: True, 'reason': 'it said \"42\"', suspected_files: ['a.py',],}",
	false},
};

static void
replies_are_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
		text = az_str_c(replies[i].text);
		cut = replies[i].cut;
		torture(replies[i].name, reply);
	}
}

static void
verdicts_are_whole_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof verdicts / sizeof *verdicts; i++) {
		text = az_str_c(verdicts[i].text);
		torture(verdicts[i].name, verdict);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(replies_are_whole_or_refused),
	    cmocka_unit_test(verdicts_are_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
