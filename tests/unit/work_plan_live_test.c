/* The scripts of a plan, really run. */
#include "work_plan_fixture.h"

static void
put(struct ex *e, const char *path, const char *text)
{
	int root = open(e->f.home, O_RDONLY | O_DIRECTORY), fd;

	assert_int_equal(az_mkparents_beneath(root, path), 0);
	fd = az_open_beneath(root, path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(az_write_all(fd, text, strlen(text)), 0);
	close(fd);
	close(root);
}

static bool
is(struct ex *e, const char *path, const char *text)
{
	struct az_buf b;
	char full[300];
	bool same;

	az_buf_init(&b, AZ_KIB(64));
	snprintf(full, sizeof full, "%s/%s", e->f.home, path);
	same =
	    az_read_file(full, AZ_KIB(64), &b, NULL) == AZ_OK && az_str_eqc(az_buf_str(&b), text);
	az_buf_release(&b);
	return same;
}

static bool
there(struct ex *e, const char *path)
{
	char full[300];
	struct stat st;

	snprintf(full, sizeof full, "%s/%s", e->f.home, path);
	return lstat(full, &st) == 0;
}

static void
live(struct ex *e)
{
	snprintf(e->f.home, sizeof e->f.home, "/tmp/azlon-plan-XXXXXX");
	assert_non_null(mkdtemp(e->f.home));
	put(e, "app/main.py", "main");
	put(e, "app/.env", "dot");
	put(e, "app/src/a.py", "a");
	put(e, "app/src/sub/b.py", "b");
	put(e, "app/with blank.txt", "wb");
}

static void
live_end(struct ex *e)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_remove_tree(tmp, e->f.home + strlen("/tmp/"));
	close(tmp);
	ex_release(e);
}

static void
copies_as_docker_does(void **state)
{
	struct ex e = {0};

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, "FROM debian\nWORKDIR /app\nCOPY . .\n"
				     "COPY main.py one.py\n" /* file to file */
				     "COPY main.py dir/\n"   /* file into a directory to be made */
				     "COPY main.py deep/er/two.py\n"
				     "COPY src out\n" /* contents of a directory */
				     "COPY src/ ./\n"
				     "COPY s?c/*.py main.py many/\n"
				     "COPY [\"with blank.txt\", \"w b/\"]\n"
				     "COPY . /data/all\n"
				     "COPY . ./nested/copy\n" /* into itself, without end */
				     "COPY main.py main.py\n"
				     "COPY main.py src\n" /* an existing directory */
				     "COPY --chmod=755 main.py tool\n"),
	    AZ_OK);
	if (!e.r.built)
		fail_msg("%s", e.r.text.p);
	assert_true(is(&e, "app/one.py", "main"));
	assert_true(is(&e, "app/dir/main.py", "main"));
	assert_true(is(&e, "app/deep/er/two.py", "main"));
	assert_true(is(&e, "app/out/a.py", "a"));
	assert_true(is(&e, "app/out/sub/b.py", "b"));
	assert_true(is(&e, "app/a.py", "a"));
	assert_true(is(&e, "app/many/a.py", "a"));
	assert_true(is(&e, "app/many/main.py", "main"));
	assert_true(is(&e, "app/w b/with blank.txt", "wb"));
	assert_true(is(&e, "data/all/src/sub/b.py", "b"));
	assert_true(is(&e, "data/all/.env", "dot"));
	assert_true(is(&e, "app/nested/copy/main.py", "main"));
	assert_false(there(&e, "app/nested/copy/nested/copy/main.py"));
	assert_true(is(&e, "app/src/main.py", "main"));
	assert_true(is(&e, "app/main.py", "main"));
	{
		char full[200];
		struct stat st;

		snprintf(full, sizeof full, "%s/app/tool", e.f.home);
		assert_int_equal(stat(full, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0755);
	}
	live_end(&e);
}

static void
copying_twice_changes_nothing(void **state)
{
	struct ex e = {0}, again = {0};
	const char *file = "FROM debian\nWORKDIR /app\nCOPY . nested/copy\nCOPY src out\n";

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, file), AZ_OK);
	assert_true(e.r.built);
	memcpy(again.f.home, e.f.home, sizeof e.f.home);
	assert_int_equal(execute(&again, file), AZ_OK);
	assert_true(again.r.built);
	assert_false(there(&e, "app/nested/copy/nested/copy"));
	assert_false(there(&e, "app/out/src"));
	ex_release(&again);
	live_end(&e);
}

static void
a_missing_source_is_named(void **state)
{
	static const char *const files[] = {"COPY nope.txt x\n", "COPY *.nope x/\n",
	    "COPY main.py no/pe.txt y/\n", "COPY $(touch${IFS}pwned) x\n",
	    "COPY `touch\\ pwned` x/\n"};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct ex e = {0};
		char file[200];

		live(&e);
		snprintf(file, sizeof file, "FROM debian\nWORKDIR /app\n%s", files[i]);
		assert_int_equal(execute(&e, file), AZ_OK);
		assert_false(e.r.built);
		assert_non_null(strstr(e.r.text.p, "not found in the build context"));
		assert_false(there(&e, "app/pwned")); /* names are names */
		live_end(&e);
	}
}

static void
the_probe_tells_the_truth(void **state)
{
	struct ex e = {0};

	(void)state;
	live(&e);
	assert_int_equal(execute(&e, "FROM debian\nRUN echo \"[$A]\" > said\nENV A=1\n"
				     "RUN [\"sh\", \"-c\", \"pwd\"]\nCMD x\n"),
	    AZ_OK);
	assert_true(e.r.built);
	assert_true(az_str_starts(az_str_c(e.r.env[1]), AZ_S("PATH=/tmp/azlon-plan-")));
	assert_non_null(strstr(e.r.env[1], "/.local/bin:/usr/bin:/bin"));
	assert_true(is(&e, "app/said", "[]\n"));
	live_end(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(copies_as_docker_does),
	    cmocka_unit_test(copying_twice_changes_nothing),
	    cmocka_unit_test(a_missing_source_is_named),
	    cmocka_unit_test(the_probe_tells_the_truth),
	};

	return cmocka_run_group_tests_name("work_plan_live", tests, NULL, NULL);
}
