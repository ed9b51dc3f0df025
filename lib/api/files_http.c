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
