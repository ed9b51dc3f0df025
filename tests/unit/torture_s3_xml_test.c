/* Out of memory while S3's replies are read, expat's own allocations included. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "store/s3_xml.h"
#include "torture.h"

static enum az_code
fed(const struct s3_xml_opts *o, struct az_str doc, struct az_err *err)
{
	struct s3_xml *x = NULL;
	struct s3_error e;
	enum az_code rc = s3_xml_new(o, &x, err);

	for (size_t at = 0; !rc && at < doc.n; at += 50)
		rc = s3_xml_feed(x, az_str_sub(doc, at, at + 50), err);
	if (!rc)
		rc = s3_xml_finish(x, &e, err);
	s3_xml_free(x);
	return rc;
}

static struct az_buf doc;

static enum az_code
lists(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct s3_listing l = {.a = a};
	struct s3_xml_opts o = s3_listing_opts(&l);
	enum az_code rc;
	struct az_buf b;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = fed(&o, az_buf_str(&doc), err);
	if (!rc)
		rc = s3_listing_done(&l, err);
	torture_pause();
	az_buf_init(&b, AZ_KIB(64));
	for (size_t i = 0; !rc && i < l.n; i++)
		az_buf_addf(&b, "%.*s\n", AZ_FMT(l.objs[i].key));
	if (!rc)
		torture_made(az_buf_str(&b));
	az_buf_release(&b);
	torture_resume();
	az_arena_free(a);
	return rc;
}

static enum az_code
uploads(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(1));
	struct s3_uploads u = {.a = a};
	struct s3_xml_opts o = s3_uploads_opts(&u);
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "no arena");
	rc = fed(&o,
	    AZ_S("<ListMultipartUploadsResult><EncodingType>url</EncodingType><Upload><Key>a%20b"
		 "</Key><UploadId>1</UploadId></Upload></ListMultipartUploadsResult>"),
	    err);
	if (!rc) {
		assert_int_equal(u.n, 1);
		torture_made(u.v[0].key);
	}
	az_arena_free(a);
	return rc;
}

static void
listings_are_complete_or_refused(void **state)
{
	(void)state;
	az_buf_init(&doc, AZ_KIB(64));
	az_buf_addc(&doc, "<ListBucketResult><EncodingType>url</EncodingType>");
	for (int i = 0; i < 80; i++)
		az_buf_addf(&doc,
		    "<Contents><Key>a%%20%d</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z"
		    "</LastModified></Contents>",
		    i);
	az_buf_addc(&doc, "</ListBucketResult>");
	assert_int_equal(doc.fail, AZ_OK);
	torture("lists", lists);
	az_buf_release(&doc);
	torture("uploads", uploads);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(listings_are_complete_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
