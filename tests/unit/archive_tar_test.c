/* A stranger's tar in memory: what is taken, what is passed over, what ends the reading. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <azlon/archive.h>

struct got {
	char log[2000]; /* "path=body;" of files, "path?kind;" of others */
	bool open;
	int fail_at, calls;
};

static void
note(struct got *g, struct az_str s)
{
	size_t n = strlen(g->log);

	snprintf(g->log + n, sizeof g->log - n, "%.*s", AZ_FMT(s));
}

static enum az_code
entry(void *arg, struct az_str path, enum az_tar_kind kind, bool *take, struct az_err *err)
{
	struct got *g = arg;

	if (++g->calls == g->fail_at)
		return az_fail(err, AZ_EIO, "test", "no room");
	assert_false(g->open);
	note(g, path);
	note(g, kind == AZ_TAR_FILE ? AZ_S("=") : kind == AZ_TAR_OTHER ? AZ_S("?o;") : AZ_S("?h;"));
	*take = g->open = kind == AZ_TAR_FILE;
	return AZ_OK;
}

static enum az_code
data(void *arg, struct az_str bytes, struct az_err *err)
{
	(void)err;
	assert_true(((struct got *)arg)->open);
	if (bytes.p[0])
		note(arg, bytes);
	return AZ_OK;
}

static enum az_code
entry_end(void *arg, struct az_err *err)
{
	(void)err;
	((struct got *)arg)->open = false;
	note(arg, AZ_S(";"));
	return AZ_OK;
}

static void
add(struct az_buf *b, const char *name, char type, const char *body, long long size)
{
	size_t n = strlen(body);
	char h[512];
	unsigned sum = 0;

	memset(h, 0, sizeof h);
	snprintf(h, 100, "%s", name);
	memcpy(h + 100, "0000644\0000001750\0000001750", 24);
	snprintf(h + 124, 12, "%011o", (unsigned)(size < 0 ? (long long)n : size) & 0x3fffffff);
	memcpy(h + 136, "00000000000", 11);
	memset(h + 148, ' ', 8);
	h[156] = type;
	if (type == '1' || type == '2')
		memcpy(h + 157, "/etc/passwd", 11);
	memcpy(h + 257, "ustar\00000", 8);
	for (size_t i = 0; i < sizeof h; i++)
		sum += (unsigned char)h[i];
	snprintf(h + 148, 8, "%06o", sum);
	az_buf_add(b, h, sizeof h);
	az_buf_add(b, body, n);
	memset(h, 0, sizeof h);
	az_buf_add(b, h, (512 - n % 512) % 512);
}

static void
end(struct az_buf *b)
{
	static const char zeros[1024];

	az_buf_add(b, zeros, sizeof zeros);
}

static enum az_code
read_it(struct got *g, struct az_str s, int64_t bytes)
{
	const struct az_archive_limits lim = {
	    .entries = 12, .file_bytes = bytes, .total_bytes = 2 * bytes};
	const struct az_tar_in in = {entry, data, entry_end, g};
	struct az_err err;

	return az_archive_tar(s, &lim, &in, &err);
}

static void
plain_files_are_taken(void **state)
{
	struct got g = {.log = ""};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 20);
	add(&b, "./a", '0', "one", -1);
	add(&b, "dir", '5', "", -1);
	add(&b, "dir/b", '0', "", -1);
	add(&b, "hard", '1', "", -1);
	add(&b, "soft", '2', "", -1);
	add(&b, "device", '3', "", -1);
	add(&b, "pipe", '6', "", -1);
	add(&b, "../up", '0', "x", -1);
	add(&b, "/etc/passwd", '0', "x", -1);
	add(&b, "a\001b", '0', "x", -1);
	add(&b, "\xff\xfe", '0', "x", -1);
	add(&b, "a", '0', "again", -1);
	end(&b);
	assert_int_equal(read_it(&g, az_buf_str(&b), 100), AZ_OK);
	assert_string_equal(g.log, "a=one;dir?o;dir/b=;hard?h;soft?o;device?o;pipe?o;a=again;");
	az_buf_release(&b);
}

static void
what_breaks_off_is_damaged(void **state)
{
	struct az_buf b;
	size_t i;

	(void)state;
	az_buf_init(&b, 1 << 20);
	add(&b, "a", '0', "one", -1);
	add(&b, "b", '0', "two", -1);
	end(&b);
	for (i = 1; i < 512 + 512 + 512 + 3; i += 37) {
		struct got g = {.log = ""};
		enum az_code rc = read_it(&g, az_str_sub(az_buf_str(&b), 0, i), 100);

		/* between two entries nothing shows that more was meant to come */
		assert_true(rc == AZ_EINVAL || rc == AZ_OK);
		if (i > 512 + 512 + 512)
			assert_int_equal(rc, AZ_EINVAL);
		assert_null(strstr(g.log, "two;"));
	}
	az_buf_release(&b);
}

static void
limits(void **state)
{
	struct got g = {.log = ""};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 20);
	assert_int_equal(read_it(&g, AZ_S("<html>no tar at all</html>"), 100), AZ_EINVAL);
	add(&b, "a", '0', "0123456789", -1);
	assert_int_equal(read_it(&g, az_buf_str(&b), 9), AZ_ETOOBIG); /* one file */
	assert_true(g.open);
	g = (struct got){.log = ""};
	add(&b, "b", '0', "0123456789", -1);
	add(&b, "c", '0', "0123456789", -1);
	assert_int_equal(read_it(&g, az_buf_str(&b), 10), AZ_ETOOBIG); /* all together */
	g = (struct got){.log = ""};
	assert_int_equal(read_it(&g, az_buf_str(&b), 100), AZ_OK);
	g = (struct got){.fail_at = 2};
	assert_int_equal(read_it(&g, az_buf_str(&b), 100), AZ_EIO);
	az_buf_reset(&b);
	for (int i = 0; i < 13; i++)
		add(&b, "a", '0', "", -1);
	g = (struct got){.log = ""};
	assert_int_equal(read_it(&g, az_buf_str(&b), 100), AZ_ETOOBIG);
	az_buf_release(&b);
}

/* A map of holes says a terabyte in a few bytes: what would come of it counts. */
static void
a_sparse_giant_is_too_large(void **state)
{
	static const char pax[] = "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
				  "23 GNU.sparse.name=big\n"
				  "37 GNU.sparse.realsize=1099511627776\n";
	struct got g = {.log = ""};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 20);
	add(&b, "pax", 'x', pax, -1);
	add(&b, "GNUSparseFile.1/big", '0', "1\n1099511627775\n1\n", 513);
	az_buf_addc(&b, "x");
	while (b.n % 512)
		az_buf_addch(&b, '\0');
	end(&b);
	assert_true(read_it(&g, az_buf_str(&b), 1 << 20) != AZ_OK);
	assert_null(strstr(g.log, ";"));
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(plain_files_are_taken),
	    cmocka_unit_test(what_breaks_off_is_damaged),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(a_sparse_giant_is_too_large),
	};

	return cmocka_run_group_tests_name("archive_tar", tests, NULL, NULL);
}
