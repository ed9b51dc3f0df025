/* Whole trees in few requests, as drawings; packages by name. */
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

/* ---- up ---- */

struct source {
	size_t n, i;
	int64_t at, size; /* of each file */
	int opened, fail_at;
};

static char
byte_of(size_t file, int64_t at)
{
	return (char)(file * 31 + (size_t)at * 7);
}

static enum az_code
src_open(void *arg, size_t i, struct az_err *err)
{
	struct source *s = arg;

	if (++s->opened == s->fail_at)
		return az_fail(err, AZ_EIO, "test", "the disk broke");
	s->i = i;
	s->at = 0;
	return AZ_OK;
}

static enum az_code
src_read(void *arg, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct source *s = arg;

	(void)err;
	for (*got = 0; *got < n && *got < 1000 && s->at < s->size; ++*got)
		p[*got] = byte_of(s->i, s->at++);
	return AZ_OK;
}

static enum az_code
up(struct fix *f, struct source *s, const char *odd_name)
{
	struct az_sb_put *v = test_calloc(s->n, sizeof *v);
	char(*names)[60] = test_calloc(s->n, sizeof *names);
	enum az_code rc;

	for (size_t i = 0; i < s->n; i++) {
		snprintf(names[i], sizeof names[i], "/home/user/app/dir %zu/ä-%zu.txt", i % 7, i);
		v[i] = (struct az_sb_put){names[i], s->size};
	}
	if (odd_name)
		v[s->n - 1].path = odd_name;
	rc = az_sandbox_upload_many(f->sb, &f->ref,
	    &(struct az_sb_puts){.v = v, .n = s->n, .open = src_open, .read = src_read, .arg = s},
	    &f->err);
	test_free(v);
	test_free(names);
	return rc;
}

/* An answer that names n written files. */
static struct http_peer_step
written(struct fix *f, int n)
{
	struct az_buf b;
	struct http_peer_step s;

	az_buf_init(&b, AZ_KIB(64));
	for (int i = 0; i < n; i++)
		az_buf_addf(
		    &b, "%c{\"name\":\"a\",\"path\":\"/a\",\"type\":\"file\"}", i ? ',' : '[');
	az_buf_addch(&b, ']');
	s = answer(f, 200, "", b.p);
	az_buf_release(&b);
	return s;
}

struct parts {
	size_t n;
	int64_t at;
};

static enum az_code
part_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	struct parts *q = arg;
	char name[60];

	(void)err;
	snprintf(name, sizeof name, "/home/user/app/dir %zu/ä-%zu.txt", q->n % 7, q->n);
	assert_true(az_str_eqc(p->name, "file"));
	assert_true(az_str_eqc(p->filename, name));
	q->at = 0;
	return AZ_OK;
}

static enum az_code
part_data(void *arg, struct az_str s, struct az_err *err)
{
	struct parts *q = arg;

	(void)err;
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.p[i], byte_of(q->n, q->at++));
	return AZ_OK;
}

static enum az_code
part_end(void *arg, struct az_err *err)
{
	(void)err;
	((struct parts *)arg)->n++;
	return AZ_OK;
}

/* Every file arrived once, in order, as it was: read by our own server's parser. */
static void
read_forms(struct fix *f, struct parts *q)
{
	int i = nth(f, FORM, 0), k = 0;

	for (; i >= 0; i = nth(f, FORM, ++k)) {
		struct az_multipart_sink sink = {part_begin, part_data, part_end, q};
		const char *r = http_peer_request(f->peer, i, NULL), *body, *type;
		struct az_multipart m;
		size_t n = 0;

		http_peer_request(f->peer, i, &n);
		body = strstr(r, "\r\n\r\n") + 4;
		type = strstr(r, "multipart/form-data");
		assert_non_null(type);
		assert_int_equal(
		    az_multipart_init(
			&m, az_str_n(type, (size_t)(strstr(type, "\r\n") - type)), &sink, &f->err),
		    AZ_OK);
		assert_int_equal(az_multipart_feed(&m, az_str_n(body, n), &f->err), AZ_OK);
		assert_int_equal(az_multipart_finish(&m, &f->err), AZ_OK);
		az_multipart_release(&m);
	}
}

static void
many_files_go_up_in_few_requests(void **state)
{
	struct fix f = {0};
	struct route r[] = {{FORM, {{0}}, 3, 0}};
	struct source s = {.n = 250, .size = 3001};
	struct parts q = {.n = 0};

	(void)state;
	r[0].step[0] = r[0].step[1] = written(&f, 100);
	r[0].step[2] = written(&f, 50);
	fix_start(&f, r, 1);
	assert_int_equal(up(&f, &s, NULL), AZ_OK);
	print_message("# 250 files up: %d requests\n", http_peer_requests(f.peer));
	assert_int_equal(http_peer_requests(f.peer), 3);
	read_forms(&f, &q);
	assert_int_equal(q.n, 250);
	fix_stop(&f);
}

static void
empty_files_and_odd_names_arrive(void **state)
{
	struct fix f = {0};
	struct route r[] = {{FORM, {{0}}, 1, 0}, {ONE, {{0}}, 1, 0}};
	struct source s = {.n = 4, .size = 0};
	struct parts q = {.n = 0};

	(void)state;
	r[0].step[0] = written(&f, 3);
	r[1].step[0] = written(&f, 1);
	fix_start(&f, r, 2);
	/* how a quote in a part's head is read differs: such a name travels in a query */
	assert_int_equal(up(&f, &s, "/home/user/app/a\"b"), AZ_OK);
	read_forms(&f, &q);
	assert_int_equal(q.n, 3);
	assert_int_equal(asked(&f, ONE "/home/user/app/a%22b"), 1);
	fix_stop(&f);
}

static void
large_files_go_up_alone(void **state)
{
	struct fix f = {0};
	struct route r[] = {{ONE, {{0}}, 1, 0}};
	struct source s = {.n = 2, .size = (int64_t)AZ_MIB(1) + 1};

	(void)state;
	r[0].step[0] = written(&f, 1);
	fix_start(&f, r, 1);
	assert_int_equal(up(&f, &s, NULL), AZ_OK);
	assert_int_equal(asked(&f, ONE), 2);
	fix_stop(&f);
}

static void
a_form_that_fails(void **state)
{
	static const struct {
		int status;
		const char *body;
		enum az_code want;
	} t[] = {
	    {200, "[{\"path\":\"/a\"}]", AZ_EUPSTREAM}, /* one of two */
	    {200, "[{\"path\":\"/a\"},{}]", AZ_EUPSTREAM},
	    {507, "{\"code\":507,\"message\":\"full\"}", AZ_EINVAL},
	    {502, "{\"message\":\"The sandbox was not found\",\"code\":502}", AZ_ENOTFOUND},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct fix f = {0};
		struct route r[] = {{FORM, {{0}}, 1, 0}};
		struct source s = {.n = 2, .size = 10};

		r[0].step[0] = answer(&f, t[i].status, "", t[i].body);
		fix_start(&f, r, 1);
		assert_int_equal(up(&f, &s, NULL), t[i].want);
		fix_stop(&f);
	}
}

static void
a_service_without_forms_gets_files_singly(void **state)
{
	struct fix f = {0};
	struct route r[] = {{FORM, {{0}}, 1, 0}, {ONE, {{0}}, 1, 0}};
	struct source s = {.n = 3, .size = 10};

	(void)state;
	r[0].step[0] = answer(&f, 501, "", "{\"code\":501,\"message\":\"no forms\"}");
	r[1].step[0] = written(&f, 1);
	fix_start(&f, r, 2);
	assert_int_equal(up(&f, &s, NULL), AZ_OK);
	assert_int_equal(asked(&f, FORM), 1);
	assert_int_equal(asked(&f, ONE), 3);
	fix_stop(&f);
}

static void
a_failing_source_ends_a_form(void **state)
{
	struct fix f = {0};
	struct source s = {.n = 3, .size = 10, .fail_at = 2};

	(void)state;
	fix_start(&f, NULL, 0);
	assert_int_equal(up(&f, &s, NULL), AZ_EIO);
	assert_string_equal(f.err.text, "the disk broke");
	assert_int_equal(asked(&f, "GET /health"), 0);
	fix_stop(&f);
}

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

/* The command prints this and ends so. */
static struct http_peer_step
printed(struct fix *f, struct az_str bytes, int code)
{
	struct az_buf *b = fix_buf(f);
	char end[120];

	frame(b, 0, START_EVENT);
	for (size_t at = 0; at < bytes.n; at += 30000)
		data_frame(b, "stdout", bytes.p + at, az_str_sub(bytes, at, at + 30000).n);
	snprintf(end, sizeof end,
	    "{\"event\":{\"end\":{\"exitCode\":%d,\"exited\":true,\"status\":\"exit status "
	    "%d\"}}}",
	    code, code);
	frame(b, 0, end);
	frame(b, 2, "{}");
	return stream_of(f, b, false);
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

/* ---- drawings ---- */

static void
a_directory_is_drawn(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/ListDir", {{0}}, 1, 0}};
	struct az_buf out;

	(void)state;
	r[0].step[0] = answer(&f, 200, "",
	    "{\"entries\":["
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/app\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app/main.py\",\"size\":\"12\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/app/lib\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app/lib/x.py\",\"size\":\"3\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/app-notes\",\"size\":\"1\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/empty\"},"
	    "{\"type\":\"FILE_TYPE_DIRECTORY\",\"path\":\"/home/user/way\",\"symlinkTarget\":\"/"
	    "\"},"
	    "{\"type\":\"FILE_TYPE_UNSPECIFIED\",\"path\":\"/home/user/pipe\"},"
	    "{\"type\":\"FILE_TYPE_FILE\",\"path\":\"/home/user/z\\u001b[31m\\u202e\"}]}");
	fix_start(&f, r, 1);
	az_buf_init(&out, AZ_KIB(4));
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/home/user", 3, &out, &f.err), AZ_OK);
	assert_string_equal(out.p, "/home/user\n"
				   "├── app-notes (1 bytes)\n"
				   "├── app/\n"
				   "│   ├── lib/\n"
				   "│   │   └── x.py (3 bytes)\n"
				   "│   └── main.py (12 bytes)\n"
				   "├── empty/\n"
				   "├── pipe (special)\n"
				   "├── way (link)\n"
				   "└── z?[31m? (0 bytes)\n");
	assert_true(sent(&f, 0, "{\"path\":\"/home/user\",\"depth\":3}"));
	az_buf_release(&out);
	fix_stop(&f);
}

static void
a_drawing_has_an_end(void **state)
{
	struct fix f = {0};
	struct route r[] = {{"POST /filesystem.Filesystem/ListDir", {{0}}, 2, 0}};
	struct az_buf out, list;
	size_t lines = 0;

	(void)state;
	az_buf_init(&list, AZ_MIB(1));
	az_buf_init(&out, AZ_MIB(1));
	for (int i = 0; i < 3000; i++)
		az_buf_addf(&list, "%s{\"type\":1,\"path\":\"/d/%d/%d\"}",
		    i ? "," : "{\"entries\":[", i / 2, i);
	az_buf_addc(&list, "]}");
	r[0].step[0] = answer(&f, 200, "", list.p);
	r[0].step[1] = answer(&f, 404, "", "{\"code\":\"not_found\",\"message\":\"none\"}");
	fix_start(&f, r, 1);
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/d", 9, &out, &f.err), AZ_OK);
	for (size_t i = 0; i < out.n; i++)
		lines += out.p[i] == '\n';
	assert_int_equal(lines, 2002); /* the title, and that there is more */
	assert_true(az_str_ends(az_buf_str(&out), AZ_S("… and more\n")));
	assert_int_equal(az_sandbox_draw(f.sb, &f.ref, "/d", 9, &out, &f.err), AZ_ENOTFOUND);
	az_buf_release(&out);
	az_buf_release(&list);
	fix_stop(&f);
}

/* ---- packages ---- */

static void
names_of_packages(void **state)
{
	static const struct {
		enum az_sb_manager m;
		bool ok;
		const char *name;
	} t[] = {
	    {AZ_PIP, true, "numpy"},
	    {AZ_PIP, true, "requests[socks]==2.31.0"},
	    {AZ_PIP, true, "zope.interface>=5,<7"},
	    {AZ_PIP, true, "a[b,c-d]~=1.0"},
	    {AZ_PIP, true, "torch==2.1.0+cpu"},
	    {AZ_PIP, true, "x===1.*"},
	    {AZ_PIP, false, ""},
	    {AZ_PIP, false, "-r"},
	    {AZ_PIP, false, "--index-url=http://evil"},
	    {AZ_PIP, false, "./pkg"},
	    {AZ_PIP, false, "/srv/x.whl"},
	    {AZ_PIP, false, "git+https://h/x"},
	    {AZ_PIP, false, "x @ https://h/x.whl"},
	    {AZ_PIP, false, "x;touch y"},
	    {AZ_PIP, false, "x; python_version<'3'"},
	    {AZ_PIP, false, "$(id)"},
	    {AZ_PIP, false, "x y"},
	    {AZ_PIP, false, "x\ny"},
	    {AZ_PIP, false, "x-"},
	    {AZ_PIP, false, "x[y"},
	    {AZ_PIP, false, "x[]"},
	    {AZ_PIP, false, "x=="},
	    {AZ_PIP, false, "x=1"},
	    {AZ_PIP, false, "x==1,"},
	    {AZ_PIP, false, "пакет"},
	    {AZ_NPM, true, "left-pad"},
	    {AZ_NPM, true, "@types/node@20.1.0"},
	    {AZ_NPM, true, "react@^18"},
	    {AZ_NPM, true, "react@latest"},
	    {AZ_NPM, true, "react@>=18.0.0"},
	    {AZ_NPM, false, "-g"},
	    {AZ_NPM, false, "../x"},
	    {AZ_NPM, false, ".x"},
	    {AZ_NPM, false, "user/repo"},
	    {AZ_NPM, false, "file:x"},
	    {AZ_NPM, false, "x@file:../y"},
	    {AZ_NPM, false, "x@npm:y"},
	    {AZ_NPM, false, "x@git+ssh://h/y"},
	    {AZ_NPM, false, "https://h/x.tgz"},
	    {AZ_NPM, false, "@scope"},
	    {AZ_NPM, false, "@/x"},
	    {AZ_NPM, false, "React"},
	    {AZ_NPM, false, "x@"},
	    {AZ_NPM, false, "x@1 2"},
	    {AZ_NPM, false, "x`id`"},
	    {AZ_APT, true, "gcc"},
	    {AZ_APT, true, "g++"},
	    {AZ_APT, true, "libstdc++6"},
	    {AZ_APT, true, "libc6:amd64"},
	    {AZ_APT, true, "curl=7.88.1-10+deb12u5"},
	    {AZ_APT, true, "x11-apps=7.7+9:1~rc1"},
	    {AZ_APT, false, "gcc-"}, /* would remove it */
	    {AZ_APT, false, "gcc+"},
	    {AZ_APT, false, "-y"},
	    {AZ_APT, false, "./x.deb"},
	    {AZ_APT, false, "/srv/x.deb"},
	    {AZ_APT, false, "gcc/unstable"},
	    {AZ_APT, false, "^lib.*"},
	    {AZ_APT, false, "GCC"},
	    {AZ_APT, false, "x"},
	    {AZ_APT, false, "gcc="},
	    {AZ_APT, false, "gcc:"},
	    {AZ_APT, false, "gcc && id"},
	    {(enum az_sb_manager)9, false, "gcc"},
	};
	struct az_err err;

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		enum az_code rc = az_sandbox_package_ok(t[i].m, t[i].name, &err);

		if ((rc == AZ_OK) != t[i].ok)
			fail_msg("%s: %d", t[i].name, (int)rc);
	}
}

static void
packages_are_arguments(void **state)
{
	static const char *const pip[] = {"numpy", "requests[socks]==2.31", NULL};
	static const char *const bad[] = {"numpy", "x;id", NULL};
	struct fix f = {0};
	struct route r[] = {{START, {{0}}, 1, 0}};
	struct az_sb_result res;
	struct az_sb_cmd o = {.timeout_s = 60};

	(void)state;
	r[0].step[0] = printed(&f, AZ_S(""), 0);
	fix_start(&f, r, 1);
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, AZ_PIP, bad, 2, &o, &res, &f.err), AZ_EINVAL);
	assert_non_null(strstr(f.err.text, "x;id"));
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, AZ_PIP, pip, 0, &o, &res, &f.err), AZ_EINVAL);
	assert_int_equal(
	    az_sandbox_install(f.sb, &f.ref, (enum az_sb_manager)9, pip, 1, &o, &res, &f.err),
	    AZ_EINVAL);
	assert_int_equal(http_peer_requests(f.peer), 0);
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_PIP, pip, 2, &o, &res, &f.err), AZ_OK);
	assert_int_equal(res.end, AZ_END_EXITED);
	assert_true(sent(&f, 0, "\"--\",\"numpy\",\"requests[socks]==2.31\"]"));
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_NPM, pip, 1, &o, &res, &f.err), AZ_OK);
	assert_true(sent(&f, 1, "\"cmd\":\"npm\",\"args\":[\"install\""));
	assert_int_equal(az_sandbox_install(f.sb, &f.ref, AZ_APT, pip, 1, &o, &res, &f.err), AZ_OK);
	assert_true(sent(&f, 2, "\"cmd\":\"apt-get\",\"args\":[\"install\",\"-y\""));
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(many_files_go_up_in_few_requests),
	    cmocka_unit_test(empty_files_and_odd_names_arrive),
	    cmocka_unit_test(large_files_go_up_alone),
	    cmocka_unit_test(a_form_that_fails),
	    cmocka_unit_test(a_service_without_forms_gets_files_singly),
	    cmocka_unit_test(a_failing_source_ends_a_form),
	    cmocka_unit_test(many_files_come_down_in_one_request),
	    cmocka_unit_test(what_a_hostile_tar_holds_is_passed_over),
	    cmocka_unit_test(without_a_usable_tar_files_come_singly),
	    cmocka_unit_test(a_tar_without_end_is_refused),
	    cmocka_unit_test(a_reader_may_have_enough_of_one),
	    cmocka_unit_test(large_files_come_down_alone),
	    cmocka_unit_test(a_sandbox_that_goes_meanwhile),
	    cmocka_unit_test(a_directory_is_drawn),
	    cmocka_unit_test(a_drawing_has_an_end),
	    cmocka_unit_test(names_of_packages),
	    cmocka_unit_test(packages_are_arguments),
	};

	return cmocka_run_group_tests_name("sandbox_tree", tests, NULL, NULL);
}
