/* Headers that bytes travel with, as pure functions. */
#include <azlon/crypto.h>
#include <azlon/path.h>
#include "files.h"

void
files_disposition(struct az_buf *out, struct az_str name, bool attachment)
{
	bool plain = true;

	az_buf_addc(out, attachment ? "attachment" : "inline");
	az_buf_addc(out, "; filename=\"");
	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];
		/* '%' too: some clients decode it in the plain form */
		bool ok = c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '%' && c != '/';

		plain = plain && ok;
		/* one stand-in for a character, not one for each of its bytes */
		if (ok || (c & 0xc0) != 0x80)
			az_buf_addch(out, ok ? (char)c : '_');
	}
	az_buf_addch(out, '"');
	if (plain)
		return;
	az_buf_addc(out, "; filename*=UTF-8''");
	az_pct_encode(out, name, NULL);
}

bool
files_active(const char *mime)
{
	static const char *const active[] = {
	    "text/html", "image/svg+xml", "application/xml", "text/javascript"};

	for (size_t i = 0; i < sizeof active / sizeof *active; i++)
		if (az_str_starts(az_str_c(mime), az_str_c(active[i])))
			return true;
	return false;
}

bool
files_etag_match(struct az_str header, struct az_str etag)
{
	struct az_str one;

	while (az_str_cut(&header, ',', &one)) {
		one = az_str_trim(one);
		if (az_str_eqc(one, "*"))
			return true;
		if (az_str_starts(one, AZ_S("W/")))
			one = az_str_sub(one, 2, one.n);
		if (az_str_eq(one, etag))
			return true;
	}
	return false;
}

enum files_range
files_range(struct az_str header, int64_t size, int64_t *from, int64_t *n)
{
	struct az_str rest = header, a;
	int64_t first, last = size - 1;

	*from = 0;
	*n = size;
	if (!az_str_starts(rest, AZ_S("bytes=")))
		return FILES_WHOLE;
	rest = az_str_trim(az_str_sub(rest, 6, rest.n));
	if (az_str_chr(rest, ',') >= 0 || az_str_chr(rest, '-') < 0)
		return FILES_WHOLE;
	(void)az_str_cut(&rest, '-', &a);
	if (a.n == 0) {
		if (!az_str_to_i64(rest, 0, INT64_MAX, &last) || rest.p[0] == '-')
			return FILES_WHOLE;
		first = last < size ? size - last : 0;
		if (last == 0 || size == 0)
			return FILES_NOT_THERE;
		last = size - 1;
	} else {
		if (!az_str_to_i64(a, 0, INT64_MAX, &first) ||
		    (rest.n && (!az_str_to_i64(rest, 0, INT64_MAX, &last) || last < first)))
			return FILES_WHOLE;
		if (first >= size)
			return FILES_NOT_THERE;
		if (last >= size)
			last = size - 1;
	}
	*from = first;
	*n = last - first + 1;
	return FILES_PART;
}
