/* The XML that we send. */
#include "s3_xml.h"

#define XMLNS " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\""

static void
add_text(struct az_buf *out, struct az_str s)
{
	for (size_t i = 0; i < s.n; i++)
		switch (s.p[i]) {
		case '&':
			az_buf_addc(out, "&amp;");
			break;
		case '<':
			az_buf_addc(out, "&lt;");
			break;
		case '>':
			az_buf_addc(out, "&gt;");
			break;
		case '"':
			az_buf_addc(out, "&quot;");
			break;
		case '\r': /* as itself it would be read as a line feed */
			az_buf_addc(out, "&#13;");
			break;
		default:
			az_buf_addch(out, s.p[i]);
		}
}

bool
s3_xml_can(struct az_str key)
{
	for (size_t i = 0; i < key.n; i++)
		if ((unsigned char)key.p[i] < 0x20 || key.p[i] == 0x7f)
			return false;
	/* U+FFFE and U+FFFF are no characters to XML */
	return az_str_utf8_ok(key) && az_str_find(key, AZ_S("\xef\xbf\xbe"), 0) < 0 &&
	       az_str_find(key, AZ_S("\xef\xbf\xbf"), 0) < 0;
}

void
s3_xml_delete(struct az_buf *out, const struct az_str *keys, size_t n)
{
	az_buf_addc(out, "<Delete" XMLNS "><Quiet>true</Quiet>");
	for (size_t i = 0; i < n; i++) {
		az_buf_addc(out, "<Object><Key>");
		add_text(out, keys[i]);
		az_buf_addc(out, "</Key></Object>");
	}
	az_buf_addc(out, "</Delete>");
}

void
s3_xml_complete(struct az_buf *out, const char (*etags)[40], size_t n)
{
	az_buf_addc(out, "<CompleteMultipartUpload" XMLNS ">");
	for (size_t i = 0; i < n; i++) {
		az_buf_addf(out, "<Part><PartNumber>%zu</PartNumber><ETag>&quot;", i + 1);
		add_text(out, az_str_c(etags[i]));
		az_buf_addc(out, "&quot;</ETag></Part>");
	}
	az_buf_addc(out, "</CompleteMultipartUpload>");
}

void
s3_xml_location(struct az_buf *out, const char *region)
{
	/* where S3 began goes without saying: named, it is refused */
	if (!region[0] || strcmp(region, "us-east-1") == 0)
		return;
	az_buf_addc(out, "<CreateBucketConfiguration" XMLNS "><LocationConstraint>");
	add_text(out, az_str_c(region));
	az_buf_addc(out, "</LocationConstraint></CreateBucketConfiguration>");
}
