/* The file of API keys: what stands in it and what does not, changes by several at once, and
   files that are damaged. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/auth.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include <azlon/path.h>

enum { NOW = 1800000000, DAY = 86400 };

struct fix {
	char var[64];
	const char *dir;
	struct az_arena *a;
	struct az_auth *au;
};

static int64_t
now_s(void)
{
	return NOW;
}

static int
setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	az_log_open("test", "stderr", (enum az_level)(AZ_ERROR + 1));
	strcpy(f->var, "/tmp/azlon-keys-XXXXXX");
	assert_non_null(mkdtemp(f->var));
	f->a = az_arena_new(AZ_MIB(64));
	assert_int_equal(az_auth_dir(f->var, f->a, &f->dir, NULL), AZ_OK);
	assert_int_equal(az_auth_dir(f->var, f->a, &f->dir, NULL), AZ_OK);
	assert_int_equal(
	    az_auth_open(&(struct az_auth_opts){.identity = "keys", .var = f->var, .now_s = now_s},
		&f->au, NULL),
	    AZ_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fix *f = *state;
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	az_auth_close(f->au);
	assert_int_equal(az_remove_tree(tmp, f->var + 5), 0);
	close(tmp);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static struct az_apikey
wish(const char *user)
{
	return (struct az_apikey){.user = az_str_c(user),
	    .name = AZ_S("nightly \xc3\xa4"),
	    .scopes = AZ_SCOPE_RUNS_READ,
	    .created_s = NOW};
}

static struct az_str
made(struct fix *f, struct az_apikey want, struct az_str *key)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_str id;
	struct az_buf b;

	az_buf_init(&b, 200);
	if (az_apikey_create(f->dir, &want, f->a, &id, &b, &err))
		fail_msg("%s", err.text);
	*key = az_arena_str(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return id;
}

static enum az_code
ask(struct fix *f, struct az_str key, struct az_caller *c, struct az_err *err)
{
	const struct az_auth_in in = {
	    .authorization = az_str_c(az_arena_printf(f->a, "Bearer %.*s", AZ_FMT(key)))};

	return az_auth_identify(f->au, &in, f->a, c, err);
}

static char *
file(struct fix *f, const char *name)
{
	return az_arena_printf(f->a, "%s/%s", f->dir, name);
}

static void
the_file_holds_no_key(void **state)
{
	struct fix *f = *state;
	struct az_str key, id = made(f, wish("alice"), &key);
	struct stat st;
	struct az_buf b;

	az_buf_init(&b, AZ_KIB(64));
	assert_int_equal(az_read_file(file(f, "keys.json"), AZ_KIB(64), &b, NULL), AZ_OK);
	assert_true(key.n == 57 && az_str_starts(key, AZ_S("azk_")));
	assert_true(az_str_find(key, id, 0) == 4);
	assert_non_null(strstr(b.p, az_arena_cstr(f->a, id)));
	assert_null(strstr(b.p, az_arena_cstr(f->a, az_str_sub(key, 17, key.n))));
	assert_int_equal(stat(file(f, "keys.json"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(stat(f->dir, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	az_buf_release(&b);
}

static void
listed_as_made(void **state)
{
	struct fix *f = *state;
	struct az_apikey want = wish("alice"), *k;
	struct az_str key, id;
	struct az_caller c;
	struct az_err err = AZ_ERR_INIT;
	size_t n;

	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(n, 0);
	want.expires_s = NOW + DAY;
	id = made(f, want, &key);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(n, 1);
	assert_true(
	    az_str_eq(k->id, id) && az_str_eqc(k->user, "alice") && az_str_eq(k->name, want.name));
	assert_int_equal(k->scopes, AZ_SCOPE_RUNS_READ);
	assert_int_equal(k->created_s, NOW);
	assert_int_equal(k->expires_s, NOW + DAY);
	assert_int_equal(k->revoked_s, 0);
	assert_int_equal(k->used_s, 0);
	/* its use is seen, by the clock of files */
	assert_int_equal(ask(f, key, &c, &err), AZ_OK);
	assert_int_equal(ask(f, key, &c, &err), AZ_OK);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_true(llabs((long long)k->used_s - az_wall_ms() / 1000) <= 60);
	/* revoked once, and for good */
	assert_int_equal(az_apikey_revoke(f->dir, id, NOW + 5, NULL), AZ_OK);
	assert_int_equal(az_apikey_revoke(f->dir, id, NOW + 9, NULL), AZ_OK);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(k->revoked_s, NOW + 5);
	assert_int_equal(az_apikey_revoke(f->dir, AZ_S("aaaaaaaaaaaa"), NOW, &err), AZ_ENOTFOUND);
	assert_int_equal(ask(f, key, &c, &err), AZ_EAUTH);
}

static void
wishes_that_cannot_be(void **state)
{
	static char long_name[66];
	struct fix *f = *state;
	struct az_apikey want;
	struct az_str id;
	struct az_buf b;

	memset(long_name, 'n', 65);
	az_buf_init(&b, 200);
	for (int i = 0; i < 6; i++) {
		want = wish(i == 0 ? "" : i == 1 ? "a\nb" : i == 2 ? "\xff" : "u");
		if (i == 3)
			want.name = az_str_c(long_name);
		if (i == 4)
			want.scopes = 0;
		if (i == 5)
			want.scopes = 16;
		assert_int_equal(az_apikey_create(f->dir, &want, f->a, &id, &b, NULL), AZ_EINVAL);
		assert_int_equal(b.n, 0);
	}
	want = wish("u");
	assert_int_equal(az_apikey_create("/nonexistent", &want, f->a, &id, &b, NULL), AZ_EIO);
	assert_int_equal(b.n, 0);
	az_buf_release(&b);
}

static void
long_over_is_forgotten(void **state)
{
	struct fix *f = *state;
	struct az_apikey want = wish("alice"), *k;
	struct az_str key, old, kept, id;
	size_t n;

	want.expires_s = NOW + DAY;
	old = made(f, want, &key);
	want.expires_s = 0;
	kept = made(f, want, &key);
	id = made(f, want, &key);
	assert_int_equal(az_apikey_revoke(f->dir, id, NOW, NULL), AZ_OK);
	want.created_s = NOW + 40 * DAY;
	made(f, want, &key);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(n, 2);
	assert_true(az_str_eq(k[0].id, kept));
	assert_int_equal(az_apikey_revoke(f->dir, old, NOW, NULL), AZ_ENOTFOUND);
}

static void
made_by_several_at_once(void **state)
{
	struct fix *f = *state;
	struct az_apikey *k;
	size_t n;
	int status;

	for (int i = 0; i < 4; i++)
		if (fork() == 0) {
			struct az_str key;

			for (int j = 0; j < 10; j++)
				made(f, wish("u"), &key);
			_exit(0);
		}
	for (int i = 0; i < 4; i++)
		assert_true(wait(&status) > 0 && status == 0);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(n, 40);
}

static void
put(struct fix *f, const char *text, mode_t mode)
{
	int fd;

	unlink(file(f, "keys.json"));
	fd = open(file(f, "keys.json"), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(az_write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ONE(id, hash, user, scopes, t)                                                             \
	"{\"version\":1,\"keys\":[{\"id\":\"" id "\",\"sha256\":\"" hash "\",\"user\":\"" user     \
	"\",\"name\":\"\",\"scopes\":\"" scopes "\",\"created_s\":" t                              \
	",\"expires_s\":0,\"revoked_s\":0}],\"out\":[]}"

/* Who is on such a list cannot be told: everybody waits, nobody gets in, and it stays. */
static void
damaged_files(void **state)
{
	static const char *const bad[] = {"{", "[]", "{}", "{\"version\":2,\"keys\":[],\"out\":[]}",
	    "{\"version\":1,\"keys\":{},\"out\":[]}", "{\"version\":1,\"keys\":[]}",
	    "{\"version\":1,\"keys\":[7],\"out\":[]}",
	    "{\"version\":1,\"keys\":[],\"out\":[{\"user\":\"\",\"until_s\":1}]}",
	    "{\"version\":1,\"keys\":[],\"out\":[{\"user\":\"u\",\"until_s\":\"1\"}]}",
	    ONE("short", HASH, "u", "all", "1"), ONE("aaaaaaaaaaa1", HASH, "u", "all", "1"),
	    ONE("aaaaaaaaaaaa", "00", "u", "all", "1"),
	    ONE("aaaaaaaaaaaa", "X123456789abcdef" HASH, "u", "all", "1"),
	    ONE("aaaaaaaaaaaa", "Z123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"u", "all", "1"),
	    ONE("aaaaaaaaaaaa", HASH, "", "all", "1"), ONE("aaaaaaaaaaaa", HASH, "u", "root", "1"),
	    ONE("aaaaaaaaaaaa", HASH, "u", "", "1"), ONE("aaaaaaaaaaaa", HASH, "u", "all", "-1")};
	struct fix *f = *state;
	struct az_apikey want = wish("u"), *k;
	struct az_caller c;
	struct az_err err = AZ_ERR_INIT;
	struct az_str id, key;
	struct az_buf b;
	size_t n;

	made(f, want, &key);
	assert_int_equal(ask(f, key, &c, &err), AZ_OK);
	az_buf_init(&b, 200);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put(f, bad[i], 0640);
		if (az_apikey_create(f->dir, &want, f->a, &id, &b, NULL) != AZ_EINVAL)
			fail_msg("taken: %s", bad[i]);
		assert_int_equal(b.n, 0);
		assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_EINVAL);
		assert_int_equal(ask(f, key, &c, &err), AZ_EUNAVAIL);
		assert_string_equal(err.reason, "identity");
	}
	az_buf_release(&b);
	put(f, ONE("aaaaaaaaaaaa", HASH, "u", "all", "1"), 0666);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_EPERM);
	assert_int_equal(ask(f, key, &c, &err), AZ_EUNAVAIL);
	put(f, ONE("aaaaaaaaaaaa", HASH, "u", "all", "1"), 0640);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_OK);
	assert_int_equal(n, 1);
	/* a file that cannot be used is not read for each request, but again in a second */
	for (int i = 0; i < 300 && ask(f, key, &c, &err) == AZ_EUNAVAIL; i++)
		usleep(10000);
	assert_int_equal(err.code, AZ_EAUTH);
	/* without the file there is no key */
	unlink(file(f, "keys.json"));
	assert_int_equal(ask(f, key, &c, &err), AZ_EAUTH);
	/* a link instead of it */
	assert_int_equal(symlink("/etc/passwd", file(f, "keys.json")), 0);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_EIO);
}

/* What stands in the way of a change: it fails, and what was there stays. */
static void
places_that_take_no_file(void **state)
{
	struct fix *f = *state;
	struct az_apikey want = wish("u"), *k;
	struct az_auth *other;
	struct az_caller c;
	struct az_err err = AZ_ERR_INIT;
	struct az_str id;
	struct az_buf b;
	size_t n;
	char *big;
	int fd;

	az_buf_init(&b, 200);
	/* a directory */
	assert_int_equal(mkdir(file(f, "keys.json"), 0700), 0);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_EINVAL);
	assert_int_equal(az_apikey_create(f->dir, &want, f->a, &id, &b, NULL), AZ_EINVAL);
	assert_int_equal(rmdir(file(f, "keys.json")), 0);
	/* more than any ring has */
	big = calloc(1, AZ_MIB(5));
	memset(big, ' ', AZ_MIB(5) - 1);
	put(f, big, 0640);
	free(big);
	assert_int_equal(az_apikey_list(f->dir, f->a, &k, &n, NULL), AZ_ETOOBIG);
	unlink(file(f, "keys.json"));
	/* a lock that is none */
	unlink(file(f, "keys.lock"));
	assert_int_equal(symlink("/dev/null", file(f, "keys.lock")), 0);
	assert_int_equal(az_apikey_create(f->dir, &want, f->a, &id, &b, NULL), AZ_EIO);
	assert_int_equal(az_apikey_revoke(f->dir, AZ_S("x"), NOW, NULL), AZ_EIO);
	assert_int_equal(az_auth_sign_out(f->dir, AZ_S("u"), NOW, NULL), AZ_EIO);
	unlink(file(f, "keys.lock"));
	/* a path with no room for a name */
	big = calloc(1, 5000);
	memset(big, 'd', 4999);
	assert_int_equal(az_apikey_create(big, &want, f->a, &id, &b, NULL), AZ_EINVAL);
	assert_int_equal(az_apikey_list(big, f->a, &k, &n, NULL), AZ_EINVAL);
	assert_int_equal(
	    az_auth_open(&(struct az_auth_opts){.identity = "keys", .var = big}, &other, NULL),
	    AZ_EIO);
	assert_null(other);
	free(big);
	assert_int_equal(b.n, 0);
	/* where the folder of uses cannot be, keys work all the same */
	fd = open(file(f, "used"), O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(az_apikey_create(f->dir, &want, f->a, &id, &b, NULL), AZ_OK);
	assert_int_equal(ask(f, az_buf_str(&b), &c, &err), AZ_OK);
	az_buf_release(&b);
}

static void
scopes_as_words(void **state)
{
	static const char *const bad[] = {"", "runs", "runs:read,", ",", "RUNS:READ", "runs:read;x",
	    "runs:admin", "runs:read files:read"};
	unsigned s;
	struct az_buf b;

	(void)state;
	assert_true(az_scopes_parse(AZ_S("runs:read"), &s) && s == AZ_SCOPE_RUNS_READ);
	assert_true(az_scopes_parse(AZ_S(" files:write , runs:write"), &s) &&
		    s == (AZ_SCOPE_RUNS_WRITE | AZ_SCOPE_FILES_WRITE));
	assert_true(az_scopes_parse(AZ_S("all"), &s) && s == AZ_SCOPE_ALL);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(az_scopes_parse(az_str_c(bad[i]), &s));
	az_buf_init(&b, 100);
	az_scopes_text(&b, AZ_SCOPE_ALL);
	assert_string_equal(b.p, "runs:read,runs:write,files:read,files:write");
	az_buf_release(&b);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_file_holds_no_key),
	    TEST(listed_as_made),
	    TEST(wishes_that_cannot_be),
	    TEST(long_over_is_forgotten),
	    TEST(made_by_several_at_once),
	    TEST(damaged_files),
	    TEST(places_that_take_no_file),
	    cmocka_unit_test(scopes_as_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
