/* What an iteration changed: the route over a real socket, trees in the store in memory. */
#include "api_tree_fixture.h"

static const char *
diff(struct az_str id, const char *n, const char *query, struct fcgi_resp *r)
{
	char path[60];

	snprintf(path, sizeof path, "/iterations/%s/diff", n);
	GET(id, path, query, r, );
	return r->status == 200 ? r->body : "";
}

static void
every_kind_of_change_is_said(void **state)
{
	static const char want[] = "diff --git a/came b/came\n"
				   "new file mode 100644\n"
				   "--- /dev/null\n"
				   "+++ b/came\n"
				   "@@ -0,0 +1,1 @@\n"
				   "+hello\n"
				   "diff --git a/empty b/empty\n"
				   "new file mode 100755\n"
				   "diff --git a/main.py b/main.py\n"
				   "--- a/main.py\n"
				   "+++ b/main.py\n"
				   "@@ -1,2 +1,2 @@\n"
				   " import x\n"
				   "-one\n"
				   "+two\n"
				   "diff --git a/run it b/run it\n"
				   "old mode 100644\n"
				   "new mode 100755\n"
				   "diff --git a/sub/both b/sub/both\n"
				   "old mode 100755\n"
				   "new mode 100644\n"
				   "--- a/sub/both\n"
				   "+++ b/sub/both\n"
				   "@@ -1,1 +1,1 @@\n"
				   "-a\n"
				   "+b\n"
				   "\\ No newline at end of file\n"
				   "diff --git a/the end b/the end\n"
				   "deleted file mode 100644\n"
				   "--- a/the end\t\n"
				   "+++ /dev/null\n"
				   "@@ -1,1 +0,0 @@\n"
				   "-gone\n";
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;
	char h[100];

	(void)state;
	put_tree(id, 1, "manifest",
	    TREE({"main.py", "import x\none\n", false}, {"run it", "#!\n", false},
		{"same", "same", false}, {"sub/both", "a\n", true}, {"the end", "gone\n", false}));
	put_tree(id, 2, "manifest",
	    TREE({"came", "hello\n", false}, {"empty", "", true},
		{"main.py", "import x\ntwo\n", false}, {"run it", "#!\n", true},
		{"same", "same", false}, {"sub/both", "b", false}));
	assert_string_equal(diff(id, "2", "", &r), want);
	assert_string_equal(
	    fcgi_peer_header(&r, "Content-Type", h, sizeof h), "text/x-diff; charset=utf-8");
	assert_null(fcgi_peer_header(&r, "X-Azlon-Cut", h, sizeof h));
	fcgi_peer_release(&r);
	/* with itself, and with the one before by name */
	assert_string_equal(diff(id, "2", "against=2", &r), "");
	assert_int_equal(r.status, 200);
	fcgi_peer_release(&r);
	assert_string_equal(diff(id, "2", "against=1", &r), want);
	fcgi_peer_release(&r);
	/* the other way round, what came goes */
	assert_non_null(strstr(diff(id, "1", "against=2", &r), "deleted file mode 100755\n"));
	fcgi_peer_release(&r);
}

static void
the_first_is_compared_with_what_the_run_began_with(void **state)
{
	struct az_str id = begin("alice", ""), other = begin("alice", "");
	struct fcgi_resp r;

	(void)state;
	put_tree(id, 1, "manifest", TREE({"a", "x\n", false}));
	assert_non_null(strstr(diff(id, "1", "", &r), "new file mode 100644\n--- /dev/null\n"));
	fcgi_peer_release(&r);
	put_tree(other, 0, "manifest", TREE({"a", "w\n", false}));
	put_tree(other, 1, "manifest", TREE({"a", "x\n", false}));
	assert_non_null(strstr(diff(other, "1", "", &r), "-w\n+x\n"));
	fcgi_peer_release(&r);
	assert_non_null(strstr(diff(other, "0", "", &r), "@@ -0,0 +1,1 @@\n+w\n"));
	fcgi_peer_release(&r);
}

static void
what_is_no_text_is_only_named(void **state)
{
	struct az_str id = begin("alice", "");
	struct fcgi_resp r;
	char h[20];
	char *big = malloc(1100000), *lines = malloc(60001);

	(void)state;
	memset(big, 'x', 1099999);
	big[1099999] = '\0';
	memset(lines, '\n', 60000);
	lines[60000] = '\0';
	put_tree(id, 1, "manifest",
	    TREE({"latin", "f\xfcnf\n", false}, {"quo\"te", "\xff", false}, {"t", "x\n", false}));
	put_tree(id, 2, "manifest",
	    TREE({"big", big, false}, {"latin", "f\xfcnf 5\n", false}, {"lines", lines, false},
		{"t", "y\n", false}));
	assert_string_equal(diff(id, "2", "", &r),
	    "diff --git a/big b/big\n"
	    "new file mode 100644\n"
	    "Files too large to show /dev/null and b/big differ\n"
	    "diff --git a/latin b/latin\n"
	    "Binary files a/latin and b/latin differ\n"
	    "diff --git a/lines b/lines\n"
	    "new file mode 100644\n"
	    "Files with too many lines /dev/null and b/lines differ\n"
	    "diff --git \"a/quo\\\"te\" \"b/quo\\\"te\"\n"
	    "deleted file mode 100644\n"
	    "Binary files \"a/quo\\\"te\" and /dev/null differ\n"
	    "diff --git a/t b/t\n"
	    "--- a/t\n"
	    "+++ b/t\n"
	    "@@ -1,1 +1,1 @@\n"
	    "-x\n"
	    "+y\n");
	/* text that is not there is said to be cut, what is none is not */
	assert_string_equal(fcgi_peer_header(&r, "X-Azlon-Cut", h, sizeof h), "size");
	fcgi_peer_release(&r);
	assert_non_null(diff(id, "1", "against=0", &r));
	assert_null(fcgi_peer_header(&r, "X-Azlon-Cut", h, sizeof h));
	fcgi_peer_release(&r);
	free(big);
	free(lines);
}

static void
a_long_answer_ends_between_files(void **state)
{
	struct az_str id = begin("alice", "");
	struct tree_file files[8] = {{NULL, NULL, false}};
	static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
	struct fcgi_resp r;
	char h[20];

	(void)state;
	for (int i = 0; i < 7; i++) {
		char *body = malloc(1000001);

		for (int k = 0; k < 1000000; k++)
			body[k] = k % 50 == 49 ? '\n' : (char)('a' + i);
		body[1000000] = '\0';
		files[i] = (struct tree_file){names[i], body, false};
	}
	put_tree(id, 1, "manifest", files);
	assert_true(strlen(diff(id, "1", "", &r)) < AZ_MIB(4));
	assert_int_equal(r.status, 200);
	assert_true(az_str_ends(az_str_n(r.body, r.body_n), AZ_S("\n# and 3 more that differ\n")));
	assert_non_null(strstr(r.body, "diff --git a/d b/d\n"));
	assert_string_equal(fcgi_peer_header(&r, "X-Azlon-Cut", h, sizeof h), "size");
	fcgi_peer_release(&r);
	for (int i = 0; i < 7; i++)
		free((void *)(uintptr_t)files[i].body);
}

static void
what_is_not_there_is_not_found(void **state)
{
	static const struct {
		const char *user, *n, *query;
		int status;
	} t[] = {{"alice", "2", "", 404}, {"alice", "1", "against=7", 404},
	    {"alice", "1", "against=x", 400}, {"alice", "1", "against=-1", 400},
	    {"alice", "1", "against=101", 400}, {"alice", "x", "", 404}, {"alice", "-1", "", 404},
	    {"bob", "1", "", 404}, {"alice", "1", "", 200}};
	struct az_str id = begin("alice", "");

	(void)state;
	put_tree(id, 1, "manifest", TREE({"a", "x\n", false}));
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct fcgi_resp r;
		char path[60];

		snprintf(path, sizeof path, "/iterations/%s/diff", t[i].n);
		call_x(t[i].user, "GET", id, path, t[i].query, NULL, &r);
		if (r.status != t[i].status)
			fail_msg("%s?%s: %d", path, t[i].query, r.status);
		fcgi_peer_release(&r);
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    T(every_kind_of_change_is_said),
	    T(the_first_is_compared_with_what_the_run_began_with),
	    T(what_is_no_text_is_only_named),
	    T(a_long_answer_ends_between_files),
	    T(what_is_not_there_is_not_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
