/* Objects read in order with the next ones opened ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/ahead.h>

#define COUNT 60

static struct az_store *store;
static struct az_bucket bucket;
static struct az_store_ops ops;
static const struct az_store_ops *real;
static atomic_int opened, at_once, most, fail_at;

struct held { /* what is open, so that the test can count */
	struct az_get base;
	struct az_get *inner;
	int left; /* reads until it fails, < 0 never */
};

static enum az_code
get_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	int n = ++opened, now = ++at_once, seen = most;
	struct held *h;
	enum az_code rc;

	while (seen < now && !atomic_compare_exchange_weak(&most, &seen, now))
		;
	h = calloc(1, sizeof *h);
	assert_non_null(h);
	h->base.store = s;
	h->left = n == fail_at ? 1 : -1;
	rc = real->get_open(s, b, key, offset, obj, &h->inner, err);
	if (rc) {
		at_once--;
		free(h);
		h = NULL;
	}
	*out = (struct az_get *)h;
	return rc;
}

static enum az_code
get_read(struct az_get *g, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct held *h = (struct held *)g;

	if (h->left == 0)
		return az_fail(err, AZ_EUPSTREAM, "test", "cut");
	if (h->left > 0)
		h->left--;
	/* in small pieces */
	return real->get_read(h->inner, p, n < 1000 ? n : 1000, got, err);
}

static void
get_close(struct az_get *g)
{
	struct held *h = (struct held *)g;

	if (!h)
		return;
	real->get_close(h->inner);
	at_once--;
	free(h);
}

static size_t
size_of(int i)
{
	/* none, small, exactly what is fetched ahead, and more */
	static const size_t sizes[] = {0, 1, 20000, AZ_KIB(64), AZ_KIB(64) + 1, 200000};

	return sizes[i % 6];
}

static int
setup(void **state)
{
	char *body = malloc(200000);
	struct az_err err;

	(void)state;
	assert_int_equal(az_store_mem_open(&store, &err), AZ_OK);
	bucket = az_bucket_of(AZ_S("alice"));
	for (int i = 0; i < COUNT; i++) {
		char key[20];

		snprintf(key, sizeof key, "k/%02d", i);
		memset(body, 'a' + i % 26, 200000);
		assert_int_equal(
		    az_store_put(store, &bucket, az_str_c(key), az_str_n(body, size_of(i)), &err),
		    AZ_OK);
	}
	free(body);
	real = store->ops;
	ops = *real;
	ops.get_open = get_open;
	ops.get_read = get_read;
	ops.get_close = get_close;
	store->ops = &ops;
	opened = at_once = most = fail_at = 0;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	assert_int_equal(at_once, 0);
	store->ops = real;
	az_store_close(store);
	return 0;
}

static bool
next(void *arg, struct az_buf *key)
{
	int *i = arg;

	if (*i == COUNT)
		return false;
	az_buf_addf(key, "k/%02d", (*i)++);
	return true;
}

/* Read the object whole; it must be number i. */
static enum az_code
whole(struct az_ahead *h, int i, struct az_err *err)
{
	struct az_obj o;
	size_t n = 0, got = 1;
	char part[7000];
	enum az_code rc = az_ahead_next(h, &o, err);

	if (rc)
		return rc;
	assert_int_equal(o.bytes, size_of(i));
	while (got) {
		rc = az_ahead_read(h, part, sizeof part, &got, err);
		if (rc)
			return rc;
		for (size_t k = 0; k < got; k++)
			assert_int_equal(part[k], 'a' + i % 26);
		n += got;
	}
	assert_int_equal(n, size_of(i));
	return AZ_OK;
}

static struct az_ahead *
begin(int *from)
{
	const struct az_ahead_opts o = {store, &bucket, next, from};
	struct az_ahead *h;
	struct az_err err;

	assert_int_equal(az_ahead_open(&o, &h, &err), AZ_OK);
	return h;
}

static void
test_all_in_order(void **state)
{
	int from = 0;
	struct az_ahead *h = begin(&from);
	struct az_err err;
	struct az_obj o;

	(void)state;
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(whole(h, i, &err), AZ_OK);
	assert_int_equal(az_ahead_next(h, &o, &err), AZ_ERANGE);
	az_ahead_close(h);
	assert_int_equal(opened, COUNT);
	assert_true(most <= AZ_AHEAD_OBJECTS + 1);
}

static void
test_no_object(void **state)
{
	int from = COUNT;
	struct az_ahead *h = begin(&from);
	struct az_err err;
	struct az_obj o;

	(void)state;
	assert_int_equal(az_ahead_next(h, &o, &err), AZ_ERANGE);
	az_ahead_close(h);
	az_ahead_close(NULL);
}

/* Objects are skipped or left half read: the next is the next. */
static void
test_half_read(void **state)
{
	int from = 0;
	struct az_ahead *h = begin(&from);
	struct az_err err;
	struct az_obj o;
	char part[100];
	size_t got;

	(void)state;
	for (int i = 0; i < 30; i++) {
		assert_int_equal(az_ahead_next(h, &o, &err), AZ_OK);
		assert_int_equal(o.bytes, size_of(i));
		if (i % 2)
			assert_int_equal(az_ahead_read(h, part, sizeof part, &got, &err), AZ_OK);
	}
	assert_int_equal(whole(h, 30, &err), AZ_OK);
	az_ahead_close(h);
	/* nothing was opened that nobody would come to soon */
	assert_true(opened <= 31 + AZ_AHEAD_OBJECTS);
}

static void
test_left_at_once(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		int from = 0;

		az_ahead_close(begin(&from));
	}
}

static void
test_missing_object_fails_in_its_place(void **state)
{
	int from = 0;
	struct az_ahead *h;
	struct az_err err;

	(void)state;
	assert_int_equal(az_store_remove(store, &bucket, AZ_S("k/07"), &err), AZ_OK);
	h = begin(&from);
	for (int i = 0; i < 7; i++)
		assert_int_equal(whole(h, i, &err), AZ_OK);
	assert_int_equal(whole(h, 7, &err), AZ_ENOTFOUND);
	az_ahead_close(h);
	assert_true(opened <= 8 + AZ_AHEAD_OBJECTS);
}

static void
test_object_cut_midway(void **state)
{
	int from = 2, i = 2; /* the first is larger than one read */
	struct az_ahead *h;
	struct az_err err;
	enum az_code rc;

	(void)state;
	fail_at = 1;
	h = begin(&from);
	do
		rc = whole(h, i++, &err);
	while (!rc && i < COUNT);
	assert_int_equal(rc, AZ_EUPSTREAM);
	assert_string_equal(err.text, "cut");
	az_ahead_close(h);
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_all_in_order),
	    T(test_no_object),
	    T(test_half_read),
	    T(test_left_at_once),
	    T(test_missing_object_fails_in_its_place),
	    T(test_object_cut_midway),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
