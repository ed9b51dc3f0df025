/* Listings, drawn trees, dispositions: the pure parts of the files routes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <api/files.h>

static struct az_arena *arena;
static struct az_manifest m;

static void
add(const char *path, int64_t size)
{
	struct az_file f = {
	    .path = az_str_c(path), .size = size, .mode = 0644, .modified_ms = 1790000000000};
	struct az_err err;

	az_sha256_hex(az_str_c(path), f.sha256);
	assert_int_equal(az_manifest_set(&m, &f, &err), AZ_OK);
}

static int
setup(void **state)
{
	(void)state;
	arena = az_arena_new(AZ_MIB(16));
	az_manifest_init(&m, arena);
	add("a/b.txt", 1);
	add("a/c/d.txt", 2);
	add("a.b", 3);
	add("main.py", 4);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	az_arena_free(arena);
	return 0;
}

static void
test_drawn_tree(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 4096);
	files_view_drawn(&m, AZ_S(""), AZ_S("run"), &b);
	assert_string_equal(b.p, "run\n"
				 "├── a.b (3 bytes)\n"
				 "├── a/\n"
				 "│   ├── b.txt (1 bytes)\n"
				 "│   └── c/\n"
				 "│       └── d.txt (2 bytes)\n"
				 "└── main.py (4 bytes)\n");
	az_buf_reset(&b);
	files_view_drawn(&m, AZ_S("a/c/"), AZ_S("run"), &b);
	assert_string_equal(b.p, "run\n"
				 "└── a/\n"
				 "    └── c/\n"
				 "        └── d.txt (2 bytes)\n");
	az_buf_reset(&b);
	files_view_drawn(&m, AZ_S("nothing"), AZ_S("run"), &b);
	assert_string_equal(b.p, "run\n");
	az_buf_release(&b);
}

static void
test_json_tree(void **state)
{
	const struct az_json *j, *tree, *dir;
	struct az_buf b;
	struct az_err err;

	(void)state;
	az_buf_init(&b, 1 << 16);
	files_view_tree(&m, AZ_S(""), &b);
	assert_int_equal(
	    az_json_parse_in(arena, az_buf_str(&b), &az_json_own_limits, &j, &err), AZ_OK);
	tree = az_json_get(j, "tree");
	assert_int_equal(az_json_len(tree), 3);
	assert_true(az_str_eqc(az_json_gets(az_json_at(tree, 0), "name"), "a.b"));
	assert_true(az_str_eqc(az_json_gets(az_json_at(tree, 0), "type"), "file"));
	assert_int_equal(az_json_geti(az_json_at(tree, 0), "size", 0), 3);
	dir = az_json_at(tree, 1);
	assert_true(az_str_eqc(az_json_gets(dir, "type"), "directory"));
	assert_true(az_str_eqc(az_json_gets(dir, "path"), "a"));
	dir = az_json_at(az_json_get(dir, "children"), 1);
	assert_true(az_str_eqc(az_json_gets(dir, "path"), "a/c"));
	assert_int_equal(az_json_len(az_json_get(dir, "children")), 1);
	az_buf_release(&b);
}

static void
test_deepest_tree_is_valid_json(void **state)
{
	const struct az_json *j;
	struct az_buf b;
	struct az_err err;

	(void)state;
	add("1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/f", 1);
	az_buf_init(&b, 1 << 16);
	files_view_tree(&m, AZ_S("1/"), &b);
	assert_int_equal(az_json_parse_in(arena, az_buf_str(&b),
			     &(struct az_json_limits){1 << 16, 64, 10000}, &j, &err),
	    AZ_OK);
	az_buf_release(&b);
}

static void
test_legacy_view(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1 << 16);
	files_view_legacy(&m, &b);
	assert_non_null(strstr(b.p, "{\"name\":\"d.txt\",\"path\":\"a/c/d.txt\","
				    "\"extension\":\".txt\",\"size\":2}"));
	assert_int_equal(b.p[0], '[');
	az_buf_release(&b);
}

static void
test_pages(void **state)
{
	struct az_buf b, seen;
	struct az_str cursor = AZ_S("");
	struct az_err err;

	(void)state;
	for (size_t limit = 1; limit < 6; limit++) {
		int pages = 0;

		az_buf_init(&seen, 1 << 16);
		cursor = AZ_S("");
		do {
			const struct az_json *j, *f;

			az_buf_init(&b, 1 << 16);
			assert_int_equal(files_view_page(&m, "input_id", AZ_S("x"), AZ_S(""), limit,
					     cursor, &b, &err),
			    AZ_OK);
			assert_int_equal(
			    az_json_parse_in(arena, az_buf_str(&b), &az_json_own_limits, &j, &err),
			    AZ_OK);
			assert_true(az_str_eqc(az_json_gets(j, "input_id"), "x"));
			f = az_json_get(j, "files");
			assert_true(az_json_len(f) <= limit);
			for (size_t i = 0; i < az_json_len(f); i++)
				az_buf_addf(
				    &seen, "%.*s ", AZ_FMT(az_json_gets(az_json_at(f, i), "path")));
			cursor = az_json_gets(j, "next_cursor");
			az_buf_release(&b);
			assert_true(++pages < 10);
		} while (cursor.n);
		assert_string_equal(seen.p, "a.b a/b.txt a/c/d.txt main.py ");
		az_buf_release(&seen);
	}
	az_buf_init(&b, 1 << 16);
	assert_int_equal(
	    files_view_page(&m, NULL, AZ_S(""), AZ_S(""), 1, AZ_S("!!"), &b, &err), AZ_EINVAL);
	assert_int_equal(
	    files_view_page(&m, NULL, AZ_S(""), AZ_S(""), 1, AZ_S("YWJj"), &b, &err), AZ_EINVAL);
	az_buf_release(&b);
}

static void
test_disposition(void **state)
{
	static const struct {
		const char *name, *want;
	} t[] = {
	    {"a b.csv", "attachment; filename=\"a b.csv\""},
	    {"a\"b\\c.txt", "attachment; filename=\"a_b_c.txt\"; "
			    "filename*=UTF-8''a%22b%5Cc.txt"},
	    {"caf\xc3\xa9.txt", "attachment; filename=\"caf_.txt\"; "
				"filename*=UTF-8''caf%C3%A9.txt"},
	    {"x\r\nSet-Cookie: a", "attachment; filename=\"x__Set-Cookie: a\"; "
				   "filename*=UTF-8''x%0D%0ASet-Cookie%3A%20a"},
	    {"50%.txt", "attachment; filename=\"50_.txt\"; "
			"filename*=UTF-8''50%25.txt"},
	    {"it's.txt", "attachment; filename=\"it's.txt\""},
	};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		az_buf_reset(&b);
		files_disposition(&b, az_str_c(t[i].name), true);
		assert_string_equal(b.p, t[i].want);
	}
	az_buf_reset(&b);
	files_disposition(&b, AZ_S("a"), false);
	assert_string_equal(b.p, "inline; filename=\"a\"");
	az_buf_release(&b);
	assert_true(files_active("text/html; charset=utf-8"));
	assert_true(files_active("image/svg+xml"));
	assert_true(files_active("application/xml"));
	assert_true(files_active("text/javascript; charset=utf-8"));
	assert_false(files_active("text/plain; charset=utf-8"));
	assert_false(files_active("image/png"));
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_drawn_tree),
	    T(test_json_tree),
	    T(test_deepest_tree_is_valid_json),
	    T(test_legacy_view),
	    T(test_pages),
	    T(test_disposition),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
