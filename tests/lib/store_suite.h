/*
 * The contract of the store port: an adapter's program makes a store and an empty bucket for
 * each test, and runs the same list as all the others.
 */
#ifndef STORE_SUITE_H
#define STORE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <azlon/store.h>

/* State of a test; made and freed by the adapter's setup and teardown. */
struct store_fix {
	struct az_store *s;
	struct az_bucket b;
	struct az_arena *a;
};

enum az_code store_put(struct store_fix *f, const char *key, const char *body);
/* NULL when there is none. */
const char *store_get(struct store_fix *f, const char *key);
/* All keys of a listing in one text, a page of limit at a time. */
const char *store_keys(struct store_fix *f, const char *prefix, bool one_level, int limit);

void store_test_body_comes_back(void **state);
void store_test_replace_and_empty(void **state);
void store_test_missing(void **state);
void store_test_offsets(void **state);
void store_test_nothing_visible_before_commit(void **state);
void store_test_reader_keeps_its_version(void **state);
void store_test_named_at_the_end(void **state);
void store_test_file_or_directory(void **state);
void store_test_bad_keys(void **state);
void store_test_foreign_bucket_name(void **state);
void store_test_list_is_bytewise_over_whole_keys(void **state);
void store_test_list_one_level(void **state);
void store_test_list_many_in_one_directory(void **state);
void store_test_list_after(void **state);
void store_test_remove(void **state);
void store_test_remove_many(void **state);
void store_test_remove_prefix(void **state);
void store_test_buckets_are_apart(void **state);
void store_test_put_if(void **state);
void store_test_put_if_loses_no_writer(void **state);
void store_test_copy(void **state);
void store_test_odd_names(void **state);
void store_test_longest_key(void **state);
void store_test_long_bodies(void **state);
void store_test_long_body_named_at_the_end(void **state);
void store_test_long_body_aborted(void **state);
void store_test_users_do_not_meet(void **state);

#define STORE_TEST(adapter, t, setup, teardown)                                                    \
	{                                                                                          \
		adapter ": " #t, store_##t, setup, teardown, NULL                                  \
	}
#define STORE_SUITE(adapter, setup, teardown)                                                      \
	STORE_TEST(adapter, test_body_comes_back, setup, teardown),                                \
	    STORE_TEST(adapter, test_replace_and_empty, setup, teardown),                          \
	    STORE_TEST(adapter, test_missing, setup, teardown),                                    \
	    STORE_TEST(adapter, test_offsets, setup, teardown),                                    \
	    STORE_TEST(adapter, test_nothing_visible_before_commit, setup, teardown),              \
	    STORE_TEST(adapter, test_reader_keeps_its_version, setup, teardown),                   \
	    STORE_TEST(adapter, test_named_at_the_end, setup, teardown),                           \
	    STORE_TEST(adapter, test_file_or_directory, setup, teardown),                          \
	    STORE_TEST(adapter, test_bad_keys, setup, teardown),                                   \
	    STORE_TEST(adapter, test_foreign_bucket_name, setup, teardown),                        \
	    STORE_TEST(adapter, test_list_is_bytewise_over_whole_keys, setup, teardown),           \
	    STORE_TEST(adapter, test_list_one_level, setup, teardown),                             \
	    STORE_TEST(adapter, test_list_many_in_one_directory, setup, teardown),                 \
	    STORE_TEST(adapter, test_list_after, setup, teardown),                                 \
	    STORE_TEST(adapter, test_remove, setup, teardown),                                     \
	    STORE_TEST(adapter, test_remove_many, setup, teardown),                                \
	    STORE_TEST(adapter, test_remove_prefix, setup, teardown),                              \
	    STORE_TEST(adapter, test_buckets_are_apart, setup, teardown),                          \
	    STORE_TEST(adapter, test_put_if, setup, teardown),                                     \
	    STORE_TEST(adapter, test_put_if_loses_no_writer, setup, teardown),                     \
	    STORE_TEST(adapter, test_copy, setup, teardown),                                       \
	    STORE_TEST(adapter, test_odd_names, setup, teardown),                                  \
	    STORE_TEST(adapter, test_longest_key, setup, teardown),                                \
	    STORE_TEST(adapter, test_long_bodies, setup, teardown),                                \
	    STORE_TEST(adapter, test_long_body_named_at_the_end, setup, teardown),                 \
	    STORE_TEST(adapter, test_long_body_aborted, setup, teardown),                          \
	    STORE_TEST(adapter, test_users_do_not_meet, setup, teardown)

#endif
