/* Trees of a run to the sandbox and back: how many requests they take, and what is left out. */
#include "work_rig.h"

#include "work/box.h"

#define MANY 1200

struct tree {
	struct rig r;
	struct work_job j;
	struct work_box b;
	struct az_fn_ctx ctx;
	struct az_manifest m;
	struct az_err err;
};

/* A job with a sandbox and a manifest of n small files. */
static void
tree_open(struct tree *t, int n)
{
	rig_open(&t->r, NULL, 0, "{}");
	t->ctx = (struct az_fn_ctx){.workflow_id = AZ_S(RIG_WID),
	    .uid = AZ_S("alice"),
	    .attempt = 1,
	    .heartbeat = rig_beat,
	    .cancelled = rig_cancelled,
	    .arena = t->r.a,
	    .engine = &t->r};
	t->j = (struct work_job){.ctx = &t->ctx,
	    .w = &t->r.app,
	    .sandbox = t->r.app.sandbox,
	    .a = t->r.a,
	    .bkt = t->r.bkt};
	assert_int_equal(work_box_open(&t->j, &t->b, &t->err), AZ_OK);
	az_manifest_init(&t->m, t->r.a);
	for (int i = 0; i < n; i++) {
		const char *text = az_arena_printf(t->r.a, "text %d", i);
		struct az_file f = {.path = az_str_c(az_arena_printf(t->r.a, "src/%03d.txt", i)),
		    .size = (int64_t)strlen(text),
		    .mode = 0644};

		assert_int_equal(az_blob_put(t->r.store, &t->r.bkt, AZ_S(RIG_WID),
				     (struct az_str){0}, az_str_c(text), f.sha256, &t->err),
		    AZ_OK);
		assert_int_equal(az_manifest_set(&t->m, &f, &t->err), AZ_OK);
	}
}

static void
a_tree_goes_up_in_few_requests(void **state)
{
	struct tree t = {.b = {.made = false}};
	int before;

	(void)state;
	tree_open(&t, MANY);
	before = t.r.box->requests;
	assert_int_equal(work_tree_upload(&t.j, &t.b, &t.m, &t.err), AZ_OK);
	print_message("# %d files up: %d requests\n", MANY, t.r.box->requests - before);
	assert_int_equal(t.r.box->uploads, MANY / 100);
	assert_true(t.r.box->requests - before <= MANY / 100 + 2);
	assert_true(az_str_eqc(fake_read(t.r.box, "/home/user/app/src/299.txt"), "text 299"));
	rig_close(&t.r);
}

/* What a program wrote, n files, some changed. */
static void
written(struct tree *t, int n)
{
	for (int i = 0; i < n; i++)
		fake_write(t->r.box, az_arena_printf(t->r.a, "/home/user/app/out/%d.csv", i),
		    az_str_c(az_arena_printf(t->r.a, "row %d", i)));
}

static void
outputs_come_back_in_few_requests(void **state)
{
	int no_tar;

	(void)state;
	for (no_tar = 0; no_tar < 2; no_tar++) {
		struct tree t = {.b = {.made = false}};
		struct tree_stats st;
		struct tree_list before;
		int was, tar;

		tree_open(&t, 2);
		t.r.box->no_tar = no_tar;
		assert_int_equal(work_tree_upload(&t.j, &t.b, &t.m, &t.err), AZ_OK);
		assert_int_equal(work_tree_list(&t.j, &t.b, &before, &t.err), AZ_OK);
		written(&t, MANY);
		/* not outputs */
		fake_write(t.r.box, "/home/user/app/node_modules/x/y.js", AZ_S("x"));
		fake_write(t.r.box, "/home/user/app/src/__pycache__/y.pyc", AZ_S("x"));
		fake_write(t.r.box, "/home/user/else.txt", AZ_S("x"));
		was = t.r.box->requests;
		assert_int_equal(work_tree_collect(&t.j, &t.b, &before, &t.m, &st, &t.err), AZ_OK);
		print_message("# %d files back%s: %d requests\n", MANY,
		    no_tar ? " without a tar" : "", t.r.box->requests - was);
		assert_int_equal(st.collected, MANY);
		assert_int_equal(t.m.n, MANY + 2);
		assert_non_null(az_manifest_find(&t.m, AZ_S("out/299.csv")));
		assert_null(az_manifest_find(&t.m, AZ_S("node_modules/x/y.js")));
		assert_false(st.cut);
		/* a listing, digests of what looks unchanged, the tar */
		tar = t.r.box->requests - was - t.r.box->downloads;
		assert_int_equal(tar, no_tar ? 3 : 2 + (MANY + 499) / 500);
		assert_int_equal(t.r.box->downloads, no_tar ? MANY : 0);
		rig_close(&t.r);
	}
}

/* More than a service lists at once: level by level then, with nothing left out. */
static void
a_large_tree_is_listed_level_by_level(void **state)
{
	struct tree t = {.b = {.made = false}};
	struct tree_list l;

	(void)state;
	tree_open(&t, 2);
	assert_int_equal(work_tree_upload(&t.j, &t.b, &t.m, &t.err), AZ_OK);
	written(&t, MANY);
	fake_write(t.r.box, "/home/user/app/a/b/c/d.txt", AZ_S("x"));
	fake_write(t.r.box, "/home/user/app/node_modules/x/y.js", AZ_S("x"));
	t.r.box->list_max = 50;
	assert_int_equal(work_tree_list(&t.j, &t.b, &l, &t.err), AZ_OK);
	assert_int_equal(l.n, MANY + 3);
	assert_false(l.cut);
	assert_true(az_str_eqc(l.v[0].path, "a/b/c/d.txt"));
	rig_close(&t.r);
}

static void
a_stopped_job_takes_no_more(void **state)
{
	struct tree t = {.b = {.made = false}};
	struct tree_list before = {.v = NULL};
	struct tree_stats st;

	(void)state;
	tree_open(&t, 0);
	written(&t, 5);
	t.r.cancelled = true;
	assert_int_equal(work_tree_collect(&t.j, &t.b, &before, &t.m, &st, &t.err), AZ_ECANCELLED);
	assert_int_equal(t.m.n, 0);
	rig_close(&t.r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_tree_goes_up_in_few_requests),
	    cmocka_unit_test(outputs_come_back_in_few_requests),
	    cmocka_unit_test(a_large_tree_is_listed_level_by_level),
	    cmocka_unit_test(a_stopped_job_takes_no_more),
	};

	return cmocka_run_group_tests_name("work_tree", tests, NULL, NULL);
}
