/* What a plan asks of the sandbox, and what stops it. */
#include "work_plan_fixture.h"

static void
steps_become_calls(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python:3.12\nENV A=1\nWORKDIR /app\nCOPY . .\n"
				     "RUN pip install x\nCOPY a b/\nRUN [\"make\", \"all\"]\n"
				     "CMD [\"python\", \"main.py\"]\nEXPOSE 80\n"),
	    AZ_OK);
	assert_true(e.r.built);
	assert_int_equal(e.r.text.n, 0);
	assert_string_equal(e.f.log.p,
	    "mkdir /home/user/app\n"
	    "run [/bin/sh][-c][…][sh][python3] in ~ tag azlon-x-1-b0\n"
	    "mkdir /home/user/app\n"
	    "run [/bin/sh][-c][pip install x] A=1 PATH=/home/user/.local/bin:/x/bin"
	    " in /home/user/app tag azlon-x-1-b1\n"
	    "run [/bin/sh][-c][…][sh][/home/user/app/b][1][0][a] in /home/user/app tag "
	    "azlon-x-1-b2\n"
	    "run [/bin/sh][-c][exec \"$@\"][sh][make][all] A=1 PATH=/home/user/.local/bin:/x/bin"
	    " in /home/user/app tag azlon-x-1-b3\n");
	assert_string_equal(e.told.steps.p,
	    "0 FROM python:3.12 -> Python 3.11.2\n"
	    "3 WORKDIR /app\n4 COPY . .\n5 RUN pip install x\n6 COPY a b/\n"
	    "7 RUN [\"make\", \"all\"]\n");
	assert_string_equal(e.r.argv[3], "sh");
	assert_string_equal(e.r.argv[4], "python");
	assert_string_equal(e.r.argv[5], "main.py");
	assert_null(e.r.argv[6]);
	assert_string_equal(e.r.env[0], "A=1");
	assert_string_equal(e.r.env[1], "PATH=/home/user/.local/bin:/x/bin");
	assert_null(e.r.env[2]);
	assert_string_equal(e.r.cwd, "/home/user/app");
	ex_release(&e);
}

static void
path_is_the_sandboxs(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nWORKDIR /app\n"
				     "ENV PATH=/app/bin:$HOME/x:$PATH\nCMD /bin/true\n"),
	    AZ_OK);
	assert_string_equal(e.r.env[0], "PATH=/home/user/app/bin:/home/user/x:"
					"/home/user/.local/bin:/x/bin");
	assert_null(e.r.env[1]);
	ex_release(&e);
}

static void
a_failing_step_is_a_build_failure(void **state)
{
	static const struct {
		int code;
		const char *file, *text;
	} t[] = {
	    {3, "FROM python\nRUN ok\nRUN boom now\nRUN later\n",
		"Dockerfile line 3, RUN boom now: exit status 3"},
	    {-2, "FROM python\nRUN ok\nRUN boom\n", "stopped after 77 s"},
	    {1, "FROM python\nRUN useradd boom\n", "there is no root"},
	    {127, "FROM python\nCOPY boom x\n", "it broke"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct ex e = {.f = {.fail = "boom", .fail_code = t[i].code}};

		assert_int_equal(execute(&e, t[i].file), AZ_OK);
		assert_false(e.r.built);
		assert_non_null(e.r.failed);
		assert_non_null(strstr(e.r.text.p, t[i].text));
		assert_int_equal(e.r.end, t[i].code == -2 ? AZ_END_TIMEOUT : AZ_END_EXITED);
		assert_null(strstr(e.f.log.p, "later"));
		assert_null(e.r.argv);
		if (i == 0)
			assert_string_equal(e.told.out.p, "3/2:it broke\n");
		ex_release(&e);
	}
}

static void
system_packages_are_refused_with_a_reason(void **state)
{
	static const char *const lines[] = {"apt-get update && apt-get install -y gcc",
	    "apt-get -qq update", "DEBIAN_FRONTEND=noninteractive apt-get install -y x",
	    "apk add --no-cache curl", "set -e; /usr/bin/yum -y install x",
	    "[\"apt\", \"install\", \"x\"]", "dnf -y upgrade", "(apt-get install x)"};
	static const char *const fine[] = {"echo apt-get is not there", "pip install apt",
	    "python add.py", "npm install yum", "echo install", "pip install apk add-on"};
	char file[200];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		struct ex e = {.f = {.fail = NULL}};

		snprintf(file, sizeof file, "FROM python\nRUN %s\n", lines[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		if (e.r.built)
			fail_msg("accepted: %s", lines[i]);
		assert_int_equal(e.r.end, 0);
		assert_non_null(strstr(e.r.text.p, "system packages cannot be installed"));
		assert_non_null(strstr(e.r.text.p, "python3 gcc sh"));
		ex_release(&e);
	}
	for (i = 0; i < sizeof fine / sizeof fine[0]; i++) {
		struct ex e = {.f = {.fail = NULL}};

		snprintf(file, sizeof file, "FROM python\nRUN %s\n", fine[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		if (!e.r.built)
			fail_msg("refused: %s", fine[i]);
		ex_release(&e);
	}
}

static void
a_language_the_template_lacks(void **state)
{
	struct ex e = {.f = {.missing = "cargo"}};

	(void)state;
	assert_int_equal(execute(&e, "FROM rust:1\nRUN cargo build\n"), AZ_OK);
	assert_false(e.r.built);
	assert_null(e.r.failed);
	assert_true(
	    az_str_eqc(e.r.text, "FROM rust:1: this sandbox has no cargo; it has: python3 gcc sh"));
	ex_release(&e);
}

static void
the_sandbox_failing_is_an_error(void **state)
{
	struct ex e = {.f = {.error = AZ_EUNAVAIL}};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nRUN x\n"), AZ_EUNAVAIL);
	assert_string_equal(e.err.text, "away");
	ex_release(&e);
}

static void
cancel_is_an_error(void **state)
{
	struct ex e = {.told = {.cancel = true}};
	struct ex k = {.f = {.fail = "boom", .fail_code = -3}};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nRUN x\n"), AZ_ECANCELLED);
	assert_null(strstr(e.f.log.p, "[x]"));
	ex_release(&e);
	assert_int_equal(execute(&k, "FROM python\nRUN boom\n"), AZ_ECANCELLED);
	ex_release(&k);
}

static void
here_documents_are_uploaded(void **state)
{
	struct ex e = {0};

	(void)state;
	assert_int_equal(execute(&e, "FROM python\nWORKDIR /app\n"
				     "COPY --chmod=755 <<EOF run.sh\n#!/bin/sh\necho hi\nEOF\n"),
	    AZ_OK);
	assert_non_null(strstr(e.f.log.p,
	    "upload /home/user/app/run.sh 18 <#!/bin/sh\necho hi\n>\n"
	    "run [/bin/sh][-c][chmod \"$2\" \"$1\"][sh][/home/user/app/run.sh][755]"));
	ex_release(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(steps_become_calls),
	    cmocka_unit_test(path_is_the_sandboxs),
	    cmocka_unit_test(a_failing_step_is_a_build_failure),
	    cmocka_unit_test(system_packages_are_refused_with_a_reason),
	    cmocka_unit_test(a_language_the_template_lacks),
	    cmocka_unit_test(the_sandbox_failing_is_an_error),
	    cmocka_unit_test(cancel_is_an_error),
	    cmocka_unit_test(here_documents_are_uploaded),
	};

	return cmocka_run_group_tests_name("work_plan_exec", tests, NULL, NULL);
}
