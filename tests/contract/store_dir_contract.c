/* The store contract on a directory, and what the directory alone promises. */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/limits.h>
#include <azlon/path.h>
#include "store_suite.h"
#include "skip.h"

static char root[64];

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
setup(void **state)
{
	struct store_fix *f = calloc(1, sizeof *f);
	struct az_err err;

	f->b = az_bucket_of(AZ_S("alice"));
	f->a = az_arena_new(AZ_MIB(16));
	strcpy(root, "/tmp/azlon-store-XXXXXX");
	assert_non_null(mkdtemp(root));
	assert_int_equal(az_store_dir_open(root, &f->s, &err), AZ_OK);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct store_fix *f = *state;

	az_store_close(f->s);
	assert_int_equal(remove_tmp(root), 0);
	az_arena_free(f->a);
	free(f);
	return 0;
}

static void
test_dir_files_are_readable_by_group(void **state)
{
	struct store_fix *f = *state;
	mode_t old = umask(0077);
	char p[256];
	struct stat st;

	store_put(f, "w/.azlon/x", "body");
	umask(old);
	snprintf(p, sizeof p, "%s/%s/w/.azlon/x", root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	snprintf(p, sizeof p, "%s/%s/w/.azlon", root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
	snprintf(p, sizeof p, "%s/%s", root, f->b.name);
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0750);
}

static void
test_dir_links_lead_nowhere(void **state)
{
	struct store_fix *f = *state;
	struct az_obj o;
	struct az_err err;
	char p[256];

	store_put(f, "w/a", "x");
	snprintf(p, sizeof p, "%s/%s/w/link", root, f->b.name);
	assert_int_equal(symlink("/etc/passwd", p), 0);
	snprintf(p, sizeof p, "%s/%s/etc", root, f->b.name);
	assert_int_equal(symlink("/etc", p), 0);
	assert_int_not_equal(az_store_stat(f->s, &f->b, AZ_S("w/link"), &o, &err), AZ_OK);
	assert_int_not_equal(az_store_stat(f->s, &f->b, AZ_S("etc/passwd"), &o, &err), AZ_OK);
	assert_int_not_equal(store_put(f, "etc/azlon-test", "x"), AZ_OK);
	assert_string_equal(store_keys(f, "", false, 10), "w/a ");
}

static void
test_dir_hollow_directories_do_not_count(void **state)
{
	struct store_fix *f = *state;
	char p[256];

	store_put(f, "w/a", "x");
	snprintf(p, sizeof p, "%s/%s/v", root, f->b.name);
	assert_int_equal(mkdir(p, 0700), 0);
	strcat(p, "/u");
	assert_int_equal(mkdir(p, 0700), 0);
	assert_string_equal(store_keys(f, "", true, 10), "w/ ");
	assert_int_equal(store_put(f, "v", "file"), AZ_OK);
	assert_string_equal(store_get(f, "v"), "file");
}

static void
test_dir_accel(void **state)
{
	struct store_fix *f = *state;
	struct az_buf b, want, path;
	struct az_err err;

	az_buf_init(&b, 4096);
	az_buf_init(&want, 4096);
	az_buf_init(&path, 4096);
	assert_int_equal(
	    az_store_accel(f->s, &f->b, AZ_S("w/a b?c%/é"), "GET", "text/plain", &b, &path, &err),
	    AZ_OK);
	assert_int_equal(path.n, 0);
	az_buf_release(&path);
	az_buf_addf(&want, "/_dir/%s/w/a%%20b%%3Fc%%25/%%C3%%A9", f->b.name);
	assert_string_equal(b.p, want.p);
	az_buf_release(&b);
	az_buf_release(&want);
}

static void
test_dir_leftovers_are_swept(void **state)
{
	struct store_fix *f = *state;
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

		if (az_store_dir_open(root, &s, &err) ||
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
	assert_int_equal(az_store_dir_open(root, &again, &err), AZ_OK);
	assert_int_equal(access(dir, F_OK), -1);
	az_store_close(again);
	assert_int_equal(az_store_put_commit(p, &err), AZ_OK);
	assert_string_equal(store_get(f, "mine"), "");
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
fill_small_disk(const struct store_fix *f)
{
	static char big[256 << 10];
	struct az_store *s;
	struct az_err err;
	struct az_buf b;

	if (!may_mount() || mount("none", root, "tmpfs", 0, "size=64k") < 0)
		return 77;
	if (az_store_dir_open(root, &s, &err) ||
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
	struct store_fix *f = *state;
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fill_small_disk(f));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		SKIP("no namespaces on this host");
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_dir_ping_notices_loss(void **state)
{
	struct store_fix *f = *state;
	struct az_err err;

	assert_int_equal(az_store_ping(f->s, &err), AZ_OK);
	assert_int_equal(remove_tmp(root), 0);
	assert_int_equal(az_store_ping(f->s, &err), AZ_EUNAVAIL);
	assert_int_equal(mkdir(root, 0700), 0);
}

#define DIR_ONLY(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_SUITE("dir", setup, teardown),
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
