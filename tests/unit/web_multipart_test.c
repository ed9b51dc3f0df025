/* Forms: what comes out of one, whatever pieces it comes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/multipart.h>

static enum az_code
on_begin(void *arg, const struct az_multipart_part *p, struct az_err *err)
{
	(void)err;
	az_buf_addf(arg, "[%.*s", AZ_FMT(p->name));
	if (p->filename.p)
		az_buf_addf(arg, "|%.*s", AZ_FMT(p->filename));
	if (p->type.n)
		az_buf_addf(arg, "|%.*s", AZ_FMT(p->type));
	az_buf_addch(arg, ']');
	return AZ_OK;
}

static enum az_code
on_data(void *arg, struct az_str b, struct az_err *err)
{
	(void)err;
	assert_true(b.n > 0);
	az_buf_adds(arg, b);
	return AZ_OK;
}

static enum az_code
on_end(void *arg, struct az_err *err)
{
	(void)err;
	az_buf_addc(arg, "[/]");
	return AZ_OK;
}

/* In pieces of step bytes. */
static enum az_code
parse(const char *type, struct az_str body, size_t step, struct az_buf *out, struct az_err *err)
{
	struct az_multipart_sink sink = {on_begin, on_data, on_end, out};
	struct az_multipart m;
	enum az_code rc = az_multipart_init(&m, az_str_c(type), &sink, err);

	for (size_t i = 0; !rc && i < body.n; i += step) {
		/* an exact copy, so that a sanitizer sees reads past its end */
		struct az_str piece = az_str_sub(body, i, i + step);
		char *copy = malloc(piece.n);

		memcpy(copy, piece.p, piece.n);
		rc = az_multipart_feed(&m, az_str_n(copy, piece.n), err);
		free(copy);
	}
	if (!rc)
		rc = az_multipart_finish(&m, err);
	az_multipart_release(&m);
	return rc;
}

#define TYPE "multipart/form-data; boundary=XX"
#define CD "Content-Disposition: form-data; "

static void
test_good_forms(void **state)
{
	static const struct {
		const char *type, *body, *want;
	} t[] = {
	    {TYPE, "--XX\r\n" CD "name=\"a\"\r\n\r\nv\r\n--XX--\r\n", "[a]v[/]"},
	    {TYPE,
		"--XX\r\n" CD "name=\"f\"; filename=\"x.csv\"\r\n"
		"Content-Type: text/csv\r\n\r\n1,2\r\n3\r\n\r\n--XX\r\n" CD
		"name=b\r\n\r\n\r\n--XX--",
		"[f|x.csv|text/csv]1,2\r\n3\r\n[/][b][/]"},
	    /* no parts; an empty part whose boundary follows at once */
	    {TYPE, "--XX--", ""},
	    {TYPE, "--XX\r\n" CD "name=a\r\n\r\n\r\n--XX--", "[a][/]"},
	    /* preamble, epilogue, blanks behind a boundary */
	    {TYPE, "hello\r\n--XX  \t\r\n" CD "name=a\r\n\r\nv\r\n--XX--\r\nbye --XX", "[a]v[/]"},
	    /* what only looks like the boundary is data */
	    {TYPE, "--XX\r\n" CD "name=a\r\n\r\n\r\r\n\r\n-\r\n--\r\n--X\r\n--Y--XX\r\n--XX--",
		"[a]\r\r\n\r\n-\r\n--\r\n--X\r\n--Y--XX[/]"},
	    {TYPE, "--XX\r\n" CD "name=a\r\n\r\n\r\r\n--XX--", "[a]\r[/]"},
	    /* names */
	    {TYPE, "--XX\r\n" CD "name=\"a\"; filename=\"C:\\dir\\x.txt\"\r\n\r\n\r\n--XX--",
		"[a|C:\\dir\\x.txt][/]"},
	    {TYPE, "--XX\r\n" CD "name=\"a\"; filename=\"d/e/x.txt\"\r\n\r\n\r\n--XX--",
		"[a|d/e/x.txt][/]"},
	    {TYPE, "--XX\r\n" CD "name=\"a%22b%0D%0Ac%41\"\r\n\r\n\r\n--XX--", "[a\"b\r\nc%41][/]"},
	    {TYPE, "--XX\r\n" CD "name=\"a\\\"b\"; filename=\"q;\\\".txt\"\r\n\r\n\r\n--XX--",
		"[a\"b|q;\".txt][/]"},
	    {TYPE, "--XX\r\n" CD "name=\"a\"; filename=\"\"\r\n\r\n\r\n--XX--", "[a|][/]"},
	    {TYPE, "--XX\r\n" CD "name=a; filename=\"x\"; filename*=UTF-8''evil\r\n\r\n\r\n--XX--",
		"[a|x][/]"},
	    {TYPE, "--XX\r\ncontent-disposition:form-data;NAME=a\r\nX-Other: 1\r\n\r\nv\r\n--XX--",
		"[a]v[/]"},
	    /* boundaries */
	    {"Multipart/Form-Data; charset=x; boundary=\"a b\"",
		"--a b\r\n" CD "name=a\r\n\r\nv\r\n--a b--", "[a]v[/]"},
	    {"multipart/form-data; "
	     "boundary=----012345678901234567890123456789012345678901234567890123456789012345",
		"------012345678901234567890123456789012345678901234567890123456789012345--", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		for (size_t step = 1; step < 80; step += step < 10 ? 1 : 23) {
			struct az_buf out;
			struct az_err err = AZ_ERR_INIT;

			az_buf_init(&out, 4096);
			if (parse(t[i].type, az_str_c(t[i].body), step, &out, &err))
				fail_msg("%s by %zu: %s", t[i].body, step, err.text);
			assert_string_equal(out.p ? out.p : "", t[i].want);
			az_buf_release(&out);
		}
}

static void
test_bad_forms(void **state)
{
	static const struct {
		const char *type, *body;
		enum az_code want;
	} t[] = {
	    {"text/plain", "", AZ_ETYPE},
	    {"", "", AZ_ETYPE},
	    {"multipart/mixed; boundary=XX", "", AZ_ETYPE},
	    {"multipart/form-data", "", AZ_EINVAL},
	    {"multipart/form-data; boundary=", "", AZ_EINVAL},
	    {"multipart/form-data; boundary=\"XX", "", AZ_EINVAL},
	    {"multipart/form-data; boundary=\"X\rX\"", "", AZ_EINVAL},
	    {"multipart/form-data; boundary=\"X \"", "", AZ_EINVAL},
	    {"multipart/form-data; "
	     "boundary=01234567890123456789012345678901234567890123456789012345678901234567890",
		"", AZ_EINVAL},
	    {TYPE, "", AZ_EINVAL},
	    {TYPE, "no boundary at all", AZ_EINVAL},
	    {TYPE, "--XX", AZ_EINVAL},
	    {TYPE, "--XX-", AZ_EINVAL},
	    {TYPE, "--XX\r\n" CD "name=a\r\n\r\nv", AZ_EINVAL},
	    {TYPE, "--XX\r\n" CD "name=a\r\n\r\nv\r\n--XX\r\n", AZ_EINVAL},
	    {TYPE, "--XXY\r\n" CD "name=a\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\n" CD "filename=x\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\nContent-Disposition: attachment; name=a\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\n" CD "name=a\n\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\n" CD "name=a\rX: y\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	    {TYPE, "--XX\r\nnonsense\r\n\r\nv\r\n--XX--", AZ_EINVAL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		for (size_t step = 1; step < 200; step += 61) {
			struct az_buf out;
			struct az_err err;
			enum az_code rc;

			az_buf_init(&out, 4096);
			rc = parse(t[i].type, az_str_c(t[i].body), step, &out, &err);
			if (rc != t[i].want)
				fail_msg("%s | %s: %s", t[i].type, t[i].body, az_code_name(rc));
			az_buf_release(&out);
		}
}

static void
add_part(struct az_buf *b, const char *disposition, size_t bytes)
{
	az_buf_addf(b, "--XX\r\n" CD "%s\r\n\r\n", disposition);
	for (size_t i = 0; i < bytes; i++)
		az_buf_addch(b, 'x');
	az_buf_addc(b, "\r\n");
}

static enum az_code
run(struct az_buf *body)
{
	struct az_buf out;
	struct az_err err;
	enum az_code rc;

	az_buf_init(&out, 8 << 20);
	az_buf_addc(body, "--XX--");
	rc = parse(TYPE, az_buf_str(body), 4096, &out, &err);
	az_buf_release(&out);
	az_buf_reset(body);
	return rc;
}

static void
test_limits(void **state)
{
	struct az_buf b;

	(void)state;
	az_buf_init(&b, 8 << 20);
	for (int i = 0; i < AZ_MULTIPART_PARTS; i++)
		add_part(&b, "name=a", 1);
	assert_int_equal(run(&b), AZ_OK);
	for (int i = 0; i <= AZ_MULTIPART_PARTS; i++)
		add_part(&b, "name=a", 1);
	assert_int_equal(run(&b), AZ_ETOOBIG);
	add_part(&b, "name=a", (size_t)AZ_MULTIPART_FIELD_BYTES);
	assert_int_equal(run(&b), AZ_OK);
	add_part(&b, "name=a", (size_t)AZ_MULTIPART_FIELD_BYTES + 1);
	assert_int_equal(run(&b), AZ_ETOOBIG);
	add_part(&b, "name=a; filename=x", (size_t)AZ_MULTIPART_FIELD_BYTES + 1);
	assert_int_equal(run(&b), AZ_OK);
	az_buf_addc(&b, "--XX\r\nX: ");
	for (int i = 0; i < 9000; i++)
		az_buf_addch(&b, 'x');
	assert_int_equal(run(&b), AZ_ETOOBIG);
	az_buf_release(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good_forms),
	    cmocka_unit_test(test_bad_forms),
	    cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
