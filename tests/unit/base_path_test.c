/* base: names from outside, and files beneath a root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/path.h>

static void
only_safe_names_are_accepted(void **state)
{
	static const struct {
		struct az_str s;
		bool ok;
	} t[] = {
	    {{"a", 1}, true},
	    {{"src/main.py", 11}, true},
	    {{"a b+c=&?#%'\"", 12}, true},
	    {{"\xc3\xa9/\xe4\xb8\xad.txt", 10}, true},
	    {{"..a/b..", 7}, true},
	    {{"", 0}, false},
	    {{"/etc/passwd", 11}, false},
	    {{"../x", 4}, false},
	    {{"a/../b", 6}, false},
	    {{"a/./b", 5}, false},
	    {{"a//b", 4}, false},
	    {{"a/", 2}, false},
	    {{"a\0b", 3}, false},
	    {{"a\nb", 3}, false},
	    {{"a\\b", 3}, false},
	    {{"C:/x", 4}, false},
	    {{"a\x7f", 2}, false},
	    {{"\xff", 1}, false},
	    {{"x\xe2\x80\xaey", 5}, false},
	    {{".azlon/x", 8}, false},
	    {{"a/.AZLON", 8}, false},
	    {{".git/config", 11}, false},
	    {{"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p", 31}, true},
	    {{"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q", 33}, false},
	};
	struct az_err err;
	char big[1000];

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		enum az_code rc = az_path_ok(t[i].s, &err);

		if ((rc == AZ_OK) != t[i].ok)
			fail_msg("case %zu: %s", i, t[i].s.p);
	}
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = i % 200 == 199 ? '/' : 'x';
	assert_int_equal(az_path_ok(az_str_n(big, 901), &err), AZ_EINVAL);
	assert_int_equal(az_path_ok(az_str_n(big, 900), &err), AZ_OK);
	for (size_t i = 0; i < 256; i++)
		big[i] = 'y';
	assert_int_equal(az_path_ok(az_str_n(big, 256), &err), AZ_EINVAL);
	assert_int_equal(az_path_ok(az_str_n(big, 255), &err), AZ_OK);
	assert_int_equal(az_key_ok(AZ_S("w/.azlon/blobs/ab"), &err), AZ_OK);
	assert_int_equal(az_key_ok(AZ_S("w/../x"), &err), AZ_EINVAL);
}

static void
the_kernel_keeps_lookups_beneath_the_root(void **state)
{
	char dir[] = "/tmp/azlon-base-XXXXXX", path[64];
	int root, fd;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(root >= 0);
	assert_int_equal(az_mkparents_beneath(root, "a/b/c"), 0);
	fd = az_open_beneath(root, "a/b/c", O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(az_write_all(fd, "hi", 2), 0);
	close(fd);
	assert_int_equal(az_open_beneath(root, "../x", O_RDONLY, 0), -1);
	assert_int_equal(az_open_beneath(root, "/etc/passwd", O_RDONLY, 0), -1);
	assert_int_equal(symlinkat("/etc", root, "link"), 0);
	assert_int_equal(az_open_beneath(root, "link/passwd", O_RDONLY, 0), -1);
	assert_int_equal(errno, ELOOP);
	assert_int_equal(az_mkparents_beneath(root, "link/x/y"), -1);
	/* a link is removed, what it points at is not */
	snprintf(path, sizeof path, "%s/keep", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(symlinkat("../keep", root, "a/out"), 0);
	assert_int_equal(az_remove_tree(root, "a"), 0);
	assert_int_equal(fstatat(root, "a", &st, 0), -1);
	assert_int_equal(fstatat(root, "keep", &st, 0), 0);
	assert_int_equal(az_remove_tree(root, "missing/deep"), 0);
	assert_int_equal(az_remove_tree(root, "keep"), 0);
	assert_int_equal(az_remove_tree(root, "link"), 0);
	close(root);
	assert_int_equal(rmdir(dir), 0);
}

static void
types_come_from_a_short_list(void **state)
{
	(void)state;
	assert_string_equal(az_path_mime(AZ_S("a/b.CSV")), "text/csv; charset=utf-8");
	assert_string_equal(az_path_mime(AZ_S("x.exe")), "application/octet-stream");
	assert_string_equal(az_path_mime(AZ_S(".png")), "application/octet-stream");
	assert_true(az_str_eqc(az_path_base(AZ_S("a/b/c.d")), "c.d"));
	assert_true(az_str_eqc(az_path_ext(AZ_S("a.b/c.tar.gz")), ".gz"));
	assert_int_equal(az_path_ext(AZ_S("a.b/c")).n, 0);
}

/* In a process of its own: O_TMPFILE fails with this from now on. */
static void
no_tmpfile(int error)
{
	const scmp_datum_t bits = O_TMPFILE & ~O_DIRECTORY;
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f ||
	    seccomp_rule_add(f, SCMP_ACT_ERRNO((unsigned)error), SCMP_SYS(openat), 1,
		SCMP_A2(SCMP_CMP_MASKED_EQ, bits, bits)) ||
	    seccomp_load(f))
		_exit(9);
	seccomp_release(f);
}

static bool
spools(const char *dir)
{
	int fd = az_open_spool(dir);
	struct stat st;
	char c = 0;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_nlink == 0 && (st.st_mode & 0777) == 0600 &&
	       az_write_all(fd, "x", 1) == 0 && pread(fd, &c, 1, 0) == 1 && c == 'x' &&
	       (fcntl(fd, F_GETFD) & FD_CLOEXEC) && close(fd) == 0;
}

static void
a_spool_has_no_name_on_any_file_system(void **state)
{
	static const int error[] = {0, EOPNOTSUPP, EISDIR, ENOENT};
	char dir[] = "/tmp/az-spool-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (size_t i = 0; i < sizeof error / sizeof *error; i++) {
		pid_t pid = fork();
		int st;

		if (pid == 0) {
			if (error[i])
				no_tmpfile(error[i]);
			_exit(!spools(dir));
		}
		assert_int_equal(waitpid(pid, &st, 0), pid);
		assert_int_equal(st, 0);
	}
	assert_int_equal(az_open_spool("/nonexistent"), -1);
	assert_int_equal(errno, ENOENT);
	/* and nothing was left */
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(only_safe_names_are_accepted),
	    cmocka_unit_test(the_kernel_keeps_lookups_beneath_the_root),
	    cmocka_unit_test(types_come_from_a_short_list),
	    cmocka_unit_test(a_spool_has_no_name_on_any_file_system),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
