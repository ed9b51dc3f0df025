/* Digests against published vectors, encodings both ways, the secret file. */
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/crypto.h>
#include <azlon/limits.h>

static void
hex_is(const unsigned char *p, size_t n, const char *want)
{
	char got[513];

	az_hex(p, n, got);
	assert_string_equal(got, want);
}

static void
sha256_matches_fips_180(void **state)
{
	struct az_sha256 *h = az_sha256_new();
	unsigned char d[32];
	char hex[65];

	(void)state;
	az_sha256_hex(AZ_S("abc"), hex);
	assert_string_equal(
	    hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	az_sha256_hex((struct az_str){NULL, 0}, hex);
	assert_string_equal(
	    hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	az_sha256_add(h, "a", 1);
	az_sha256_add(h, NULL, 0);
	az_sha256_add(h, "bc", 2);
	az_sha256_done(h, d);
	hex_is(d, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	az_sha256_free(NULL);
}

static void
md5_matches_rfc_1321(void **state)
{
	unsigned char d[16];

	(void)state;
	az_md5(AZ_S("message digest"), d);
	hex_is(d, 16, "f96b697d7cb7938d525a2f31aaf161d0");
	az_md5((struct az_str){NULL, 0}, d);
	hex_is(d, 16, "d41d8cd98f00b204e9800998ecf8427e");
}

static void
hmac_matches_rfc_4231(void **state)
{
	unsigned char d[32];

	(void)state;
	az_hmac_sha256(AZ_S("Jefe"), AZ_S("what do ya want for nothing?"), d);
	hex_is(d, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

static void
hkdf_matches_rfc_5869(void **state)
{
	unsigned char ikm[22], out[42], other[32];

	(void)state;
	memset(ikm, 0x0b, sizeof ikm);
	assert_int_equal(
	    az_hkdf(az_str_n(ikm, 22), AZ_S("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"),
		AZ_S("\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9"), out, 42, NULL),
	    AZ_OK);
	hex_is(out, 42,
	    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
	    "34007208d5b887185865");
	/* no salt, no info: test case 3 */
	assert_int_equal(az_hkdf(az_str_n(ikm, 22), (struct az_str){NULL, 0},
			     (struct az_str){NULL, 0}, out, 42, NULL),
	    AZ_OK);
	hex_is(out, 42,
	    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
	    "9d201395faa4b61a96c8");
	assert_int_equal(az_hkdf(AZ_S("k"), AZ_S("s"), AZ_S("cursors"), other, 32, NULL), AZ_OK);
	assert_memory_not_equal(out, other, 32);
	assert_int_equal(az_hkdf(AZ_S(""), AZ_S(""), AZ_S(""), other, 32, NULL), AZ_EINVAL);
}

/* Bytes out of hex; at most 64. */
static struct az_str
unhex(const char *hex, unsigned char out[64])
{
	size_t n = strlen(hex) / 2;

	for (size_t i = 0; i < n; i++) {
		char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

		out[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	return az_str_n(out, n);
}

/* Cases 13 to 15 of the paper that introduced GCM. */
static void
aes256gcm_matches_published_vectors(void **state)
{
	static const struct {
		const char *key, *nonce, *plain, *sealed;
	} v[] = {
	    {"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	    {"0000000000000000000000000000000000000000000000000000000000000000",
		"000000000000000000000000", "00000000000000000000000000000000",
		"cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
		"cafebabefacedbaddecaf888",
		"d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
		"522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
		"b094dac5d93471bdec1a502270e3cc6c"},
	};
	unsigned char key[64], nonce[64], plain[64];
	struct az_buf b, back;

	(void)state;
	az_buf_init(&b, 4096);
	az_buf_init(&back, 4096);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct az_str p = unhex(v[i].plain, plain);

		unhex(v[i].key, key);
		unhex(v[i].nonce, nonce);
		az_buf_reset(&b);
		az_buf_reset(&back);
		assert_int_equal(az_aes256gcm_seal(key, nonce, p, &b, NULL), AZ_OK);
		hex_is((const unsigned char *)b.p, b.n, v[i].sealed);
		assert_int_equal(az_aes256gcm_open(key, nonce, az_buf_str(&b), &back, NULL), AZ_OK);
		assert_true(az_str_eq(az_buf_str(&back), p));
	}
	az_buf_release(&b);
	az_buf_release(&back);
}

static void
aes256gcm_refuses_what_was_altered(void **state)
{
	unsigned char key[32] = {1}, nonce[12] = {2};
	struct az_buf b, back, big;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	az_buf_init(&b, 64);
	az_buf_init(&back, AZ_MIB(1));
	az_buf_init(&big, AZ_MIB(1));
	az_buf_addc(&back, "kept");
	assert_int_equal(az_aes256gcm_seal(key, nonce, AZ_S("payload"), &b, NULL), AZ_OK);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 1;
		assert_int_equal(
		    az_aes256gcm_open(key, nonce, az_buf_str(&b), &back, &err), AZ_EINVAL);
		b.p[i] ^= 1;
	}
	assert_int_equal(
	    az_aes256gcm_open(key, nonce, az_str_n(b.p, b.n - 1), &back, &err), AZ_EINVAL);
	assert_int_equal(az_aes256gcm_open(key, nonce, az_str_n(b.p, 15), &back, &err), AZ_EINVAL);
	key[31] = 1;
	assert_int_equal(az_aes256gcm_open(key, nonce, az_buf_str(&b), &back, &err), AZ_EINVAL);
	assert_true(az_str_eqc(az_buf_str(&back), "kept"));
	key[31] = 0;
	assert_int_equal(az_aes256gcm_open(key, nonce, az_buf_str(&b), &back, &err), AZ_OK);
	assert_true(az_str_eqc(az_buf_str(&back), "keptpayload"));

	/* longer than one step of the cipher, and a buffer that is too small for it */
	for (int i = 0; i < 10000; i++)
		az_buf_addf(&big, "%d,", i);
	assert_int_equal(az_aes256gcm_seal(key, nonce, az_buf_str(&big), &b, NULL), AZ_ETOOBIG);
	az_buf_reset(&b);
	b.max = AZ_MIB(1);
	az_buf_reset(&back);
	assert_int_equal(az_aes256gcm_seal(key, nonce, az_buf_str(&big), &b, NULL), AZ_OK);
	assert_int_equal(az_aes256gcm_open(key, nonce, az_buf_str(&b), &back, NULL), AZ_OK);
	assert_true(az_str_eq(az_buf_str(&back), az_buf_str(&big)));
	az_buf_release(&b);
	az_buf_release(&back);
	az_buf_release(&big);
}

static void
base_encodings_match_rfc_4648(void **state)
{
	static const struct {
		const char *in, *b64, *b32;
	} v[] = {{"", "", ""}, {"f", "Zg==", "my"}, {"fo", "Zm8=", "mzxq"},
	    {"foo", "Zm9v", "mzxw6"}, {"foob", "Zm9vYg==", "mzxw6yq"},
	    {"fooba", "Zm9vYmE=", "mzxw6ytb"}, {"foobar", "Zm9vYmFy", "mzxw6ytboi"}};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 4096);
	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		az_buf_reset(&b);
		az_base64(&b, az_str_c(v[i].in));
		assert_true(az_str_eqc(az_buf_str(&b), v[i].b64));
		az_buf_reset(&b);
		az_base32(&b, az_str_c(v[i].in));
		assert_true(az_str_eqc(az_buf_str(&b), v[i].b32));
		az_buf_reset(&b);
		assert_true(az_base64_decode(&b, az_str_c(v[i].b64)));
		assert_true(az_str_eqc(az_buf_str(&b), v[i].in));
	}
	az_buf_reset(&b);
	az_base64url(&b, AZ_S("\xfb\xff\xfe\x00"));
	assert_true(az_str_eqc(az_buf_str(&b), "-__-AA"));
	az_buf_release(&b);
}

static void
base64_refuses_what_is_malformed(void **state)
{
	static const char *const bad[] = {"A", "A===", "AA=", "AAA==", "A=AA", "AA AA", "AA\n",
	    "====", "AB==", "AAB", "Zm9v!", "="};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 4096);
	az_buf_addc(&b, "kept");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (az_base64_decode(&b, az_str_c(bad[i])))
			fail_msg("accepted %s", bad[i]);
	assert_true(az_base64_decode(&b, AZ_S("AAA")));
	assert_true(az_str_eq(az_buf_str(&b), az_str_n("kept\0\0", 6)));
	az_buf_release(&b);
}

static void
percent_both_ways(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 4096);
	az_pct_encode(&b, az_str_n("a b/c\xc3\xa9%\0~", 10), NULL);
	assert_true(az_str_eqc(az_buf_str(&b), "a%20b%2Fc%C3%A9%25%00~"));
	az_buf_reset(&b);
	az_pct_encode(&b, AZ_S("a/b c"), "/");
	assert_true(az_str_eqc(az_buf_str(&b), "a/b%20c"));
	az_buf_reset(&b);
	assert_true(az_pct_decode(&b, AZ_S("a%2fb+c%C3%a9"), false));
	assert_true(az_str_eqc(az_buf_str(&b), "a/b+c\xc3\xa9"));
	az_buf_reset(&b);
	assert_true(az_pct_decode(&b, AZ_S("+a+"), true));
	assert_true(az_str_eqc(az_buf_str(&b), " a "));
	az_buf_reset(&b);
	assert_false(az_pct_decode(&b, AZ_S("ok%"), false));
	assert_false(az_pct_decode(&b, AZ_S("ok%4"), false));
	assert_false(az_pct_decode(&b, AZ_S("ok%4g"), false));
	assert_false(az_pct_decode(&b, AZ_S("ok%%41"), false));
	assert_int_equal(az_buf_str(&b).n, 0);
	az_buf_release(&b);
}

static void
compare_and_wipe(void **state)
{
	char s[] = "secret";

	(void)state;
	assert_true(az_ct_eq(AZ_S("abc"), AZ_S("abc")));
	assert_false(az_ct_eq(AZ_S("abc"), AZ_S("abd")));
	assert_false(az_ct_eq(AZ_S("abc"), AZ_S("ab")));
	assert_true(az_ct_eq((struct az_str){NULL, 0}, AZ_S("")));
	az_wipe(s, sizeof s);
	assert_memory_equal(s, "\0\0\0\0\0\0\0", sizeof s);
}

static void
tag_is_stable_and_lower_case(void **state)
{
	char a[33], b[33];

	(void)state;
	az_user_tag(AZ_S("alice"), a);
	/* base32 of the first 20 bytes of sha256("alice") = 2bd806c9… */
	assert_string_equal(a, "fpmansl7byak6gq7ymzi7j3dvetjoi6i");
	az_user_tag(AZ_S("Alice"), b);
	assert_string_not_equal(a, b);
	assert_int_equal(strspn(b, "abcdefghijklmnopqrstuvwxyz234567"), 32);
}

static void
put_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	assert_int_equal(write(fd, bytes, n), n);
	assert_int_equal(close(fd), 0);
}

static void
secret_is_made_once_and_kept(void **state)
{
	char dir[] = "/tmp/azlon-test-XXXXXX", path[64];
	struct az_secrets a, b;
	unsigned char none[32] = {0};
	struct az_err err = AZ_ERR_INIT;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	assert_int_equal(az_secrets_load(path, &a, &err), AZ_OK);
	assert_int_equal(a.n, 1);
	assert_memory_not_equal(a.key[0], none, 32);
	assert_int_equal(az_secrets_load(path, &b, &err), AZ_OK);
	assert_memory_equal(a.key[0], b.key[0], 32);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_nlink, 1);
	/* others may read it: refused */
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(az_secrets_load(path, &b, &err), AZ_EPERM);
	assert_int_equal(unlink(path), 0);
	/* another size: refused, and left as it is */
	put_file(path, "short", 5);
	assert_int_equal(az_secrets_load(path, &b, &err), AZ_EINVAL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_int_not_equal(az_secrets_load(path, &b, &err), AZ_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0); /* no temporary name is left */
	assert_int_equal(az_secrets_load(path, &b, &err), AZ_EIO);
}

/* What makes a second secret is a person: it is read as strictly, and never made. */
static void
a_second_secret_is_read_where_it_is(void **state)
{
	char dir[] = "/tmp/azlon-test-XXXXXX", path[64], also[80], wide[PATH_MAX];
	struct az_secrets s;
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(also, sizeof also, "%s.also", path);
	put_file(path, "first secret, 32 bytes of them..", 32);
	put_file(also, "other secret, 32 bytes of them..", 32);
	assert_int_equal(az_secrets_load(path, &s, &err), AZ_OK);
	assert_int_equal(s.n, 2);
	assert_memory_equal(s.key[0], "first", 5);
	assert_memory_equal(s.key[1], "other", 5);
	assert_int_equal(chmod(also, 0604), 0);
	assert_int_equal(az_secrets_load(path, &s, &err), AZ_EPERM);
	assert_non_null(strstr(err.text, also));
	assert_int_equal(unlink(also), 0);
	put_file(also, "", 0);
	assert_int_equal(az_secrets_load(path, &s, &err), AZ_EINVAL);
	assert_int_equal(unlink(also), 0);
	assert_int_equal(az_secrets_load(path, &s, &err), AZ_OK);
	assert_int_equal(s.n, 1);
	assert_int_equal(access(also, F_OK), -1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	memset(wide, '/', sizeof wide);
	wide[sizeof wide - 1] = '\0';
	assert_int_not_equal(az_secrets_load(wide, &s, &err), AZ_OK);
}

/* Each child waits until all are there, so that they really race. */
static void
processes_that_race_end_with_one_secret(void **state)
{
	enum { N = 8 };
	char dir[] = "/tmp/azlon-test-XXXXXX", path[64];
	unsigned char got[N][32];
	int go[2], back[N][2], status;
	pid_t pid[N];
	char c;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	assert_int_equal(pipe(go), 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(pipe(back[i]), 0);
		pid[i] = fork();
		if (pid[i] == 0) {
			struct az_secrets s;
			close(go[1]);
			if (read(go[0], &c, 1) == 0 && az_secrets_load(path, &s, NULL) == AZ_OK)
				_exit(write(back[i][1], s.key[0], 32) == 32 ? 0 : 1);
			_exit(1);
		}
	}
	close(go[0]);
	close(go[1]);
	for (int i = 0; i < N; i++) {
		assert_int_equal(read(back[i][0], got[i], 32), 32);
		assert_memory_equal(got[0], got[i], 32);
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
		close(back[i][0]);
		close(back[i][1]);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

int
main(void)
{
	const struct CMUnitTest t[] = {
	    cmocka_unit_test(sha256_matches_fips_180),
	    cmocka_unit_test(md5_matches_rfc_1321),
	    cmocka_unit_test(hmac_matches_rfc_4231),
	    cmocka_unit_test(hkdf_matches_rfc_5869),
	    cmocka_unit_test(aes256gcm_matches_published_vectors),
	    cmocka_unit_test(aes256gcm_refuses_what_was_altered),
	    cmocka_unit_test(base_encodings_match_rfc_4648),
	    cmocka_unit_test(base64_refuses_what_is_malformed),
	    cmocka_unit_test(percent_both_ways),
	    cmocka_unit_test(compare_and_wipe),
	    cmocka_unit_test(tag_is_stable_and_lower_case),
	    cmocka_unit_test(secret_is_made_once_and_kept),
	    cmocka_unit_test(a_second_secret_is_read_where_it_is),
	    cmocka_unit_test(processes_that_race_end_with_one_secret),
	};

	return cmocka_run_group_tests(t, NULL, NULL);
}
