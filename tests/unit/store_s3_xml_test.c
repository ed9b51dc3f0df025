/*
 * store: S3's XML. Documents as MinIO, Ceph RGW, Swift and AWS write them; each is fed
 * whole, in sevens and byte by byte, and must mean the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>
#include <azlon/limits.h>
#include "store/s3_xml.h"

#define NS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""
#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define OBJ(key, size, time)                                                                       \
	"<Contents><Key>" key "</Key><LastModified>" time "</LastModified><ETag>&quot;d41d&quot;"  \
	"</ETag><Size>" size "</Size><StorageClass>STANDARD</StorageClass></Contents>"
#define T0 "1970-01-01T00:00:01.5Z"
#define LIST(body) "<ListBucketResult>" body "</ListBucketResult>"

enum reply { LISTING, UPLOADS, UPLOAD_ID, COMPLETE, COPY, DELETED, SESSION };

static enum az_code
read_all(const struct s3_xml_opts *o, struct az_str doc, size_t piece, struct s3_error *e,
    struct az_err *err)
{
	struct s3_xml *x = NULL;
	enum az_code rc = AZ_OK;

	assert_int_equal(s3_xml_new(o, &x, err), AZ_OK);
	for (size_t at = 0; !rc && at < doc.n; at += piece)
		rc = s3_xml_feed(x, az_str_sub(doc, at, at + piece), err);
	if (rc)
		assert_int_equal(s3_xml_finish(x, e, NULL), rc); /* the first failure stays */
	else
		rc = s3_xml_finish(x, e, err);
	s3_xml_free(x);
	return rc;
}

static enum az_code
listing(struct az_arena *a, struct az_str doc, size_t piece, struct s3_error *e, struct az_buf *out,
    struct az_err *err)
{
	struct s3_listing l = {.a = a};
	struct s3_xml_opts o = s3_listing_opts(&l);
	enum az_code rc = read_all(&o, doc, piece, e, err);

	if (!rc)
		rc = s3_listing_done(&l, err);
	for (size_t i = 0; !rc && i < l.n; i++)
		az_buf_addf(out, l.objs[i].dir ? "%.*s|" : "%.*s %lld %lld|", AZ_FMT(l.objs[i].key),
		    (long long)l.objs[i].bytes, (long long)l.objs[i].modified_ms);
	if (!rc && l.truncated)
		az_buf_addf(out, "next %.*s", AZ_FMT(l.token));
	return rc;
}

static enum az_code
uploads(struct az_arena *a, struct az_str doc, size_t piece, struct s3_error *e, struct az_buf *out,
    struct az_err *err)
{
	struct s3_uploads u = {.a = a};
	struct s3_xml_opts o = s3_uploads_opts(&u);
	enum az_code rc = read_all(&o, doc, piece, e, err);

	for (size_t i = 0; !rc && i < u.n; i++)
		az_buf_addf(out, "%.*s %.*s|", AZ_FMT(u.v[i].key), AZ_FMT(u.v[i].id));
	if (!rc && u.truncated)
		az_buf_addf(out, "next %.*s %.*s", AZ_FMT(u.next_key), AZ_FMT(u.next_id));
	return rc;
}

/* What the document says, as text. */
static enum az_code
say(enum reply what, struct az_str doc, size_t piece, struct s3_error *e, struct az_buf *out,
    struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_MIB(16));
	struct s3_upload_id id = {""};
	struct s3_etag etag = {""};
	struct s3_deleted deleted = {0};
	struct s3_session session = {.expires_ms = 0};
	struct s3_xml_opts o = {.root = NULL};
	enum az_code rc = AZ_OK;

	assert_non_null(a);
	switch (what) {
	case LISTING:
		rc = listing(a, doc, piece, e, out, err);
		break;
	case UPLOADS:
		rc = uploads(a, doc, piece, e, out, err);
		break;
	case UPLOAD_ID:
		o = s3_upload_id_opts(&id);
		break;
	case COMPLETE:
		o = s3_etag_opts(&etag, "CompleteMultipartUploadResult");
		break;
	case COPY:
		o = s3_etag_opts(&etag, "CopyObjectResult");
		break;
	case DELETED:
		o = s3_deleted_opts(&deleted);
		break;
	case SESSION:
		o = s3_session_opts(&session);
		break;
	}
	if (o.root && !(rc = read_all(&o, doc, piece, e, err)))
		az_buf_addf(out, "%s%s", id.id, etag.etag);
	if (!rc && what == DELETED)
		az_buf_addf(out, "%zu %s", deleted.failed, deleted.first.code);
	if (!rc && what == SESSION)
		az_buf_addf(out, "%s %s %s %lld", session.access, session.secret, session.token,
		    (long long)session.expires_ms);
	az_arena_free(a);
	return rc;
}

struct sample {
	const char *name;
	enum reply what;
	const char *doc;
	enum az_code rc;
	const char *says; /* of a failure: the code of its <Error> */
};

static const struct sample samples[] = {
    {"MinIO, keys out of order and encoded", LISTING,
	XML "<ListBucketResult" NS "><Name>azlon-x</Name><Prefix>runs/</Prefix><KeyCount>3"
	    "</KeyCount><MaxKeys>1000</MaxKeys><Delimiter>/</Delimiter><IsTruncated>true"
	    "</IsTruncated>" OBJ("runs/b+c%2B.txt", "12", "1970-01-01T00:00:02.000Z")
		OBJ("runs/a%C3%A4", "0",
		    "1970-01-01T00:00:01Z") "<CommonPrefixes><Prefix>runs/aa/</Prefix></"
					    "CommonPrefixes><EncodingType>url"
					    "</EncodingType><NextContinuationToken>cnVucy9i+/"
					    "==[minio_cache:v2]"
					    "</NextContinuationToken></ListBucketResult>",
	AZ_OK,
	"runs/aa/|runs/a\xc3\xa4 0 1000|runs/b c+.txt 12 2000|next cnVucy9i+/==[minio_cache:v2]"},
    {"RGW, the count last, an offset in the time", LISTING,
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult" NS "><Name>b</Name><Prefix>"
	"</Prefix><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false"
	"</IsTruncated><Contents><Key>a%20b</Key><LastModified>1970-01-01T01:00:00.123456789+01:00"
	"</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size><StorageClass>STANDARD"
	"</StorageClass><Owner><ID>u</ID><DisplayName>U</DisplayName></Owner><Type>Normal</Type>"
	"</Contents><Marker></Marker><KeyCount>1</KeyCount></ListBucketResult>",
	AZ_OK, "a b 7 123|"},
    {"Swift, single quotes, not encoded", LISTING,
	"<?xml version='1.0' encoding='UTF-8'?>\n<ListBucketResult xmlns='urn:x'><Name>b</Name>"
	"<IsTruncated>false</IsTruncated>" OBJ("a+b%20&amp;&lt;", "1", T0) "</ListBucketResult>",
	AZ_OK, "a+b%20&< 1 1500|"},
    {"AWS, white space before a prolog that comes late", LISTING,
	" \r\n\t \n" XML LIST("<IsTruncated>false</IsTruncated>"), AZ_OK, ""},
    {"a prefix before each name, no prolog, comments, CDATA, unknown elements", LISTING,
	"<s3:ListBucketResult xmlns:s3='u'><!-- x --><s3:New><s3:Key>no</s3:Key>text</s3:New>"
	"<s3:Contents><s3:Key><![CDATA[a<]]>&#98;</s3:Key><s3:Size> 1 "
	"</s3:Size><s3:LastModified>" T0
	"</s3:LastModified><s3:Deep><s3:Key>no</s3:Key></s3:Deep></s3:Contents>"
	"</s3:ListBucketResult>",
	AZ_OK, "a<b 1 1500|"},
    {"several prefixes in one element", LISTING,
	LIST("<CommonPrefixes><Prefix>b/</Prefix><Prefix>a/</Prefix></CommonPrefixes>"), AZ_OK,
	"a/|b/|"},
    {"bytes decide the order", LISTING,
	LIST(OBJ("a\xc3\xa4", "1", T0) OBJ("aB", "1", T0) OBJ("a", "1", T0) OBJ("a/b", "1", T0)),
	AZ_OK, "a 1 1500|a/b 1 1500|aB 1 1500|a\xc3\xa4 1 1500|"},
    {"a control character, encoded", LISTING,
	LIST("<EncodingType>url</EncodingType>" OBJ("a%01", "1", T0)), AZ_OK, "a\x01 1 1500|"},
    {"an empty root", LISTING, "<ListBucketResult/>", AZ_OK, ""},
    {"truncated without a token", LISTING, LIST("<IsTruncated>true</IsTruncated>"), AZ_EUPSTREAM,
	""},
    {"truncated with an empty token", LISTING,
	LIST("<IsTruncated>true</IsTruncated><NextContinuationToken/>"), AZ_EUPSTREAM, ""},
    {"neither yes nor no", LISTING, LIST("<IsTruncated>maybe</IsTruncated>"), AZ_EUPSTREAM, ""},
    {"a key with a NUL", LISTING, LIST("<EncodingType>url</EncodingType>" OBJ("a%00", "1", T0)),
	AZ_EUPSTREAM, ""},
    {"a key that is not UTF-8", LISTING,
	LIST("<EncodingType>url</EncodingType>" OBJ("a%ff", "1", T0)), AZ_EUPSTREAM, ""},
    {"half an escape", LISTING, LIST("<EncodingType>url</EncodingType>" OBJ("a%f", "1", T0)),
	AZ_EUPSTREAM, ""},
    {"no key", LISTING, LIST(OBJ("", "1", T0)), AZ_EUPSTREAM, ""},
    {"an empty entry", LISTING, LIST("<Contents/>"), AZ_EUPSTREAM, ""},
    {"an entry does not inherit", LISTING,
	LIST(OBJ("a", "1", T0) "<Contents><Key>b</Key></Contents>"), AZ_EUPSTREAM, ""},
    {"a size that is none", LISTING, LIST(OBJ("a", "-1", T0)), AZ_EUPSTREAM, ""},
    {"a time that is none", LISTING, LIST(OBJ("a", "1", "yesterday")), AZ_EUPSTREAM, ""},
    {"a DOCTYPE", LISTING,
	"<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]>" LIST("<Name>&b;</Name>"),
	AZ_EUPSTREAM, ""},
    {"an entity of nobody", LISTING, LIST("<Name>&b;</Name>"), AZ_EUPSTREAM, ""},
    {"a control character, by reference", LISTING, LIST("<Name>&#1;</Name>"), AZ_EUPSTREAM, ""},
    {"broken off", LISTING, "<ListBucketResult><Name>", AZ_EUPSTREAM, ""},
    {"two documents", LISTING, "<ListBucketResult/><ListBucketResult/>", AZ_EUPSTREAM, ""},
    {"not UTF-8, whatever it says", LISTING,
	"<?xml version='1.0' encoding='ISO-8859-1'?><ListBucketResult><Name>\xe4</Name>"
	"</ListBucketResult>",
	AZ_EUPSTREAM, ""},
    {"nothing", LISTING, "", AZ_EUPSTREAM, ""},
    {"only white space", LISTING, " \n \n", AZ_EUPSTREAM, ""},
    {"another document", LISTING, "<DeleteResult/>", AZ_EUPSTREAM, ""},
    {"HTML", LISTING, "<html><head><title>502</title></head><body><hr></body></html>", AZ_EUPSTREAM,
	""},
    {"uploads, MinIO", UPLOADS,
	XML
	"<ListMultipartUploadsResult" NS "><Bucket>b</Bucket><KeyMarker></KeyMarker>"
	"<NextKeyMarker>c%2F+d</NextKeyMarker><NextUploadIdMarker>id2</NextUploadIdMarker>"
	"<EncodingType>url</EncodingType><IsTruncated>true</IsTruncated><Upload><Key>a+b</Key>"
	"<UploadId>id1</UploadId><Initiator><ID>u</ID></Initiator></Upload><Upload><UploadId>id2"
	"</UploadId><Key>c%2F+d</Key></Upload></ListMultipartUploadsResult>",
	AZ_OK, "a b id1|c/ d id2|next c/ d id2"},
    {"uploads, none", UPLOADS, "<ListMultipartUploadsResult/>", AZ_OK, ""},
    {"an upload without an id", UPLOADS,
	"<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>",
	AZ_EUPSTREAM, ""},
    {"an empty upload", UPLOADS,
	"<ListMultipartUploadsResult><Upload/></ListMultipartUploadsResult>", AZ_EUPSTREAM, ""},
    {"more uploads, no marker", UPLOADS,
	"<ListMultipartUploadsResult><IsTruncated>true</IsTruncated></ListMultipartUploadsResult>",
	AZ_EUPSTREAM, ""},
    {"an upload begins", UPLOAD_ID,
	XML "<InitiateMultipartUploadResult" NS "><Bucket>b</Bucket><Key>k</Key><UploadId>2~x+/="
	    "</UploadId></InitiateMultipartUploadResult>",
	AZ_OK, "2~x+/="},
    {"an upload begins without an id", UPLOAD_ID, "<InitiateMultipartUploadResult/>", AZ_EUPSTREAM,
	""},
    {"complete, kept waiting", COMPLETE,
	XML "   \n   \n<CompleteMultipartUploadResult" NS
	    "><Location>http://x/b/k</Location><Bucket>b"
	    "</Bucket><Key>k</Key><ETag>&quot;0123-2&quot;</ETag></CompleteMultipartUploadResult>",
	AZ_OK, "0123-2"},
    {"complete, an error in a 200", COMPLETE,
	XML "\n\n  <Error><Code>InternalError</Code><Message>We encountered an internal error."
	    "</Message><RequestId>R</RequestId></Error>",
	AZ_EUPSTREAM, "InternalError"},
    {"copy, RGW without quotes", COPY,
	"<CopyObjectResult" NS "><LastModified>" T0 "</LastModified><ETag>abc</ETag>"
	"</CopyObjectResult>",
	AZ_OK, "abc"},
    {"an etag that splits a header", COPY,
	"<CopyObjectResult><ETag>a&#13;&#10;b</ETag></CopyObjectResult>", AZ_EUPSTREAM, ""},
    {"all deleted", DELETED, XML "<DeleteResult" NS "></DeleteResult>", AZ_OK, "0 "},
    {"some not deleted", DELETED,
	"<DeleteResult><Deleted><Key>a</Key></Deleted><Error><Key>n</Key><Code>NoSuchKey</Code>"
	"</Error><Error><Key>b</Key><Code>AccessDenied</Code><Message>m</Message></Error><Error>"
	"<Code>InternalError</Code></Error></DeleteResult>",
	AZ_OK, "2 AccessDenied"},
    {"an error without a word", DELETED, "<DeleteResult><Error/></DeleteResult>", AZ_OK, "1 "},
    {"a session", SESSION,
	XML "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
	    "<AssumeRoleResult><AssumedRoleUser><Arn></Arn></AssumedRoleUser><Credentials>"
	    "<AccessKeyId>AK</AccessKeyId><SecretAccessKey>SK</SecretAccessKey><Expiration>" T0
	    "</Expiration><SessionToken>a.b.c</SessionToken></Credentials></AssumeRoleResult>"
	    "<ResponseMetadata><RequestId>R</RequestId></ResponseMetadata></AssumeRoleResponse>",
	AZ_OK, "AK SK a.b.c 1500"},
    {"half a session", SESSION,
	"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>AK</AccessKeyId>"
	"</Credentials></AssumeRoleResult></AssumeRoleResponse>",
	AZ_EUPSTREAM, ""},
    {"no session, STS's error", SESSION,
	XML
	"<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type></Type>"
	"<Code>AccessDenied</Code><Message>Access denied</Message></Error><RequestId>R"
	"</RequestId></ErrorResponse>",
	AZ_EUPSTREAM, "AccessDenied"},
};

static void
means(const struct sample *s, struct az_str doc, size_t piece)
{
	struct az_err err = AZ_ERR_INIT;
	struct s3_error e = {.code = ""};
	struct az_buf out;
	enum az_code rc;

	az_buf_init(&out, AZ_KIB(64));
	rc = say(s->what, doc, piece, &e, &out, &err);
	if (rc != s->rc || strcmp(rc ? e.code : out.n ? out.p : "", s->says))
		fail_msg("%s, by %zu: %d %s, \"%s\" %s", s->name, piece, (int)rc, err.text,
		    out.n ? out.p : "", e.code);
	assert_int_equal(err.code, rc);
	az_buf_release(&out);
}

static void
documents_mean_the_same_in_any_pieces(void **state)
{
	const size_t pieces[] = {SIZE_MAX / 2, 7, 1};

	(void)state;
	for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
		for (size_t k = 0; k < 3; k++)
			means(&samples[i], az_str_c(samples[i].doc), pieces[k]);
}

static void
repeated(struct az_buf *b, const char *before, const char *what, size_t n, const char *after)
{
	az_buf_reset(b);
	az_buf_addc(b, before);
	for (size_t i = 0; i < n; i++)
		az_buf_addc(b, what);
	az_buf_addc(b, after);
	assert_int_equal(b->fail, AZ_OK);
}

static void
limits_end_the_reading(void **state)
{
	struct sample s = {"limits", COPY, NULL, AZ_OK, ""};
	struct az_buf b, deep;

	(void)state;
	az_buf_init(&b, AZ_MIB(9));
	az_buf_init(&deep, AZ_KIB(4));
	for (size_t levels = S3_XML_DEPTH - 1; levels <= S3_XML_DEPTH; levels++) {
		repeated(&deep, "", "</a>", levels, "</CopyObjectResult>");
		repeated(&b, "<CopyObjectResult>", "<a>", levels, deep.p);
		s.rc = levels < S3_XML_DEPTH ? AZ_OK : AZ_ETOOBIG;
		means(&s, az_buf_str(&b), AZ_MIB(9));
		means(&s, az_buf_str(&b), 1);
	}
	for (size_t over = 0; over < 2; over++) {
		repeated(&b, "<CopyObjectResult><a>", "x", S3_XML_TEXT + over,
		    "</a></CopyObjectResult>");
		s.rc = over ? AZ_ETOOBIG : AZ_OK;
		means(&s, az_buf_str(&b), AZ_MIB(9));
		means(&s, az_buf_str(&b), 1);
	}
	/* a name */
	repeated(&b, "<CopyObjectResult><", "x", 2000, "/></CopyObjectResult>");
	s.rc = AZ_ETOOBIG;
	means(&s, az_buf_str(&b), AZ_MIB(9));
	means(&s, az_buf_str(&b), 1);
	/* the whole, blanks before it included */
	for (size_t over = 0; over < 2; over++) {
		repeated(&b, "", " ", S3_XML_BYTES - 19 + over, "<CopyObjectResult/>");
		s.rc = over ? AZ_ETOOBIG : AZ_OK;
		means(&s, az_buf_str(&b), AZ_MIB(9));
		means(&s, az_buf_str(&b), AZ_KIB(64));
		repeated(
		    &b, "<CopyObjectResult>", " ", S3_XML_BYTES - 37 + over, "</CopyObjectResult>");
		means(&s, az_buf_str(&b), AZ_MIB(9));
		means(&s, az_buf_str(&b), AZ_KIB(64));
	}
	az_buf_release(&deep);
	az_buf_release(&b);
}

static void
identifiers_that_do_not_fit_are_refused(void **state)
{
	struct sample s = {"too long", COPY, NULL, AZ_EUPSTREAM, ""};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(8));
	repeated(&b, "<CopyObjectResult><ETag>", "x", 128, "</ETag></CopyObjectResult>");
	means(&s, az_buf_str(&b), 1);
	s.what = UPLOAD_ID;
	repeated(&b, "<InitiateMultipartUploadResult><UploadId>", "x", 1025,
	    "</UploadId></InitiateMultipartUploadResult>");
	means(&s, az_buf_str(&b), 1);
	az_buf_release(&b);
}

static enum az_code
refuses(void *arg, const char *path, struct az_str text, struct az_err *err)
{
	(void)text;
	++*(int *)arg;
	return az_fail(err, AZ_ECONFLICT, "test", "%s", path);
}

static void
a_callback_that_refuses_is_not_asked_again(void **state)
{
	int asked = 0;
	struct s3_xml_opts o = {.root = "r", .leaf = refuses, .arg = &asked};
	struct az_err err = AZ_ERR_INIT;
	struct s3_error e;

	(void)state;
	assert_int_equal(
	    read_all(&o, AZ_S("<r><a><b/><c/></a><d/></r>"), 100, &e, &err), AZ_ECONFLICT);
	assert_string_equal(err.text, "a/b");
	assert_int_equal(asked, 1);
}

static void
a_longer_listing_is_kept_whole(void **state)
{
	struct az_arena *a = az_arena_new(AZ_MIB(4));
	struct s3_listing l = {.a = a};
	struct s3_xml_opts o = s3_listing_opts(&l);
	struct s3_error e;
	struct az_buf b;
	char key[16];

	(void)state;
	az_buf_init(&b, AZ_MIB(1));
	az_buf_addc(&b, "<ListBucketResult>");
	for (int i = 999; i >= 0; i--)
		az_buf_addf(&b,
		    "<Contents><Key>k%03d</Key><Size>%d</Size><LastModified>" T0
		    "</LastModified></Contents>",
		    i, i);
	az_buf_addc(&b, "</ListBucketResult>");
	assert_int_equal(read_all(&o, az_buf_str(&b), 1000, &e, NULL), AZ_OK);
	assert_int_equal(s3_listing_done(&l, NULL), AZ_OK);
	assert_int_equal(l.n, 1000);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof key, "k%03d", i);
		assert_true(az_str_eqc(l.objs[i].key, key));
		assert_int_equal(l.objs[i].bytes, i);
	}
	az_buf_release(&b);
	az_arena_free(a);
}

static void
bodies_of_errors_are_read_whatever_they_are(void **state)
{
	static const struct {
		const char *body, *code, *message, *region, *endpoint;
	} cases[] = {
	    {XML "<Error><Code>NoSuchKey</Code><Message>The key\nd\xc3\xa4s</Message><Key>k</Key>"
		 "<Resource>/b/k</Resource></Error>",
		"NoSuchKey", "The key?d??s", "", ""},
	    {"<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.x</Endpoint>"
	     "<Region>eu-west-1</Region></Error>",
		"PermanentRedirect", "", "eu-west-1", "b.s3.eu-west-1.x"},
	    {"<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>SignatureDoesNotMatch</Code>",
		"SignatureDoesNotMatch", "", "", ""},
	    {"<html><h1>Error</h1><p>x", "", "", "", ""},
	    {"<html><Code>x</Code></html>", "", "", "", ""},
	    {"not found", "", "", "", ""},
	    {"", "", "", "", ""},
	};
	struct s3_error e;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memset(&e, 'x', sizeof e);
		s3_error_parse(az_str_c(cases[i].body), &e);
		assert_string_equal(e.code, cases[i].code);
		assert_string_equal(e.message, cases[i].message);
		assert_string_equal(e.region, cases[i].region);
		assert_string_equal(e.endpoint, cases[i].endpoint);
	}
}

static void
what_we_send_is_escaped(void **state)
{
	const struct az_str keys[] = {AZ_S("a&b<c>\"d\"'\r"), AZ_S("\xc3\xa4")};
	const char etags[2][40] = {"aa", "bb"};
	struct az_buf b;

	(void)state;
	az_buf_init(&b, AZ_KIB(4));
	s3_xml_delete(&b, keys, 2);
	assert_string_equal(b.p, "<Delete" NS "><Quiet>true</Quiet><Object><Key>a&amp;b&lt;c&gt;"
				 "&quot;d&quot;'&#13;</Key></Object><Object><Key>\xc3\xa4</Key>"
				 "</Object></Delete>");
	az_buf_reset(&b);
	s3_xml_complete(&b, etags, 2);
	assert_string_equal(b.p,
	    "<CompleteMultipartUpload" NS "><Part><PartNumber>1</PartNumber><ETag>&quot;aa&quot;"
	    "</ETag></Part><Part><PartNumber>2</PartNumber><ETag>&quot;bb&quot;</ETag></Part>"
	    "</CompleteMultipartUpload>");
	az_buf_reset(&b);
	s3_xml_location(&b, "us-east-1");
	s3_xml_location(&b, "");
	assert_int_equal(b.n, 0);
	s3_xml_location(&b, "eu-west-1");
	assert_string_equal(b.p, "<CreateBucketConfiguration" NS "><LocationConstraint>eu-west-1"
				 "</LocationConstraint></CreateBucketConfiguration>");
	az_buf_release(&b);
}

static void
not_every_key_fits_into_xml(void **state)
{
	(void)state;
	assert_true(s3_xml_can(AZ_S("a/b <&>\"\xc3\xa4\xf0\x9f\x8d\x8e")));
	assert_false(s3_xml_can(AZ_S("a\x01")));
	assert_false(s3_xml_can(AZ_S("a\n")));
	assert_false(s3_xml_can(AZ_S("a\0b")));
	assert_false(s3_xml_can(AZ_S("a\x7f")));
	assert_false(s3_xml_can(AZ_S("a\xff")));
	assert_false(s3_xml_can(AZ_S("a\xef\xbf\xbe")));
	assert_false(s3_xml_can(AZ_S("\xef\xbf\xbf")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(documents_mean_the_same_in_any_pieces),
	    cmocka_unit_test(limits_end_the_reading),
	    cmocka_unit_test(identifiers_that_do_not_fit_are_refused),
	    cmocka_unit_test(a_callback_that_refuses_is_not_asked_again),
	    cmocka_unit_test(a_longer_listing_is_kept_whole),
	    cmocka_unit_test(bodies_of_errors_are_read_whatever_they_are),
	    cmocka_unit_test(what_we_send_is_escaped),
	    cmocka_unit_test(not_every_key_fits_into_xml),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
