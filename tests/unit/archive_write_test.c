/* Archives out: readable by Python and by ourselves, in constant memory, never short. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/archive.h>
#include <azlon/path.h>

static char path[] = "/tmp/azlon-archive-XXXXXX";
static int fd = -1;

static int
setup(void **state)
{
	(void)state;
	strcpy(path, "/tmp/azlon-archive-XXXXXX");
	fd = mkstemp(path);
	return fd < 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(fd);
	unlink(path);
	return 0;
}

static enum az_code
to_fd(void *arg, struct az_str b, struct az_err *err)
{
	int *to = arg;

	return az_write_all(*to, b.p, b.n) < 0 ? az_fail_errno(err, AZ_EIO, "test", "write")
					       : AZ_OK;
}

static int
python(const char *script)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		execlp("python3", "python3", "-c", script, path, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	return status;
}

static void
add(struct az_archive_writer *w, const char *name, const char *body, unsigned mode)
{
	struct az_err err;
	struct az_str b = az_str_c(body);

	assert_int_equal(
	    az_archive_entry(w, az_str_c(name), (int64_t)b.n, mode, 1600000000000, &err), AZ_OK);
	/* in two pieces */
	assert_int_equal(az_archive_data(w, az_str_sub(b, 0, b.n / 2), &err), AZ_OK);
	assert_int_equal(az_archive_data(w, az_str_sub(b, b.n / 2, b.n), &err), AZ_OK);
}

static void
write_three(enum az_archive_format f)
{
	struct az_archive_writer *w;
	struct az_err err;

	assert_int_equal(az_archive_begin(f, to_fd, &fd, &w, &err), AZ_OK);
	add(w, "b/main.py", "print(1)\n", 0755);
	add(w, "b/\xc3\xa9 \xe6\xbc\xa2.txt", "text", 0644);
	add(w, "empty", "", 0644);
	assert_int_equal(az_archive_finish(w, &err), AZ_OK);
}

static void
test_python_reads_zip(void **state)
{
	(void)state;
	write_three(AZ_ZIP);
	assert_int_equal(python("import sys, zipfile\n"
				"z = zipfile.ZipFile(sys.argv[1])\n"
				"assert z.testzip() is None\n"
				"assert z.namelist() == ['b/main.py', 'b/\\u00e9 \\u6f22.txt', "
				"'empty'], z.namelist()\n"
				"assert z.read('b/main.py') == b'print(1)\\n'\n"
				"assert z.read('empty') == b''\n"
				"assert z.infolist()[0].external_attr >> 16 & 0o777 == 0o755\n"
				"assert all(i.compress_type == 0 for i in z.infolist())\n"),
	    0);
}

static void
test_python_reads_tar(void **state)
{
	(void)state;
	write_three(AZ_TAR_GZ);
	assert_int_equal(python("import sys, tarfile\n"
				"t = tarfile.open(sys.argv[1], 'r:gz')\n"
				"assert t.getnames() == ['b/main.py', 'b/\\u00e9 \\u6f22.txt', "
				"'empty'], t.getnames()\n"
				"m = t.getmember('b/main.py')\n"
				"assert m.mode == 0o755 and m.mtime == 1600000000 and m.isreg()\n"
				"assert t.extractfile('b/\\u00e9 \\u6f22.txt').read() == b'text'\n"
				"assert m.uid == 0 and m.uname == ''\n"),
	    0);
}

static enum az_code
on_entry(void *arg, struct az_str p, unsigned mode, struct az_err *err)
{
	(void)err;
	az_buf_addf(arg, "%.*s:%o:", AZ_FMT(p), mode);
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	az_buf_adds(arg, b);
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	(void)err;
	az_buf_addch(arg, ' ');
	return AZ_OK;
}

static void
test_we_read_what_we_wrote(void **state)
{
	static const struct az_archive_limits lim = {10, 100, 100, 100};
	struct az_buf text;
	struct az_archive_in in = {on_entry, on_data, on_end, &text};
	struct az_err err;

	(void)state;
	for (int f = AZ_ZIP; f <= AZ_TAR_GZ; f++) {
		az_buf_init(&text, 1000);
		assert_int_equal(ftruncate(fd, 0), 0);
		lseek(fd, 0, SEEK_SET);
		write_three((enum az_archive_format)f);
		assert_int_equal(az_archive_read(fd, &lim, &in, &err), AZ_OK);
		assert_string_equal(text.p, "b/main.py:755:print(1)\n "
					    "b/\xc3\xa9 \xe6\xbc\xa2.txt:644:text empty:644: ");
		az_buf_release(&text);
	}
}

static void
test_equal_trees_make_equal_bytes(void **state)
{
	struct az_buf a, b;

	(void)state;
	for (int f = AZ_ZIP; f <= AZ_TAR_GZ; f++) {
		struct az_buf *to[2] = {&a, &b};

		for (int i = 0; i < 2; i++) {
			az_buf_init(to[i], 1 << 20);
			assert_int_equal(ftruncate(fd, 0), 0);
			lseek(fd, 0, SEEK_SET);
			write_three((enum az_archive_format)f);
			assert_int_equal(az_read_file(path, 1 << 20, to[i], NULL), AZ_OK);
		}
		assert_true(az_str_eq(az_buf_str(&a), az_buf_str(&b)));
		az_buf_release(&a);
		az_buf_release(&b);
	}
}

static void
test_short_entries_never_look_whole(void **state)
{
	struct az_archive_writer *w;
	struct az_err err;

	(void)state;
	assert_int_equal(az_archive_begin(AZ_ZIP, to_fd, &fd, &w, &err), AZ_OK);
	assert_int_equal(az_archive_entry(w, AZ_S("a"), 5, 0644, 0, &err), AZ_OK);
	assert_int_equal(az_archive_data(w, AZ_S("123456"), &err), AZ_EINTERNAL);
	assert_int_equal(az_archive_data(w, AZ_S("12"), &err), AZ_OK);
	assert_int_equal(az_archive_entry(w, AZ_S("b"), 0, 0644, 0, &err), AZ_EINTERNAL);
	assert_int_equal(az_archive_finish(w, &err), AZ_EINTERNAL);
	assert_int_not_equal(python("import sys, zipfile, os\n"
				    "sys.stderr = open(os.devnull, 'w')\n"
				    "zipfile.ZipFile(sys.argv[1])"),
	    0);
}

static void
test_abort_writes_no_end(void **state)
{
	struct az_archive_writer *w;
	struct az_err err;

	(void)state;
	for (int f = AZ_ZIP; f <= AZ_TAR_GZ; f++) {
		assert_int_equal(ftruncate(fd, 0), 0);
		lseek(fd, 0, SEEK_SET);
		assert_int_equal(
		    az_archive_begin((enum az_archive_format)f, to_fd, &fd, &w, &err), AZ_OK);
		add(w, "a", "body", 0644);
		az_archive_abort(w);
		assert_int_not_equal(
		    python("import sys, zipfile, tarfile, os\n"
			   "sys.stderr = open(os.devnull, 'w')\n"
			   "p = sys.argv[1]\n"
			   "(zipfile.ZipFile if open(p, 'rb').read(2) == b'PK' else "
			   "lambda p: tarfile.open(p).getmembers())(p)"),
		    0);
	}
	az_archive_abort(NULL);
}

static enum az_code
no_more(void *arg, struct az_str b, struct az_err *err)
{
	int *left = arg;

	if (--*left < 0)
		return az_fail(err, AZ_ECANCELLED, "test", "client left (%zu)", b.n);
	return AZ_OK;
}

static void
test_sinks_failure_passes_through(void **state)
{
	static char big[1 << 16];

	(void)state;
	/* random bytes, or gzip would never have anything to say */
	for (size_t i = 0; i < sizeof big; i++)
		big[i] = (char)(rand() >> 7);
	for (int f = AZ_ZIP; f <= AZ_TAR_GZ; f++) {
		struct az_archive_writer *w;
		struct az_err err;
		enum az_code rc = AZ_OK;
		int left = 3;

		assert_int_equal(
		    az_archive_begin((enum az_archive_format)f, no_more, &left, &w, &err), AZ_OK);
		/* huge: aborting must not pad it with zeros first */
		assert_int_equal(
		    az_archive_entry(w, AZ_S("a"), INT64_C(1) << 40, 0644, 0, &err), AZ_OK);
		for (int i = 0; i < 1 << 10 && !rc; i++)
			rc = az_archive_data(w, az_str_n(big, sizeof big), &err);
		assert_int_equal(rc, AZ_ECANCELLED);
		az_archive_abort(w);
	}
}

static void
test_bad_names_are_refused(void **state)
{
	struct az_archive_writer *w;
	struct az_err err;

	(void)state;
	assert_int_equal(az_archive_begin(AZ_ZIP, to_fd, &fd, &w, &err), AZ_OK);
	assert_int_equal(az_archive_entry(w, AZ_S("../x"), 0, 0644, 0, &err), AZ_EINVAL);
	assert_int_equal(az_archive_finish(w, &err), AZ_OK);
}

static enum az_code
count(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	*(int64_t *)arg += (int64_t)b.n;
	return AZ_OK;
}

static long
rss_kib(void)
{
	struct az_buf b;
	struct az_str rest, line;
	int64_t kib = -1;

	az_buf_init(&b, 1 << 16);
	if (az_read_file("/proc/self/status", 1 << 16, &b, NULL) == AZ_OK) {
		rest = az_buf_str(&b);
		while (az_str_line(&rest, &line))
			if (az_str_starts(line, AZ_S("VmRSS:"))) {
				line = az_str_trim(az_str_sub(line, 6, line.n - 2));
				if (!az_str_to_i64(line, 0, INT64_MAX, &kib))
					kib = -1;
			}
	}
	az_buf_release(&b);
	return (long)kib;
}

static void
test_memory_does_not_grow_with_bytes(void **state)
{
	static char big[1 << 16];
	struct az_archive_writer *w;
	struct az_err err;
	int64_t out = 0, size = INT64_C(512) << 20;
	long before = rss_kib();

	(void)state;
	assert_int_equal(az_archive_begin(AZ_ZIP, count, &out, &w, &err), AZ_OK);
	assert_int_equal(az_archive_entry(w, AZ_S("a"), size, 0644, 0, &err), AZ_OK);
	for (int64_t i = 0; i < size; i += (int64_t)sizeof big)
		assert_int_equal(az_archive_data(w, az_str_n(big, sizeof big), &err), AZ_OK);
	assert_int_equal(az_archive_finish(w, &err), AZ_OK);
	assert_true(out > size && out < size + 1000);
	assert_true(rss_kib() - before < 4096);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_python_reads_zip),
	    T(test_python_reads_tar),
	    T(test_we_read_what_we_wrote),
	    T(test_equal_trees_make_equal_bytes),
	    T(test_short_entries_never_look_whole),
	    T(test_abort_writes_no_end),
	    T(test_sinks_failure_passes_through),
	    T(test_bad_names_are_refused),
	    T(test_memory_does_not_grow_with_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
