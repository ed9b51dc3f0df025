/* Bytes as text: hex, base32, base64, percent. */
#include <azlon/crypto.h>

static const char HEX[] = "0123456789abcdef";
static const char B64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char B64URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char B32[] = "abcdefghijklmnopqrstuvwxyz234567";

void
az_hex(const unsigned char *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		*out++ = HEX[p[i] >> 4];
		*out++ = HEX[p[i] & 15];
	}
	*out = 0;
}

/* bits per character, alphabet, and the characters of a padded group (0: none) */
static void
encode(struct az_buf *b, struct az_str s, unsigned bits, const char *alphabet, unsigned group)
{
	char chunk[256] = {0};
	size_t k = 0, total = 0;
	unsigned acc = 0, have = 0;

	for (size_t i = 0; i < s.n; i++) {
		acc = acc << 8 | (unsigned char)s.p[i];
		have += 8;
		while (have >= bits) {
			have -= bits;
			chunk[k++] = alphabet[acc >> have & ((1u << bits) - 1)];
			total++;
			if (k == sizeof chunk) {
				az_buf_add(b, chunk, k);
				k = 0;
			}
		}
		acc &= (1u << have) - 1;
	}
	az_buf_add(b, chunk, k);
	if (have) {
		az_buf_addch(b, alphabet[acc << (bits - have) & ((1u << bits) - 1)]);
		total++;
	}
	while (group && total % group) {
		az_buf_addch(b, '=');
		total++;
	}
}

void
az_base64(struct az_buf *b, struct az_str s)
{
	encode(b, s, 6, B64, 4);
}

void
az_base64url(struct az_buf *b, struct az_str s)
{
	encode(b, s, 6, B64URL, 0);
}

void
az_base32(struct az_buf *b, struct az_str s)
{
	encode(b, s, 5, B32, 0);
}

static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	return c == '/' || c == '_' ? 63 : -1;
}

bool
az_base64_decode(struct az_buf *b, struct az_str s)
{
	size_t from = b->n, n = s.n, pad = 0;
	unsigned acc = 0, have = 0;
	char chunk[256] = {0};
	size_t k = 0;

	while (n && pad < 2 && s.p[n - 1] == '=') {
		n--;
		pad++;
	}
	if (n % 4 == 1 || (pad && (n + pad) % 4))
		return false;
	for (size_t i = 0; i < n; i++) {
		int v = sextet(s.p[i]);
		if (v < 0)
			goto bad;
		acc = acc << 6 | (unsigned)v;
		have += 6;
		if (have >= 8) {
			have -= 8;
			chunk[k++] = (char)(unsigned char)(acc >> have);
			acc &= (1u << have) - 1;
			if (k == sizeof chunk) {
				az_buf_add(b, chunk, k);
				k = 0;
			}
		}
	}
	if (acc) /* two spellings of the same bytes: not canonical */
		goto bad;
	az_buf_add(b, chunk, k);
	return b->fail == AZ_OK;
bad:
	az_buf_cut(b, from);
	return false;
}

static int
nibble(char c)
{
	const char *at;

	if (c >= 'A' && c <= 'F')
		c = (char)(c | 0x20);
	at = c ? strchr(HEX, c) : NULL;
	return at ? (int)(at - HEX) : -1;
}

bool
az_pct_decode(struct az_buf *b, struct az_str s, bool plus_is_space)
{
	size_t from = b->n, lit = 0;

	for (size_t i = 0; i < s.n; i++) {
		int hi, lo;

		if (s.p[i] != '%' && !(plus_is_space && s.p[i] == '+'))
			continue;
		az_buf_add(b, s.p + lit, i - lit);
		if (s.p[i] == '+') {
			az_buf_addch(b, ' ');
		} else {
			hi = s.n - i > 2 ? nibble(s.p[i + 1]) : -1;
			lo = hi >= 0 ? nibble(s.p[i + 2]) : -1;
			if (lo < 0) {
				az_buf_cut(b, from);
				return false;
			}
			az_buf_addch(b, (char)(unsigned char)(hi << 4 | lo));
			i += 2;
		}
		lit = i + 1;
	}
	if (s.n > lit)
		az_buf_add(b, s.p + lit, s.n - lit);
	return b->fail == AZ_OK;
}

static bool
plain(char c, const char *keep)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       (c && (strchr("-._~", c) || (keep && strchr(keep, c))));
}

void
az_pct_encode(struct az_buf *b, struct az_str s, const char *keep)
{
	static const char up[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		char e[3] = {'%', up[c >> 4], up[c & 15]};

		if (plain(s.p[i], keep))
			az_buf_addch(b, s.p[i]);
		else
			az_buf_add(b, e, sizeof e);
	}
}
