/*
 * Every expectation of the vocabulary, passing and failing, through validate_output: the
 * checks run against what a program left in a sandbox.
 */
#include "work_rig.h"

/* With a back-reference the matcher tries all ways to cut the text up: years, for this many */
#define A10 "aaaaaaaaaa"
#define A100 A10 A10 A10 A10 A10 A10 A10 A10 A10 A10
#define A1000 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100

struct row {
	const char *check;   /* members of the check after its id */
	const char *program; /* in the fake sandbox's language */
	bool pass;
	const char *message; /* part of it, when it fails */
};

static const struct row rows[] = {
    /* exit */
    {"\"run\":\"python3 main.py\"", "out x\n", true, NULL},
    {"\"run\":\"python3 other.py\"", "out x\n", false, "exit code 2, expected exit code 0"},
    {"\"run\":\"python3 other.py\",\"expect\":{\"exit\":2}", "out x\n", true, NULL},
    {"\"run\":[\"python3\",\"main.py\"],\"expect\":{\"exit\":0}", "out x\n", true, NULL},
    {"\"run\":[\"python3\",\"main.py\"],\"expect\":{\"exit\":1}", "out x\n", false,
	"exit code 0, expected exit code 1"},
    {"\"run\":[]", "out x\n", false, "no command"},
    /* stdout_equals: first difference named */
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":\"a\\nb\\n\"}", "out a\nout b\n",
	true, NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":\"a\\nc\\n\"}", "out a\nout b\n",
	false, "line 2: expected \\\"c\\\", got \\\"b\\\""},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":\"a\\nb\\nc\\n\"}",
	"out a\nout b\n", false, "ends early: line 3"},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":\"a\\n\"}", "out a\nout b\n", false,
	"goes on: line 2"},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":\"a\"}", "out a\n", false,
	"line ends only"},
    /* stdin */
    {"\"run\":\"python3 main.py\",\"stdin\":\"3\\n\",\"expect\":{\"stdout_equals\":\"3\\n\"}",
	"stdin\n", true, NULL},
    /* stdout_contains, contains */
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_contains\":\"ell\"}", "out hello\n", true,
	NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_contains\":\"elk\"}", "out hello\n", false,
	"stdout lacks \\\"elk\\\""},
    {"\"run\":\"python3 main.py\",\"expect\":{\"contains\":\"elk\"}", "out hello\n", false,
	"lacks"},
    /* stdout_matches: per line, POSIX extended */
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_matches\":\"^ *48$\"}", "out   48\n", true,
	NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_matches\":\"^(a|b)+$\"}",
	"out zz\nout abba\n", true, NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_matches\":\"^[0-9]{3}$\"}", "out 12\n",
	false, "does not match"},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_matches\":\"([\"}", "out 12\n", false,
	"no valid expression"},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stdout_matches\":\"((a*)*\\\\2)*b\"}",
	"out " A1000 A1000 "\n", false, "too long"},
    /* stderr_empty */
    {"\"run\":\"python3 main.py\",\"expect\":{\"stderr_empty\":true}", "out x\n", true, NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"stderr_empty\":true}", "err w\n", false,
	"stderr is not empty"},
    /* min_bytes of stdout, max_s (the fake takes 7 ms) */
    {"\"run\":\"python3 main.py\",\"expect\":{\"min_bytes\":2}", "out x\n", true, NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"min_bytes\":3}", "out x\n", false, "2 bytes"},
    {"\"run\":\"python3 main.py\",\"expect\":{\"max_s\":1}", "out x\n", true, NULL},
    {"\"run\":\"python3 main.py\",\"expect\":{\"max_s\":0.001}", "out x\n", false,
	"longer than 0.001 s"},
    /* files */
    {"\"file\":\"a.txt\"", "write a.txt hello\n", true, NULL},
    {"\"file\":\"b.txt\"", "write a.txt hello\n", false, "missing"},
    {"\"file\":\"../etc/passwd\"", "out x\n", false, "segment"},
    {"\"file\":\"a.txt\",\"expect\":{\"min_bytes\":5}", "write a.txt hello\n", true, NULL},
    {"\"file\":\"a.txt\",\"expect\":{\"min_bytes\":6}", "write a.txt hello\n", false,
	"5 bytes, expected at least 6"},
    {"\"file\":\"a.txt\",\"expect\":{\"contains\":\"ell\"}", "write a.txt hello\n", true, NULL},
    {"\"file\":\"a.txt\",\"expect\":{\"contains\":\"elk\"}", "write a.txt hello\n", false, "lacks"},
    {"\"file\":\"a.svg\",\"expect\":{\"magic\":\"svg\"}", "write a.svg <svg x>\n", true, NULL},
    {"\"file\":\"a.svg\",\"expect\":{\"magic\":\"svg\"}", "write a.svg <html>\n", false, "no svg"},
    {"\"file\":\"a.csv\",\"expect\":{\"magic\":\"csv\"}", "write a.csv a,b\n", true, NULL},
    {"\"file\":\"a.csv\",\"expect\":{\"magic\":\"csv\"}", "write a.csv ab\n", false, "no csv"},
    {"\"file\":\"a.pdf\",\"expect\":{\"magic\":\"pdf\"}", "write a.pdf %PDF-1.4\n", true, NULL},
    {"\"file\":\"a.gif\",\"expect\":{\"magic\":\"GIF\"}", "write a.gif GIF89a\n", true, NULL},
    {"\"file\":\"a.png\",\"expect\":{\"magic\":\"png\"}", "write a.png GIF89a\n", false, "no png"},
    {"\"file\":\"a.png\",\"expect\":{\"magic\":\"florp\"}", "write a.png x\n", false,
	"unknown magic"},
};

static const struct az_json *
check_named(const struct az_json *all, const char *id)
{
	for (size_t i = 0; i < az_json_len(all); i++)
		if (az_str_eqc(az_json_gets(az_json_at(all, i), "id"), id))
			return az_json_at(all, i);
	fail_msg("no check %s", id);
	return NULL;
}

static void
run_one(struct rig *r, const char *checks, const char *program)
{
	struct fake_answer a = {0};
	char *input = NULL, *text = NULL;

	assert_true(asprintf(&text,
			"1\n### FILE: main.py\n~~~~~\n%s~~~~~\n### FILE: Dockerfile\n"
			"~~~~~\nFROM python:3\nWORKDIR /app\nCOPY . .\nCMD "
			"[\"python3\",\"main.py\"]\n~~~~~\n"
			"### END\n",
			program) > 0);
	assert_true(asprintf(&input,
			"{\"v\":1,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\","
			"\"limits\":{\"iterations\":1},\"checks\":[%s]}}",
			checks) > 0);
	a.text = text;
	rig_open(r, &a, 1, input);
	r->box->exec = rig_exec;
	rig_run(r);
	free(input);
	free(text);
}

static void
each_expectation_passes_and_fails(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct az_json *res, *c;
		struct rig r;
		char *check = NULL;
		bool pass;

		assert_true(asprintf(&check, "{\"id\":\"c1\",%s}", rows[i].check) > 0);
		run_one(&r, check, rows[i].program);
		res = rig_result(&r, AZ_FN_VALIDATE, 1);
		c = check_named(az_json_get(res, "checks"), "c1");
		pass = az_str_eqc(az_json_gets(c, "status"), "pass");
		if (pass != rows[i].pass)
			fail_msg("row %zu (%s): %.*s: %.*s", i, rows[i].check,
			    AZ_FMT(az_json_gets(c, "status")), AZ_FMT(az_json_gets(c, "message")));
		if (rows[i].message && !strstr(rig_object(&r, 1, "verdict"), rows[i].message))
			fail_msg("row %zu (%s): said %.*s", i, rows[i].check,
			    AZ_FMT(az_json_gets(c, "message")));
		assert_true(az_json_gets(c, "message").n <= 400);
		free(check);
		rig_close(&r);
	}
}

static const char *http_reply;
static int http_exit;

static enum az_code
answer(
    struct fake_sandbox *s, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	if (strcmp(c->argv[0], "bash") != 0)
		return rig_exec(s, c, r, err);
	assert_false(s->internet); /* loopback of the box is enough */
	fake_print(c, 1, http_reply);
	r->exit_code = http_exit;
	return AZ_OK;
}

static void
answers_of_a_server(void **state)
{
	static const struct {
		const char *http, *reply;
		int exit;
		bool pass;
		const char *message;
	} cases[] = {
	    {"\"port\":80,\"path\":\"/\"", "HTTP/1.0 200 OK\r\n\r\nhi", 0, true, NULL},
	    {"\"port\":80,\"path\":\"/\",\"status\":404", "HTTP/1.1 404 Not\r\n\r\n", 0, true,
		NULL},
	    {"\"port\":80,\"path\":\"/\"", "HTTP/1.1 500 Oops\r\n\r\nstack", 0, false,
		"HTTP status 500, expected 200"},
	    {"\"port\":80,\"path\":\"/\",\"contains\":\"hi\"", "HTTP/1.0 200 OK\r\nX: hi\r\n\r\nno",
		0, false, "the answer lacks"},
	    {"\"port\":80,\"path\":\"/\"", "SSH-2.0\r\n", 0, false, "not HTTP"},
	    {"\"port\":80,\"path\":\"/\"", "", 97, false, "ended before it answered"},
	    {"\"port\":80,\"path\":\"/\"", "", 98, false, "nothing answers"},
	    {"\"port\":0,\"path\":\"/\"", "", 0, false, "no port"},
	    {"\"port\":80,\"path\":\"/ HTTP/1.1\\r\\nX: y\"", "", 0, false, "blanks"},
	};
	static const struct fake_answer a = {
	    .text =
		"1\n### FILE: main.py\n~~~~~\nhang\n~~~~~\n"
		"### FILE: Dockerfile\n~~~~~\nFROM python:3\nCMD [\"python3\",\"main.py\"]\n~~~~~\n"
		"### END\n"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct az_json *res, *c;
		char *input = NULL;
		struct rig r;

		assert_true(asprintf(&input,
				"{\"v\":1,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\","
				"\"limits\":{\"iterations\":1},\"checks\":[{\"id\":\"c1\",\"http\":"
				"{%s}}]}}",
				cases[i].http) > 0);
		rig_open(&r, &a, 1, input);
		r.box->exec = answer;
		http_reply = cases[i].reply;
		http_exit = cases[i].exit;
		rig_run(&r);
		res = rig_result(&r, AZ_FN_VALIDATE, 1);
		c = check_named(az_json_get(res, "checks"), "c1");
		if (az_str_eqc(az_json_gets(c, "status"), "pass") != cases[i].pass ||
		    (cases[i].message &&
			az_str_find(az_json_gets(c, "message"), az_str_c(cases[i].message), 0) < 0))
			fail_msg("case %zu: %.*s", i, AZ_FMT(az_json_gets(c, "message")));
		/* a server that stays is no program that hangs */
		assert_true(az_str_eqc(
		    az_json_gets(check_named(az_json_get(res, "checks"), "program"), "status"),
		    "pass"));
		free(input);
		rig_close(&r);
	}
}

/* A start of another client names its checks or not; ours have names by then. */
static void
checks_without_an_id_get_one_that_is_free(void **state)
{
	const struct az_json *v;
	struct rig r;

	(void)state;
	run_one(&r,
	    "{\"run\":\"cat main.py\"},{\"id\":\"c1\",\"run\":\"cat main.py\"},"
	    "{\"run\":\"cat main.py\"}",
	    "out x\n");
	assert_non_null(strstr(fake_llm_seen(r.llm, 0), "\n- c2: {"));
	v = az_json_get(rig_result(&r, AZ_FN_VALIDATE, 1), "checks");
	assert_true(az_str_eqc(az_json_gets(az_json_at(v, 1), "id"), "c2"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(v, 2), "id"), "c1"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(v, 3), "id"), "c3"));
	rig_close(&r);
}

static void
a_program_that_fails_is_never_right(void **state)
{
	const struct az_json *res;
	struct rig r;

	(void)state;
	run_one(&r, "{\"id\":\"c1\",\"run\":\"cat main.py\"}", "out x\nexit 4\n");
	res = rig_result(&r, AZ_FN_VALIDATE, 1);
	assert_false(az_json_getb(res, "passed", true));
	assert_true(az_str_eqc(
	    az_json_gets(check_named(az_json_get(res, "checks"), "c1"), "status"), "pass"));
	assert_true(
	    az_str_eqc(az_json_gets(check_named(az_json_get(res, "checks"), "program"), "message"),
		"exit code 4"));
	rig_close(&r);
}

static void
signatures_ignore_numbers_and_paths(void **state)
{
	const char *const programs[] = {"err at /srv/a1/x.py line 12\nexit 1\n",
	    "err at /srv/b2/x.py line 99\nexit 1\n", "err another thing\nexit 1\n"};
	struct az_str sig[3];
	struct rig r[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		run_one(&r[i], "{\"id\":\"c1\",\"run\":\"cat main.py\"}", programs[i]);
		sig[i] = az_json_gets(rig_result(&r[i], AZ_FN_VALIDATE, 1), "error_sig");
		assert_int_equal(sig[i].n, 16);
	}
	assert_true(az_str_eq(sig[0], sig[1]));
	assert_false(az_str_eq(sig[0], sig[2]));
	for (int i = 0; i < 3; i++)
		rig_close(&r[i]);
}

static void
collection_is_bounded_and_skips_caches(void **state)
{
	struct az_manifest m;
	struct rig r;
	struct az_buf key;

	(void)state;
	run_one(&r, "{\"id\":\"c1\",\"run\":\"cat main.py\"}",
	    "write __pycache__/x.pyc 1\nwrite node_modules/a/b.js 1\nwrite .cache/z 1\n"
	    "write a/b/c.txt deep\nwrite .azlon/evil 1\nmany 2500\n");
	az_buf_init(&key, 1024);
	az_key_iter(&key, AZ_S(RIG_WID), 1, "manifest");
	az_manifest_init(&m, r.a);
	assert_int_equal(az_manifest_load(&m, r.store, &r.bkt, az_buf_str(&key), NULL), AZ_OK);
	assert_in_range(m.n, 1000, AZ_LIM_COLLECT_FILES + 2);
	assert_non_null(az_manifest_find(&m, AZ_S("main.py")));
	for (size_t i = 0; i < m.n; i++) {
		assert_true(az_str_find(m.files[i].path, AZ_S("cache"), 0) < 0);
		assert_true(az_str_find(m.files[i].path, AZ_S("node_modules"), 0) < 0);
		assert_true(az_str_find(m.files[i].path, AZ_S("evil"), 0) < 0);
	}
	assert_non_null(strstr(rig_object(&r, 1, "run"), "\"collect_cut\":true"));
	az_buf_release(&key);
	rig_close(&r);
}

/* A program that rewrites the tests it is measured by. */
static void
tampered_check_files_are_put_back(void **state)
{
	static const struct fake_answer a = {.text = "1\n### FILE: main.py\n~~~~~\n"
						     "write test_x.py out all good\nwrite data.txt "
						     "changed\n~~~~~\n### FILE: Dockerfile\n~~~~~\n"
						     "FROM python:3\nWORKDIR /app\nCOPY . .\nCMD "
						     "[\"python3\",\"main.py\"]\n~~~~~\n### END\n"};
	const struct az_json *res;
	struct rig r;

	(void)state;
	rig_open(&r, &a, 1,
	    "{\"v\":1,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\",\"limits\":"
	    "{\"iterations\":1},\"inputs\":[\"default\"],\"checks\":[{\"id\":\"t\",\"run\":"
	    "\"python3 test_x.py\"},{\"id\":\"d\",\"run\":\"cat data.txt\",\"expect\":"
	    "{\"stdout_equals\":\"changed\"}}]}}");
	r.box->exec = rig_exec;
	rig_input(&r, "default", "test_x.py", "err assertion failed\nexit 1\n");
	rig_input(&r, "default", "data.txt", "input");
	rig_run(&r);
	res = rig_result(&r, AZ_FN_VALIDATE, 1);
	assert_false(az_json_getb(res, "passed", true));
	assert_true(az_str_eqc(
	    az_json_gets(check_named(az_json_get(res, "checks"), "t"), "status"), "fail"));
	/* data that the program changed is its output */
	assert_true(az_str_eqc(
	    az_json_gets(check_named(az_json_get(res, "checks"), "d"), "status"), "pass"));
	assert_non_null(strstr(tiny_closed(&r.t) ? rig_object(&r, 1, "verdict") : "", "assertion"));
	/* and its processes did not live to see the checks */
	assert_true(r.box->kill_alls >= 2);
	rig_close(&r);
}

/* What the Dockerfile's environment may do to the program it may not do to the checks. */
static enum az_code
look_at_env(
    struct fake_sandbox *s, const struct az_sb_cmd *c, struct az_sb_result *r, struct az_err *err)
{
	const char *path = NULL;
	bool own = false;

	if (c->tag && strncmp(c->tag, "check-", 6) == 0) {
		for (const char *const *e = c->env; e && *e; e++) {
			assert_true(strncmp(*e, "LD_PRELOAD=", 11) != 0);
			assert_true(strncmp(*e, "BASH_ENV=", 9) != 0);
			assert_true(strncmp(*e, "PYTEST_ADDOPTS=", 15) != 0);
			assert_true(strncmp(*e, "MAKEFLAGS=", 10) != 0);
			if (strncmp(*e, "PATH=", 5) == 0)
				path = *e + 5;
			own = own || strcmp(*e, "GREETING=hi") == 0;
		}
		assert_true(own);
		assert_non_null(path);
		assert_true(strncmp(path, "/usr/local/sbin:/usr/local/bin:/usr/", 36) == 0);
		*(int *)s->arg += 1;
	}
	return rig_exec(s, c, r, err);
}

static void
checks_get_a_plain_environment(void **state)
{
	static const struct fake_answer a = {
	    .text = "1\n### FILE: main.py\n~~~~~\nout x\n~~~~~\n"
		    "### FILE: Dockerfile\n~~~~~\nFROM python:3\nWORKDIR /app\nENV "
		    "PATH=/app/evil:$PATH\n"
		    "ENV LD_PRELOAD=/app/x.so\nENV BASH_ENV=/app/rc\nENV GREETING=hi\nCOPY . .\n"
		    "ENV PYTEST_ADDOPTS=--collect-only MAKEFLAGS=-n\n"
		    "CMD [\"python3\",\"main.py\"]\n~~~~~\n### END\n"};
	int seen = 0;
	struct rig r;

	(void)state;
	rig_open(&r, &a, 1,
	    "{\"v\":1,\"request\":{\"user_prompt\":\"p\",\"model\":\"m\",\"limits\":"
	    "{\"iterations\":1},\"checks\":[{\"id\":\"t\",\"run\":\"python3 main.py\"}]}}");
	r.box->exec = look_at_env;
	r.box->arg = &seen;
	assert_true(az_str_eqc(az_json_gets(rig_run(&r), "status"), "succeeded"));
	assert_int_equal(seen, 1);
	rig_close(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_expectation_passes_and_fails),
	    cmocka_unit_test(answers_of_a_server),
	    cmocka_unit_test(a_program_that_fails_is_never_right),
	    cmocka_unit_test(checks_without_an_id_get_one_that_is_free),
	    cmocka_unit_test(signatures_ignore_numbers_and_paths),
	    cmocka_unit_test(collection_is_bounded_and_skips_caches),
	    cmocka_unit_test(tampered_check_files_are_put_back),
	    cmocka_unit_test(checks_get_a_plain_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
