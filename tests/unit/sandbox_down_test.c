/* Many files out of a sandbox in few requests. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <azlon/multipart.h>
#include <azlon/path.h>
#include "e2b_fixture.h"

#define START "POST /process.Process/Start"
#define FORM "POST /files "
#define ONE "POST /files?path="
#define GET "GET /files?path="

/* ---- down ---- */

struct tree {
	char dir[40];
	int fd;
};

static void
put(struct tree *t, const char *name, const char *text)
{
	int fd = openat(t->fd, name, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
tree_start(struct tree *t)
{
	strcpy(t->dir, "/tmp/az-tree-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	t->fd = open(t->dir, O_RDONLY | O_DIRECTORY);
	assert_true(t->fd >= 0);
}

static void
tree_stop(struct tree *t)
{
	int tmp = open("/tmp", O_RDONLY | O_DIRECTORY);

	assert_int_equal(az_remove_tree(tmp, t->dir + 5), 0);
	close(tmp);
	close(t->fd);
}

/* What a real tar writes of these names. */
static void
real_tar(struct tree *t, const char *const *names, struct az_buf *out)
{
	const char *argv[64] = {"tar", "-c", "-f", "-", "-C", t->dir, "--"};
	char chunk[4096];
	int p[2], st;
	ssize_t k;
	pid_t pid;
	size_t n = 7;

	while (*names)
		argv[n++] = *names++;
	argv[n] = NULL;
	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (!pid) {
		dup2(p[1], 1);
		close(p[0]);
		close(p[1]);
		execvp("tar", (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(p[1]);
	while ((k = read(p[0], chunk, sizeof chunk)) > 0)
		az_buf_add(out, chunk, (size_t)k);
	close(p[0]);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_int_equal(st, 0);
}

struct taken {
	struct az_buf log, body; /* log: "i=body;" or "i!;" in the order they ended */
	int too_much;            /* this one is refused at its first byte; -1 none */
	size_t i;
	bool open;
};

static enum az_code
t_begin(void *arg, size_t i, struct az_err *err)
{
	struct taken *t = arg;

	(void)err;
	assert_false(t->open);
	t->open = true;
	t->i = i;
	az_buf_reset(&t->body);
	return AZ_OK;
}

static enum az_code
t_data(void *arg, struct az_str s, struct az_err *err)
{
	struct taken *t = arg;

	assert_true(t->open);
	if ((int)t->i == t->too_much)
		return az_fail(err, AZ_ETOOBIG, "test", "enough");
	az_buf_adds(&t->body, s);
	return AZ_OK;
}

static enum az_code
t_end(void *arg, size_t i, bool whole, struct az_err *err)
{
	struct taken *t = arg;

	(void)err;
	assert_true(t->open && i == t->i);
	t->open = false;
	if (whole)
		az_buf_addf(&t->log, "%zu=%s;", i, t->body.p ? t->body.p : "");
	else
		az_buf_addf(&t->log, "%zu!;", i);
	return AZ_OK;
}

static enum az_code
down(struct fix *f, struct taken *t, const char *const *names, int64_t bytes)
{
	struct az_sb_get v[32];
	size_t n = 0;

	az_buf_init(&t->log, AZ_KIB(64));
	az_buf_init(&t->body, AZ_MIB(4));
	for (; names[n]; n++)
		v[n] = (struct az_sb_get){names[n], bytes};
	return az_sandbox_fetch(f->sb, &f->ref,
	    &(struct az_sb_gets){.dir = "/home/user/app",
		.v = v,
		.n = n,
		.begin = t_begin,
		.data = t_data,
		.end = t_end,
		.arg = t},
	    &f->err);
}

static void
taken_release(struct taken *t)
{
	assert_false(t->open);
	az_buf_release(&t->log);
	az_buf_release(&t->body);
}

static const char *const files[] = {"a.txt", "b.txt", "c.txt", "d.txt", NULL};

static void
many_files_come_down_in_one_request(void **state)
{
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct taken t = {.too_much = -1};
	struct tree tree;
	struct az_buf tar;

	(void)state;
	tree_start(&tree);
	put(&tree, "a.txt", "one");
	put(&tree, "b.txt", "");
	put(&tree, "c.txt", "three");
	put(&tree, "d.txt", "four");
	az_buf_init(&tar, AZ_MIB(1));
	real_tar(&tree, files, &tar);
	r[0].step[0] = printed(&f, az_buf_str(&tar), 0);
	fix_start(&f, r, 1);
	assert_int_equal(down(&f, &t, files, 10), AZ_OK);
	assert_string_equal(t.log.p, "0=one;1=;2=three;3=four;");
	print_message("# 4 files down: %d request\n", http_peer_requests(f.peer));
	assert_int_equal(http_peer_requests(f.peer), 1);
	assert_true(sent(&f, 0,
	    "\"cmd\":\"tar\",\"args\":[\"-c\",\"-f\",\"-\",\"-C\",\"/home/user/app\",\"--\","
	    "\"a.txt\",\"b.txt\",\"c.txt\",\"d.txt\"]"));
	/* not one that a program put in its own place */
	assert_true(sent(&f, 0, "\"PATH\":\"/usr/local/sbin:"));
	taken_release(&t);
	az_buf_release(&tar);
	tree_stop(&tree);
	fix_stop(&f);
}

/* Between the listing and the tar files became links; what was not asked for comes too. */
static void
what_a_hostile_tar_holds_is_passed_over(void **state)
{
	static const char *const packed[] = {
	    "a.txt", "evil", "b.txt", "c.txt", "d.txt", "a.txt", NULL};
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}, {GET, {{0}}, 1, 0}};
	struct taken t = {.too_much = -1};
	struct tree tree;
	struct az_buf tar;

	(void)state;
	tree_start(&tree);
	put(&tree, "a.txt", "one");
	put(&tree, "evil", "not asked for");
	assert_int_equal(symlinkat("/etc/passwd", tree.fd, "b.txt"), 0);
	assert_int_equal(linkat(tree.fd, "a.txt", tree.fd, "c.txt", 0), 0);
	assert_int_equal(mkfifoat(tree.fd, "d.txt", 0600), 0);
	az_buf_init(&tar, AZ_MIB(1));
	real_tar(&tree, packed, &tar);
	r[0].step[0] = printed(&f, az_buf_str(&tar), 0);
	r[1].step[0] = answer(&f, 200, "", "the second name");
	fix_start(&f, r, 2);
	assert_int_equal(down(&f, &t, files, 10), AZ_OK);
	/* a second name of a file has no bytes of its own in a tar */
	assert_string_equal(t.log.p, "0=one;1!;3!;2=the second name;");
	assert_int_equal(asked(&f, GET "/home/user/app/c.txt"), 1);
	assert_int_equal(http_peer_requests(f.peer), 2);
	taken_release(&t);
	az_buf_release(&tar);
	tree_stop(&tree);
	fix_stop(&f);
}

static void
without_a_usable_tar_files_come_singly(void **state)
{
	static const struct {
		int code;
		size_t cut; /* bytes of the tar that come */
		const char *want;
		int singles;
	} t[] = {
	    {127, 0, "0=x;1=x;2=x;3=x;", 4},
	    {2, 10000, "0=x;1=x;2=x;3=x;", 4},
	    {0, 100, "0=x;1=x;2=x;3=x;", 4},
	    {0, 512 + 512 + 512 + 2, "0=one;1!;1=x;2=x;3=x;", 3}, /* cut inside the second */
	    {0, 0, "0=x;1=x;2=x;3=x;", 4},
	};
	struct tree tree;
	struct az_buf tar;

	(void)state;
	tree_start(&tree);
	put(&tree, "a.txt", "one");
	put(&tree, "b.txt", "two");
	put(&tree, "c.txt", "three");
	put(&tree, "d.txt", "four");
	az_buf_init(&tar, AZ_MIB(1));
	real_tar(&tree, files, &tar);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {{START, {{0}}, 1, 0}, {GET, {{0}}, 1, 0}};
		struct taken got = {.too_much = -1};

		r[0].step[0] = printed(&f, az_str_sub(az_buf_str(&tar), 0, t[i].cut), t[i].code);
		r[1].step[0] = answer(&f, 200, "", "x");
		fix_start(&f, r, 2);
		assert_int_equal(down(&f, &got, files, 10), AZ_OK);
		assert_string_equal(got.log.p, t[i].want);
		assert_int_equal(asked(&f, START), 1);
		assert_int_equal(asked(&f, GET), t[i].singles);
		taken_release(&got);
		fix_stop(&f);
	}
	az_buf_release(&tar);
	tree_stop(&tree);
}

/* More than was listed comes: the command is ended, nothing piles up. */
static void
a_tar_without_end_is_refused(void **state)
{
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}, {"POST /process.Process/SendSignal", {{0}}, 1, 0},
	    {GET, {{0}}, 1, 0}};
	struct taken t = {.too_much = -1};
	char *flood = test_calloc(1, AZ_MIB(1));

	(void)state;
	r[0].step[0] = printed(&f, az_str_n(flood, AZ_MIB(1)), 0);
	r[1].step[0] = answer(&f, 200, "", "{}");
	r[2].step[0] = answer(&f, 404, "", "{\"code\":404,\"message\":\"none\"}");
	fix_start(&f, r, 3);
	assert_int_equal(down(&f, &t, files, 10), AZ_OK);
	assert_string_equal(t.log.p, "0!;1!;2!;3!;");
	assert_int_equal(asked(&f, "POST /process.Process/SendSignal"), 1);
	taken_release(&t);
	test_free(flood);
	fix_stop(&f);
}

static void
a_reader_may_have_enough_of_one(void **state)
{
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct taken t = {.too_much = 1};
	struct tree tree;
	struct az_buf tar;

	(void)state;
	tree_start(&tree);
	for (int i = 0; files[i]; i++)
		put(&tree, files[i], "text");
	az_buf_init(&tar, AZ_MIB(1));
	real_tar(&tree, files, &tar);
	r[0].step[0] = printed(&f, az_buf_str(&tar), 0);
	fix_start(&f, r, 1);
	assert_int_equal(down(&f, &t, files, 10), AZ_OK);
	assert_string_equal(t.log.p, "0=text;1!;2=text;3=text;");
	taken_release(&t);
	az_buf_release(&tar);
	tree_stop(&tree);
	fix_stop(&f);
}

static void
large_files_come_down_alone(void **state)
{
	struct fix f = {0};
	struct route r[] = {{GET, {{0}}, 2, 0}};
	struct taken t = {.too_much = 1};

	(void)state;
	r[0].step[0] = answer(&f, 200, "", "large");
	r[0].step[1] = answer(&f, 200, "", "large");
	fix_start(&f, r, 1);
	assert_int_equal(down(&f, &t, files, (int64_t)AZ_MIB(2)), AZ_OK);
	assert_string_equal(t.log.p, "0=large;1!;2=large;3=large;");
	assert_int_equal(asked(&f, START), 0);
	taken_release(&t);
	fix_stop(&f);
}

static void
a_sandbox_that_goes_meanwhile(void **state)
{
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct taken t = {.too_much = -1};

	(void)state;
	r[0].step[0] =
	    answer(&f, 502, "", "{\"message\":\"The sandbox was not found\",\"code\":502}");
	fix_start(&f, r, 1);
	assert_int_equal(down(&f, &t, files, 10), AZ_ENOTFOUND);
	assert_true(az_sandbox_is_gone(&f.err));
	assert_int_equal(http_peer_requests(f.peer), 1);
	taken_release(&t);
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_files_come_down_in_one_request),
	    cmocka_unit_test(what_a_hostile_tar_holds_is_passed_over),
	    cmocka_unit_test(without_a_usable_tar_files_come_singly),
	    cmocka_unit_test(a_tar_without_end_is_refused),
	    cmocka_unit_test(a_reader_may_have_enough_of_one),
	    cmocka_unit_test(large_files_come_down_alone),
	    cmocka_unit_test(a_sandbox_that_goes_meanwhile),
	};

	return cmocka_run_group_tests_name("sandbox_tree", tests, NULL, NULL);
}
