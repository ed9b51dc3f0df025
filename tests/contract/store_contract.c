/* What every adapter of the store port promises, run against dir and mem. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include <azlon/store.h>

struct fixture {
	struct az_store *s;
	struct az_bucket b;
	char root[64]; /* "" for mem */
	struct az_arena *a;
};

/* A directory of /tmp and what is in it. */
static int
remove_tmp(const char *path)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = az_remove_tree(tmp, strrchr(path, '/') + 1);

	close(tmp);
	return rc;
}

static int
setup(void **state, bool dir)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct az_err err;

	f->b = az_bucket_of(AZ_S("alice"));
	f->a = az_arena_new(AZ_MIB(16));
	if (dir) {
		strcpy(f->root, "/tmp/azlon-store-XXXXXX");
		assert_non_null(mkdtemp(f->root));
		assert_int_equal(az_store_dir_open(f->root, &f->s, &err), AZ_OK);
	} else {
		assert_int_equal(az_store_mem_open(&f->s, &err), AZ_OK);
	}
	*state = f;
	return 0;
}

static int
setup_dir(void **state)
{
	return setup(state, true);
}

static int
setup_mem(void **state)
{
	return setup(state, false);
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	az_store_close(f->s);
	if (f->root[0])
		assert_int_equal(remove_tmp(f->root), 0);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static enum az_code
put(struct fixture *f, const char *key, const char *body)
{
	struct az_err err;

	return az_store_put(f->s, &f->b, az_str_c(key), az_str_c(body), &err);
}

static const char *
get(struct fixture *f, const char *key)
{
	struct az_buf b;
	struct az_err err;
	const char *out = NULL;

	az_buf_init(&b, 1 << 20);
	if (az_store_get(f->s, &f->b, az_str_c(key), &b, &err) == AZ_OK)
		out = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return out;
}

/* All keys of a listing in one text, a page of limit at a time. */
static const char *
keys(struct fixture *f, const char *prefix, bool one_level, int limit)
{
	struct az_store_list q = {
	    .prefix = az_str_c(prefix), .limit = limit, .one_level = one_level};
	struct az_buf b;
	const char *out;
	int pages = 0;

	az_buf_init(&b, 1 << 20);
	do {
		struct az_store_page p;
		struct az_err err;

		assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
		assert_true(p.n <= (size_t)limit);
		for (size_t i = 0; i < p.n; i++) {
			assert_int_equal(
			    p.objs[i].dir, p.objs[i].key.p[p.objs[i].key.n - 1] == '/');
			az_buf_adds(&b, p.objs[i].key);
			az_buf_addch(&b, ' ');
		}
		q.after = p.next;
		assert_true(++pages < 1000);
	} while (q.after.n);
	out = az_arena_cstr(f->a, az_buf_str(&b));
	az_buf_release(&b);
	return out ? out : "";
}

static void
test_body_comes_back(void **state)
{
	struct fixture *f = *state;
	char body[] = "a\0b\xff\n";
	struct az_buf b;
	struct az_err err;
	struct az_obj o;

	assert_int_equal(
	    az_store_put(f->s, &f->b, AZ_S("w/x y+%é.bin"), az_str_n(body, sizeof body), &err),
	    AZ_OK);
	az_buf_init(&b, 100);
	assert_int_equal(az_store_get(f->s, &f->b, AZ_S("w/x y+%é.bin"), &b, &err), AZ_OK);
	assert_int_equal(b.n, sizeof body);
	assert_memory_equal(b.p, body, sizeof body);
	az_buf_release(&b);
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("w/x y+%é.bin"), &o, &err), AZ_OK);
	assert_int_equal(o.bytes, sizeof body);
	assert_true(o.modified_ms > INT64_C(1600000000000));
}

static void
test_replace_and_empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "k", "one"), AZ_OK);
	assert_int_equal(put(f, "k", "two"), AZ_OK);
	assert_string_equal(get(f, "k"), "two");
	assert_int_equal(put(f, "k", ""), AZ_OK);
	assert_string_equal(get(f, "k"), "");
}

static void
test_missing(void **state)
{
	struct fixture *f = *state;
	struct az_obj o;
	struct az_err err;
	struct az_get *g;

	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("no"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(
	    az_store_get_open(f->s, &f->b, AZ_S("no/such"), 0, NULL, &g, &err), AZ_ENOTFOUND);
	assert_null(g);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("no/such"), &err), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "");
	assert_int_equal(put(f, "a/b", "x"), AZ_OK);
	/* a prefix is no object, an object no prefix */
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("a"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_stat(f->s, &f->b, AZ_S("a/b/c"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("a"), &err), AZ_OK);
	assert_string_equal(get(f, "a/b"), "x");
}

static void
test_offsets(void **state)
{
	struct fixture *f = *state;
	struct az_get *g;
	struct az_err err;
	char p[16];
	size_t got;

	assert_int_equal(put(f, "k", "0123456789"), AZ_OK);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 7, NULL, &g, &err), AZ_OK);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 3);
	assert_memory_equal(p, "789", 3);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 0);
	az_store_get_close(g);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 10, NULL, &g, &err), AZ_OK);
	az_store_get_close(g);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 11, NULL, &g, &err), AZ_ERANGE);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), -1, NULL, &g, &err), AZ_ERANGE);
}

static void
test_nothing_visible_before_commit(void **state)
{
	struct fixture *f = *state;
	struct az_put *p;
	struct az_err err;

	assert_int_equal(put(f, "k", "old"), AZ_OK);
	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("k"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("new"), &err), AZ_OK);
	assert_string_equal(get(f, "k"), "old");
	assert_string_equal(keys(f, "", false, 10), "k ");
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(get(f, "k"), "new");

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("gone"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("new"), &err), AZ_OK);
	az_store_put_abort(p);
	assert_null(get(f, "gone"));
	az_store_put_abort(NULL);
}

static void
test_reader_keeps_its_version(void **state)
{
	struct fixture *f = *state;
	struct az_get *g;
	struct az_err err;
	char p[16];
	size_t got;

	assert_int_equal(put(f, "k", "old"), AZ_OK);
	assert_int_equal(az_store_get_open(f->s, &f->b, AZ_S("k"), 0, NULL, &g, &err), AZ_OK);
	assert_int_equal(put(f, "k", "newer"), AZ_OK);
	assert_int_equal(az_store_get_read(g, p, sizeof p, &got, &err), AZ_OK);
	assert_int_equal(got, 3);
	assert_memory_equal(p, "old", 3);
	az_store_get_close(g);
}

static void
test_named_at_the_end(void **state)
{
	struct fixture *f = *state;
	struct az_put *p;
	struct az_err err;

	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("w/tmp-1"), &p, &err), AZ_OK);
	assert_int_equal(az_store_put_write(p, AZ_S("body"), &err), AZ_OK);
	assert_int_equal(az_store_put_name(p, AZ_S("../x"), &err), AZ_EINVAL);
	assert_int_equal(az_store_put_name(p, AZ_S("w/final"), &err), AZ_OK);
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "w/final ");
}

static void
test_file_or_directory(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(put(f, "a/b", "x"), AZ_OK);
	assert_int_equal(put(f, "a", "x"), AZ_ECONFLICT);
	assert_int_equal(put(f, "a/b/c", "x"), AZ_ECONFLICT);
	assert_int_equal(put(f, "a/b/c/d/e", "x"), AZ_ECONFLICT);
	assert_string_equal(keys(f, "", false, 10), "a/b ");
	assert_string_equal(get(f, "a/b"), "x");
}

static void
test_bad_keys(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = {"", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b",
	    "a\\b", "a\nb", "a\x7f", "\xff", "c:/x", "a/.git/x"};
	char longer[1200];

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(put(f, bad[i], "x"), AZ_EINVAL);
	memset(longer, 'a', sizeof longer);
	longer[256] = '\0';
	assert_int_equal(put(f, longer, "x"), AZ_EINVAL);
	assert_string_equal(keys(f, "", false, 10), "");
}

static void
test_foreign_bucket_name(void **state)
{
	struct fixture *f = *state;
	struct az_bucket bad = {"../../etc"};
	struct az_err err;

	assert_int_equal(az_store_put(f->s, &bad, AZ_S("k"), AZ_S("x"), &err), AZ_EINTERNAL);
}

static void
test_list_is_bytewise_over_whole_keys(void **state)
{
	struct fixture *f = *state;
	static const char *const in[] = {
	    "a/b", "a.b", "a0", "a-/x", "a/a/z", "a/a.txt", "b", "a/a0", "A"};
	const char *want = "A a-/x a.b a/a.txt a/a/z a/a0 a/b a0 b ";

	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		assert_int_equal(put(f, in[i], "x"), AZ_OK);
	for (int limit = 1; limit <= 12; limit++)
		assert_string_equal(keys(f, "", false, limit), want);
	assert_string_equal(keys(f, "a/", false, 3), "a/a.txt a/a/z a/a0 a/b ");
	assert_string_equal(keys(f, "a/a", false, 2), "a/a.txt a/a/z a/a0 ");
	assert_string_equal(keys(f, "a/a/", false, 2), "a/a/z ");
	assert_string_equal(keys(f, "a/b", false, 2), "a/b ");
	assert_string_equal(keys(f, "zz", false, 2), "");
}

static void
test_list_one_level(void **state)
{
	struct fixture *f = *state;
	static const char *const in[] = {"a/b", "a.b", "a/c/d", "a/c/e", "b", "c/x/y"};

	for (size_t i = 0; i < sizeof in / sizeof *in; i++)
		assert_int_equal(put(f, in[i], "x"), AZ_OK);
	for (int limit = 1; limit <= 5; limit++) {
		assert_string_equal(keys(f, "", true, limit), "a.b a/ b c/ ");
		assert_string_equal(keys(f, "a/", true, limit), "a/b a/c/ ");
		assert_string_equal(keys(f, "a", true, limit), "a.b a/ ");
	}
}

static void
test_list_many_in_one_directory(void **state)
{
	struct fixture *f = *state;
	struct az_buf want;
	char key[32];

	az_buf_init(&want, 1 << 16);
	for (int i = 0; i < 300; i++) {
		snprintf(key, sizeof key, "d/%03d", (i * 7) % 300);
		assert_int_equal(put(f, key, "x"), AZ_OK);
	}
	for (int i = 0; i < 300; i++)
		az_buf_addf(&want, "d/%03d ", i);
	assert_string_equal(keys(f, "", false, 7), want.p);
	assert_string_equal(keys(f, "d/", true, 11), want.p);
	az_buf_release(&want);
}

static void
test_list_after(void **state)
{
	struct fixture *f = *state;
	struct az_store_list q = {.after = AZ_S("a/b"), .limit = 10};
	struct az_store_page p;
	struct az_err err;

	put(f, "a/a", "x");
	put(f, "a/b", "x");
	put(f, "a/c", "xy");
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	assert_true(az_str_eqc(p.objs[0].key, "a/c"));
	assert_int_equal(p.objs[0].bytes, 2);
	q.after = AZ_S("a/bz/../.."); /* any bytes, only compared */
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_OK);
	assert_int_equal(p.n, 1);
	q.limit = 0;
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_EINVAL);
	q = (struct az_store_list){.prefix = AZ_S("../"), .limit = 1};
	assert_int_equal(az_store_list(f->s, &f->b, &q, f->a, &p, &err), AZ_EINVAL);
}

static void
test_remove(void **state)
{
	struct fixture *f = *state;
	struct az_err err;

	put(f, "w/a/b/c", "x");
	put(f, "w/a/d", "x");
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/b/c"), &err), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "w/a/d ");
	/* the parent that became empty does not occupy its name */
	assert_int_equal(put(f, "w/a/b", "file now"), AZ_OK);
	assert_string_equal(keys(f, "", true, 10), "w/ ");
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/b"), &err), AZ_OK);
	assert_int_equal(az_store_remove(f->s, &f->b, AZ_S("w/a/d"), &err), AZ_OK);
	assert_string_equal(keys(f, "", true, 10), "");
}

static void
test_remove_prefix(void **state)
{
	struct fixture *f = *state;
	struct az_err err;

	put(f, "user-1/a/b", "x");
	put(f, "user-1/c", "x");
	put(f, "user-12/c", "x");
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1"), &err), AZ_EINVAL);
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1/"), &err), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "user-12/c ");
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-1/"), &err), AZ_OK);
	/* an object of that name is not below the prefix */
	assert_int_equal(az_store_remove_prefix(f->s, &f->b, AZ_S("user-12/c/"), &err), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "user-12/c ");
}

static void
test_buckets_are_apart(void **state)
{
	struct fixture *f = *state;
	struct az_bucket bob = az_bucket_of(AZ_S("bob"));
	struct az_obj o;
	struct az_err err;

	put(f, "k", "alice's");
	assert_int_equal(az_store_stat(f->s, &bob, AZ_S("k"), &o, &err), AZ_ENOTFOUND);
	assert_int_equal(az_store_put(f->s, &bob, AZ_S("k"), AZ_S("bob's"), &err), AZ_OK);
	assert_int_equal(az_store_remove_bucket(f->s, &bob, &err), AZ_OK);
	assert_int_equal(az_store_remove_bucket(f->s, &bob, &err), AZ_OK);
	assert_int_equal(az_store_stat(f->s, &bob, AZ_S("k"), &o, &err), AZ_ENOTFOUND);
	assert_string_equal(get(f, "k"), "alice's");
}

static void
test_put_if(void **state)
{
	struct fixture *f = *state;
	struct az_str none = {NULL, 0};
	struct az_err err;

	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v0"), AZ_S("v1"), &err), AZ_EPRECOND);
	assert_int_equal(az_store_put_if(f->s, &f->b, AZ_S("m"), none, AZ_S("v1"), &err), AZ_OK);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), none, AZ_S("v2"), &err), AZ_EPRECOND);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v0"), AZ_S("v2"), &err), AZ_EPRECOND);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v"), AZ_S("v2"), &err), AZ_EPRECOND);
	assert_string_equal(get(f, "m"), "v1");
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S("v1"), AZ_S(""), &err), AZ_OK);
	assert_int_equal(
	    az_store_put_if(f->s, &f->b, AZ_S("m"), AZ_S(""), AZ_S("v3"), &err), AZ_OK);
	assert_string_equal(get(f, "m"), "v3");
}

static void *
racer(void *arg)
{
	struct fixture *f = arg;

	/* each adds one byte, starting over when another was faster */
	for (int done = 0; done < 20;) {
		struct az_buf now;
		char next[256];
		struct az_err err;
		bool there;
		enum az_code rc;

		az_buf_init(&now, 200);
		there = az_store_get(f->s, &f->b, AZ_S("m"), &now, &err) == AZ_OK;
		memset(next, 'x', sizeof next);
		rc = az_store_put_if(f->s, &f->b, AZ_S("m"),
		    there ? az_str_n(now.p ? now.p : "", now.n) : (struct az_str){NULL, 0},
		    az_str_n(next, now.n + 1), &err);
		if (rc == AZ_OK)
			done++;
		else if (rc != AZ_EPRECOND)
			return f;
		az_buf_release(&now);
	}
	return NULL;
}

static void
test_put_if_loses_no_writer(void **state)
{
	struct fixture *f = *state;
	pthread_t t[4];
	void *r;

	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, racer, f), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], &r), 0);
		assert_null(r);
	}
	assert_int_equal(strlen(get(f, "m")), 80);
}

/* ---- the directory alone ---- */

static void
test_dir_files_are_readable_by_group(void **state)
{
	struct fixture *f = *state;
	mode_t old = umask(0077);
	char p[256];
	struct stat st;

	put(f, "w/.azlon/x", "body");
	umask(old);
	snprintf(p, sizeof p, "%s/%s/w/.azlon/x", f->root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	snprintf(p, sizeof p, "%s/%s/w/.azlon", f->root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	snprintf(p, sizeof p, "%s/%s", f->root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
}

static void
test_dir_links_lead_nowhere(void **state)
{
	struct fixture *f = *state;
	struct az_obj o;
	struct az_err err;
	char p[256];

	put(f, "w/a", "x");
	snprintf(p, sizeof p, "%s/%s/w/link", f->root, f->b.name);
	assert_int_equal(symlink("/etc/passwd", p), 0);
	snprintf(p, sizeof p, "%s/%s/etc", f->root, f->b.name);
	assert_int_equal(symlink("/etc", p), 0);
	assert_int_not_equal(az_store_stat(f->s, &f->b, AZ_S("w/link"), &o, &err), AZ_OK);
	assert_int_not_equal(az_store_stat(f->s, &f->b, AZ_S("etc/passwd"), &o, &err), AZ_OK);
	assert_int_not_equal(put(f, "etc/azlon-test", "x"), AZ_OK);
	assert_string_equal(keys(f, "", false, 10), "w/a ");
}

static void
test_dir_hollow_directories_do_not_count(void **state)
{
	struct fixture *f = *state;
	char p[256];

	put(f, "w/a", "x");
	snprintf(p, sizeof p, "%s/%s/v", f->root, f->b.name);
	assert_int_equal(mkdir(p, 0700), 0);
	strcat(p, "/u");
	assert_int_equal(mkdir(p, 0700), 0);
	assert_string_equal(keys(f, "", true, 10), "w/ ");
	assert_int_equal(put(f, "v", "file"), AZ_OK);
	assert_string_equal(get(f, "v"), "file");
}

static void
test_dir_accel(void **state)
{
	struct fixture *f = *state;
	struct az_buf b, want;
	struct az_err err;

	az_buf_init(&b, 4096);
	az_buf_init(&want, 4096);
	assert_int_equal(az_store_accel(f->s, &f->b, AZ_S("w/a b?c%/é"), &b, &err), AZ_OK);
	az_buf_addf(&want, "/_dir/%s/w/a%%20b%%3Fc%%25/%%C3%%A9", f->b.name);
	assert_string_equal(b.p, want.p);
	az_buf_release(&b);
	az_buf_release(&want);
}

static void
test_dir_leftovers_are_swept(void **state)
{
	struct fixture *f = *state;
	struct az_store *again;
	struct az_put *p;
	struct az_err err;
	char path[256], dir[128] = "";
	int fd[2], status;
	pid_t pid;

	/* a process that dies in the middle of an upload, and says where */
	assert_int_equal(pipe(fd), 0);
	pid = fork();
	if (pid == 0) {
		struct az_store *s;
		char in[128];
		ssize_t n;

		if (az_store_dir_open(f->root, &s, &err) ||
		    az_store_put_open(s, &f->b, AZ_S("k"), &p, &err))
			_exit(1);
		/* its own directory is the one its newest fd points into */
		for (int i = 3; i < 64; i++) {
			snprintf(path, sizeof path, "/proc/self/fd/%d", i);
			n = readlink(path, in, sizeof in - 1);
			if (n <= 0)
				continue;
			in[n] = '\0';
			if (strstr(in, "/.tmp/") && strlen(strstr(in, "/.tmp/")) > 6 + 26 + 1 &&
			    write(fd[1], in, (size_t)n) == n)
				_exit(0);
		}
		_exit(2);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(read(fd[0], dir, sizeof dir - 1) > 0);
	close(fd[0]);
	close(fd[1]);
	assert_int_equal(access(dir, F_OK), 0);
	/* an upload of a living process stays */
	assert_int_equal(az_store_put_open(f->s, &f->b, AZ_S("mine"), &p, &err), AZ_OK);
	assert_int_equal(az_store_dir_open(f->root, &again, &err), AZ_OK);
	assert_int_equal(access(dir, F_OK), -1);
	az_store_close(again);
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(get(f, "mine"), "");
}

static bool
write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && az_write_all(fd, text, strlen(text)) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Namespaces of our own in which this user may mount. */
static bool
may_mount(void)
{
	char uid[32], gid[32];

	snprintf(uid, sizeof uid, "0 %d 1", (int)geteuid());
	snprintf(gid, sizeof gid, "0 %d 1", (int)getegid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 &&
	       write_text("/proc/self/setgroups", "deny") &&
	       write_text("/proc/self/uid_map", uid) && write_text("/proc/self/gid_map", gid);
}

/* In a mount namespace of its own, on a file system of 64 KiB; its exit status. */
static int
fill_small_disk(const struct fixture *f)
{
	static char big[256 << 10];
	struct az_store *s;
	struct az_err err;
	struct az_buf b;

	if (!may_mount() || mount("none", f->root, "tmpfs", 0, "size=64k") < 0)
		return 77;
	if (az_store_dir_open(f->root, &s, &err) ||
	    az_store_put(s, &f->b, AZ_S("k"), AZ_S("old"), &err))
		return 1;
	if (az_store_put(s, &f->b, AZ_S("k"), az_str_n(big, sizeof big), &err) != AZ_EUNAVAIL ||
	    strcmp(err.reason, "store_full") != 0)
		return 2;
	/* the failed upload gave its room back, and nothing is lost */
	az_buf_init(&b, 100);
	if (az_store_get(s, &f->b, AZ_S("k"), &b, &err) || !az_str_eqc(az_buf_str(&b), "old") ||
	    az_store_put(s, &f->b, AZ_S("k"), az_str_n(big, 16 << 10), &err))
		return 3;
	az_buf_release(&b);
	az_store_close(s);
	return 0;
}

static void
test_dir_full_disk(void **state)
{
	struct fixture *f = *state;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fill_small_disk(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip(); /* no namespaces on this host */
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_dir_ping_notices_loss(void **state)
{
	struct fixture *f = *state;
	struct az_err err;

	assert_int_equal(az_store_ping(f->s, &err), AZ_OK);
	assert_int_equal(remove_tmp(f->root), 0);
	assert_int_equal(az_store_ping(f->s, &err), AZ_EUNAVAIL);
	assert_int_equal(mkdir(f->root, 0700), 0);
}

#define BOTH(t)                                                                                    \
	{"dir: " #t, t, setup_dir, teardown, NULL},                                                \
	{                                                                                          \
		"mem: " #t, t, setup_mem, teardown, NULL                                           \
	}
#define DIR_ONLY(t)                                                                                \
	{                                                                                          \
#t, t, setup_dir, teardown, NULL                                                   \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(test_body_comes_back),
	    BOTH(test_replace_and_empty),
	    BOTH(test_missing),
	    BOTH(test_offsets),
	    BOTH(test_nothing_visible_before_commit),
	    BOTH(test_reader_keeps_its_version),
	    BOTH(test_named_at_the_end),
	    BOTH(test_file_or_directory),
	    BOTH(test_bad_keys),
	    BOTH(test_foreign_bucket_name),
	    BOTH(test_list_is_bytewise_over_whole_keys),
	    BOTH(test_list_one_level),
	    BOTH(test_list_many_in_one_directory),
	    BOTH(test_list_after),
	    BOTH(test_remove),
	    BOTH(test_remove_prefix),
	    BOTH(test_buckets_are_apart),
	    BOTH(test_put_if),
	    BOTH(test_put_if_loses_no_writer),
	    DIR_ONLY(test_dir_files_are_readable_by_group),
	    DIR_ONLY(test_dir_links_lead_nowhere),
	    DIR_ONLY(test_dir_hollow_directories_do_not_count),
	    DIR_ONLY(test_dir_accel),
	    DIR_ONLY(test_dir_leftovers_are_swept),
	    DIR_ONLY(test_dir_full_disk),
	    DIR_ONLY(test_dir_ping_notices_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
