/* Removal of runs, files, directories, sets and everything. */
#include "files_fixture.h"

static int
del(struct fixture *f, const char *path)
{
	return call(f, "alice", "DELETE", path, NULL, NULL, NULL, AZ_S(""));
}

static void
test_removal(void **state)
{
	struct fixture *f = *state;
	struct az_store_list q = {.limit = 100};
	struct az_store_page p;
	struct az_err err;

	tree(f, DONE, 1, PATHS("a", "b"));
	tree(f, DONE, -1, PATHS("a", "b", "c"));
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/" OPEN, NULL, NULL, NULL, AZ_S("")), 409);
	check_problem(f, "not_finished", "cancel");
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/" DONE "/a", NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(get(f, "/files/" DONE "/a", NULL, NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/a", "iteration=1", NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/b", "iteration=1", NULL), 200);
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/" DONE "/a", NULL, NULL, NULL, AZ_S("")), 404);
	assert_int_equal(az_store_list(f->api.store, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 4); /* two manifests, two blobs */
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/" DONE, NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(az_store_list(f->api.store, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 0);
	assert_int_equal(
	    call(f, "alice", "DELETE", "/files/" NONE, NULL, NULL, NULL, AZ_S("")), 404);
}

static void
test_removal_of_everything(void **state)
{
	struct fixture *f = *state;

	tree(f, DONE, -1, PATHS("a"));
	any_open = true;
	open_id = OPEN;
	assert_int_equal(call(f, "alice", "DELETE", "/files", NULL, NULL, NULL, AZ_S("")), 409);
	/* somebody else's, whose name differs in case only */
	open_id = BOBS;
	assert_int_equal(call(f, "Bob", "DELETE", "/files", NULL, NULL, NULL, AZ_S("")), 204);
	any_open = false;
	assert_int_equal(call(f, "bob", "DELETE", "/files", NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(get(f, "/files/" DONE "/a", NULL, NULL), 200);
	assert_int_equal(call(f, "alice", "DELETE", "/files", NULL, NULL, NULL, AZ_S("")), 204);
	assert_int_equal(get(f, "/files/" DONE "/a", NULL, NULL), 404);
}

static void
copy(struct fixture *f, const char *path)
{
	struct az_buf key;
	struct az_err err;

	az_buf_init(&key, 1000);
	az_key_final(&key, AZ_S(DONE), az_str_c(path));
	assert_int_equal(
	    az_store_put(f->api.store, &f->b, az_buf_str(&key), AZ_S("copy"), &err), AZ_OK);
	az_buf_release(&key);
}

static void
test_directory_of_a_run(void **state)
{
	struct fixture *f = *state;

	/* "d" was a file once; what only begins like the directory stays */
	tree(f, DONE, 1, PATHS("d", "keep"));
	tree(f, DONE, 2, PATHS("d/a", "d/sub/b", "d.txt", "d0/x", "keep"));
	tree(f, DONE, -1, PATHS("d/a", "d/sub/b", "d.txt", "d0/x", "keep"));
	copy(f, "d/a");
	copy(f, "d/sub/b");
	copy(f, "d.txt");
	assert_int_equal(del(f, "/files/" DONE "/d/sub/"), 204);
	assert_int_equal(get(f, "/files/" DONE "/d/sub/b", NULL, NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/d/a", NULL, NULL), 200);
	/* with '/' at its end it is no file's name */
	assert_int_equal(del(f, "/files/" DONE "/keep/"), 404);
	assert_int_equal(del(f, "/files/" DONE "/d"), 204);
	assert_int_equal(get(f, "/files/" DONE "/d/a", NULL, NULL), 404);
	assert_int_equal(get(f, "/files/" DONE "/d", "iteration=1", NULL), 404);
	assert_int_equal(get(f, "/files/" DONE, "prefix=d/&iteration=2", NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 0);
	for (const char *const *p = PATHS("d.txt", "d0/x", "keep"); *p; p++)
		assert_int_equal(
		    get(f, az_arena_printf(f->a, "/files/" DONE "/%s", *p), NULL, NULL), 200);
	assert_int_equal(del(f, "/files/" DONE "/d"), 404);
	/* three manifests, three blobs, one copy */
	assert_int_equal(objects(f), 7);
	assert_int_equal(del(f, "/files/" DONE "/.azlon"), 400);
	assert_int_equal(del(f, "/files/" DONE "/.."), 400);
}

static void
test_directory_of_a_set(void **state)
{
	struct fixture *f = *state;

	for (const char *const *p = PATHS("d/a", "d/sub/b", "d.txt"); *p; p++)
		assert_int_equal(
		    call(f, "alice", "PUT", az_arena_printf(f->a, "/files/inputs/default/%s", *p),
			NULL, NULL, NULL, az_str_c(*p)),
		    201);
	assert_int_equal(del(f, "/files/inputs/default/d"), 204);
	assert_int_equal(get(f, "/files/inputs/default", NULL, NULL), 200);
	assert_int_equal(az_json_len(az_json_get(json(f), "files")), 1);
	assert_int_equal(objects(f), 2);
	assert_int_equal(del(f, "/files/inputs/default/d"), 404);
}

static void
test_directory_of_many(void **state)
{
	const char *paths[2501] = {NULL};
	struct fixture *f = *state;

	for (int i = 0; i < 2500; i++)
		paths[i] = az_arena_printf(f->a, "many/%04d", i);
	tree(f, DONE, -1, paths);
	tree(f, DONE, 1, PATHS("one"));
	assert_int_equal(del(f, "/files/" DONE "/many"), 204);
	assert_int_equal(objects(f), 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    MEM(test_removal),
	    DIR(test_removal),
	    MEM(test_removal_of_everything),
	    MEM(test_directory_of_a_run),
	    DIR(test_directory_of_a_run),
	    MEM(test_directory_of_a_set),
	    MEM(test_directory_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
