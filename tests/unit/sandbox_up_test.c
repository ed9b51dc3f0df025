/* Many files into a sandbox in few requests. */
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
	};

	return cmocka_run_group_tests_name("sandbox_tree", tests, NULL, NULL);
}
