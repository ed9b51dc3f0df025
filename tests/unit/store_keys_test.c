/* Keys and ids: who may own what, and that nothing else is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/keys.h>
#include <azlon/store.h>

static const char tail[] = "k3v2qk3v2qabcdefghabcdefgh";

static void
test_layout(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 1000);
	az_key_blob(&b, AZ_S("w"), AZ_S("ab"));
	az_buf_addch(&b, ' ');
	az_key_iter(&b, AZ_S("w"), 7, "manifest");
	az_buf_addch(&b, ' ');
	az_key_meta(&b, AZ_S("w"), "request");
	az_buf_addch(&b, ' ');
	az_key_run(&b, AZ_S("w"));
	az_buf_addch(&b, ' ');
	az_key_final(&b, AZ_S("w"), AZ_S("a/b.c"));
	az_buf_addch(&b, ' ');
	az_key_input(&b, AZ_S("default"), AZ_S("x.csv"));
	az_buf_addch(&b, ' ');
	az_key_input_manifest(&b, AZ_S("default"));
	az_buf_addch(&b, ' ');
	az_key_input_blob(&b, AZ_S("default"), AZ_S("ab"));
	assert_string_equal(b.p, "w/.azlon/blobs/ab "
				 "w/.azlon/iterations/0007/manifest w/.azlon/request w/ w/a/b.c "
				 "input/default/x.csv input/default/.azlon/manifest "
				 "input/default/.azlon/blobs/ab");
	az_buf_release(&b);
}

static void
test_id_of_plain_user(void **state)
{
	struct az_buf b;
	struct az_str u;
	int64_t ms;

	(void)state;
	az_buf_init(&b, 200);
	az_wid_make(&b, AZ_S("alice"), 1790000000000, tail);
	assert_string_equal(b.p, "user-alice-1790000000000-"
				 "k3v2qk3v2qabcdefghabcdefgh");
	assert_true(az_wid_parse(az_buf_str(&b), &u, &ms));
	assert_true(az_str_eqc(u, "alice"));
	assert_int_equal(ms, 1790000000000);
	assert_true(az_wid_owned_by(az_buf_str(&b), AZ_S("alice")));
	assert_false(az_wid_owned_by(az_buf_str(&b), AZ_S("alic")));
	assert_false(az_wid_owned_by(az_buf_str(&b), AZ_S("alice2")));
	assert_false(az_wid_owned_by(az_buf_str(&b), AZ_S("Alice")));
	assert_false(az_wid_owned_by(az_buf_str(&b), AZ_S("")));
	az_buf_release(&b);
}

static void
test_id_of_other_users_carries_the_tag(void **state)
{
	static const char *const uids[] = {"a-b", "a/../b", "é", "a b",
	    "abcdefghabcdefghabcdefghabcdefgh", /* looks like a tag */
	    "../../etc/passwd"};
	struct az_buf b;
	char tag[33];

	(void)state;
	for (size_t i = 0; i < sizeof uids / sizeof *uids; i++) {
		struct az_str u, uid = az_str_c(uids[i]);

		az_buf_init(&b, 200);
		az_wid_make(&b, uid, 5, NULL);
		az_user_tag(uid, tag);
		assert_true(az_wid_parse(az_buf_str(&b), &u, NULL));
		assert_true(az_str_eqc(u, tag));
		assert_true(az_wid_owned_by(az_buf_str(&b), uid));
		/* whoever names himself like the tag is not that user */
		assert_false(az_wid_owned_by(az_buf_str(&b), az_str_c(tag)));
		az_buf_release(&b);
	}
}

static void
test_malformed_ids(void **state)
{
	static const char *const bad[] = {"", "user-", "user-alice", "user-alice-1-",
	    "user-alice--k3v2qk3v2qabcdefghabcdefgh", "user--1-k3v2qk3v2qabcdefghabcdefgh",
	    "alice-1-k3v2qk3v2qabcdefghabcdefgh", "user-alice-1-k3v2qk3v2qabcdefghabcdefg",
	    "user-alice-1-k3v2qk3v2qabcdefghabcdefg1", "user-alice-1-K3v2qk3v2qabcdefghabcdefgh",
	    "user-alice-01-k3v2qk3v2qabcdefghabcdefgh", "user-alice-x-k3v2qk3v2qabcdefghabcdefgh",
	    "user-al/ice-1-k3v2qk3v2qabcdefghabcdefgh", "user-al.ice-1-k3v2qk3v2qabcdefghabcdefgh",
	    "user-al-ice-1-k3v2qk3v2qabcdefghabcdefgh", "user-../x-1-k3v2qk3v2qabcdefghabcdefgh",
	    "user-alice-123456789012345678-k3v2qk3v2qabcdefghabcdefgh",
	    "user-a23456789012345678901234567890123-1-aaaaaaaaaaaaaaaaaaaaaaaaaa"};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(az_wid_parse(az_str_c(bad[i]), NULL, NULL));
}

static void
test_input_ids(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 100);
	az_input_id_make(&b);
	assert_true(az_input_id_ok(az_buf_str(&b)));
	assert_int_equal(b.n, 30);
	assert_true(az_input_id_ok(AZ_S("default")));
	assert_false(az_input_id_ok(AZ_S("")));
	assert_false(az_input_id_ok(AZ_S("Default")));
	assert_false(az_input_id_ok(AZ_S("inp_../../../../../../../etc/")));
	assert_false(az_input_id_ok(AZ_S("inp_")));
	az_buf_release(&b);
}

static void
test_bucket(void **state)
{
	struct az_bucket a = az_bucket_of(AZ_S("alice"));
	struct az_bucket b = az_bucket_of(AZ_S("Alice"));
	unsigned char d[32];
	struct az_buf want;

	(void)state;
	assert_int_equal(strlen(a.name), 38);
	assert_string_not_equal(a.name, b.name);
	az_sha256_of(AZ_S("alice"), d);
	az_buf_init(&want, 100);
	az_buf_addc(&want, "azlon-");
	az_base32(&want, az_str_n(d, 20));
	assert_string_equal(a.name, want.p);
	az_buf_release(&want);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_layout),
	    cmocka_unit_test(test_id_of_plain_user),
	    cmocka_unit_test(test_id_of_other_users_carries_the_tag),
	    cmocka_unit_test(test_malformed_ids),
	    cmocka_unit_test(test_input_ids),
	    cmocka_unit_test(test_bucket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
