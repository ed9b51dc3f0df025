/* The store contract in memory. */
#include <stdlib.h>
#include <azlon/limits.h>
#include "store_suite.h"

static int
setup(void **state)
{
	struct store_fix *f = calloc(1, sizeof *f);
	struct az_err err;

	f->b = az_bucket_of(AZ_S("alice"));
	f->a = az_arena_new(AZ_MIB(16));
	assert_int_equal(az_store_mem_open(&f->s, &err), AZ_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct store_fix *f = *state;

	az_store_close(f->s);
	az_arena_free(f->a);
	free(f);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {STORE_SUITE("mem", setup, teardown)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
