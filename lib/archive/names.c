/*
 * Names from outside: the canonical form, case folding, and the set of those seen in
 * one archive. No ICU: composition by table covers the whole basic plane; a cluster of
 * marks that the table cannot bring into one order is refused instead of guessed at.
 */
#include <stdlib.h>
#include <wctype.h>
#include <azlon/clock.h>
#include <azlon/path.h>
#include "archive_room.h"
#include "nfc_table.h"

/* Next code point of valid UTF-8. */
static uint32_t
next_cp(struct az_str s, size_t *i)
{
	unsigned char c = (unsigned char)s.p[*i];
	size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
	uint32_t cp = more == 3 ? c & 7u : more == 2 ? c & 15u : more == 1 ? c & 31u : c;

	for (++*i; more && *i < s.n; more--, ++*i)
		cp = cp << 6 | ((unsigned char)s.p[*i] & 63u);
	return cp;
}

static void
add_cp(struct az_buf *b, uint32_t cp)
{
	if (cp < 0x80) {
		az_buf_addch(b, (char)cp);
	} else if (cp < 0x800) {
		az_buf_addch(b, (char)(0xc0 | cp >> 6));
		az_buf_addch(b, (char)(0x80 | (cp & 63)));
	} else if (cp < 0x10000) {
		az_buf_addch(b, (char)(0xe0 | cp >> 12));
		az_buf_addch(b, (char)(0x80 | (cp >> 6 & 63)));
		az_buf_addch(b, (char)(0x80 | (cp & 63)));
	} else {
		az_buf_addch(b, (char)(0xf0 | cp >> 18));
		az_buf_addch(b, (char)(0x80 | (cp >> 12 & 63)));
		az_buf_addch(b, (char)(0x80 | (cp >> 6 & 63)));
		az_buf_addch(b, (char)(0x80 | (cp & 63)));
	}
}

static int
by_pair(const void *key, const void *row)
{
	const uint32_t *k = key;
	const uint16_t *r = row;

	if (k[0] != r[0])
		return k[0] < r[0] ? -1 : 1;
	return k[1] < r[1] ? -1 : k[1] > r[1];
}

/* The one character that base and cp make, or 0. */
static uint32_t
compose(uint32_t base, uint32_t cp)
{
	uint32_t key[2] = {base, cp};
	const uint16_t *r;

	if (base >= 0x1100 && base < 0x1113 && cp >= 0x1161 && cp < 0x1176)
		return 0xac00 + ((base - 0x1100) * 21 + (cp - 0x1161)) * 28;
	if (base >= 0xac00 && base < 0xd7a4 && (base - 0xac00) % 28 == 0 && cp > 0x11a7 &&
	    cp < 0x11c3)
		return base + (cp - 0x11a7);
	r = bsearch(
	    key, nfc_pairs, sizeof nfc_pairs / sizeof *nfc_pairs, sizeof *nfc_pairs, by_pair);
	return r ? r[2] : 0;
}

static bool
is_composed(uint32_t cp)
{
	for (size_t i = 0; i < sizeof nfc_pairs / sizeof *nfc_pairs; i++)
		if (nfc_pairs[i][2] == cp)
			return true;
	return false;
}

static bool
never_nfc(uint32_t cp)
{
	for (size_t i = 0; i < sizeof nfc_never / sizeof *nfc_never && nfc_never[i][0] <= cp; i++)
		if (cp <= nfc_never[i][1])
			return true;
	return false;
}

static bool
is_mark(uint32_t cp)
{
	return (cp >= 0x300 && cp <= 0x36f) || cp == 0x3099 || cp == 0x309a;
}

enum az_code
az_name_nfc(struct az_str path, struct az_buf *out, struct az_err *err)
{
	static const char op[] = "name.nfc";
	uint32_t last = 0;
	bool marked = false; /* a mark that composed with nothing stands after last */

	if (!az_str_utf8_ok(path))
		return az_fail(err, AZ_EINVAL, op, "the file name is not valid UTF-8");
	for (size_t i = 0; i < path.n;) {
		uint32_t cp = next_cp(path, &i), one;

		if (never_nfc(cp))
			return az_fail(err, AZ_EINVAL, op,
			    "the file name holds a character that has another, "
			    "canonical form");
		one = last && !marked ? compose(last, cp) : 0;
		if (one) {
			last = one;
			continue;
		}
		if (is_mark(cp)) {
			if (marked || is_composed(last))
				return az_fail(err, AZ_EINVAL, op,
				    "the file name holds combining marks in no "
				    "canonical order");
			marked = true;
			if (last)
				add_cp(out, last);
			add_cp(out, cp);
			last = 0;
			continue;
		}
		if (last)
			add_cp(out, last);
		marked = false;
		last = cp;
	}
	if (last)
		add_cp(out, last);
	return az_buf_check(out, op, err);
}

void
az_name_fold(struct az_str path, struct az_buf *out)
{
	locale_t was = archive_locale_enter();

	for (size_t i = 0; i < path.n;) {
		uint32_t cp = next_cp(path, &i);

		/* by way of upper case: both sigmas, both long s, become one */
		add_cp(out, (uint32_t)towlower((wint_t)towupper((wint_t)cp)));
	}
	archive_locale_leave(was);
}

/* Open addressing, seeded, never more than half full. */
struct slot {
	uint64_t hash;
	struct az_str name; /* folded */
	bool dir;
};
struct names {
	struct az_arena *a;
	struct slot *v;
	size_t cap, n;
	uint64_t seed;
};

struct names *
names_new(struct az_arena *a, size_t max)
{
	struct names *s = az_arena_alloc(a, sizeof *s);

	if (!s)
		return NULL;
	s->a = a;
	/* directories on the way count too; the array grows as they come */
	for (s->cap = 64; s->cap < max && s->cap < 1024; s->cap *= 2)
		;
	s->v = calloc(s->cap, sizeof *s->v);
	az_random(&s->seed, sizeof s->seed);
	if (!s->v || !az_arena_defer(a, free, s->v))
		return NULL;
	return s;
}

static uint64_t
hash_of(const struct names *s, struct az_str name)
{
	uint64_t h = s->seed ^ UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < name.n; i++) {
		h ^= (unsigned char)name.p[i];
		h *= UINT64_C(0x100000001b3);
		h ^= h >> 29;
	}
	return h ? h : 1;
}

static struct slot *
slot_of(struct slot *v, size_t cap, uint64_t h, struct az_str name)
{
	size_t i = (size_t)h & (cap - 1);

	while (v[i].hash && (v[i].hash != h || !az_str_eq(v[i].name, name)))
		i = (i + 1) & (cap - 1);
	return &v[i];
}

static bool
grow(struct names *s)
{
	size_t cap = s->cap * 2;
	struct slot *v = calloc(cap, sizeof *v);

	if (!v || !az_arena_defer(s->a, free, v))
		return false;
	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i].hash)
			*slot_of(v, cap, s->v[i].hash, s->v[i].name) = s->v[i];
	s->v = v;
	s->cap = cap;
	return true;
}

/* 0 = new or a directory again, 1 = collision, -1 = no memory */
static int
add_one(struct names *s, struct az_str folded, bool dir)
{
	uint64_t h = hash_of(s, folded);
	struct slot *at = slot_of(s->v, s->cap, h, folded);

	if (at->hash)
		return at->dir && dir ? 0 : 1;
	if (2 * (s->n + 1) > s->cap) {
		if (!grow(s))
			return -1;
		at = slot_of(s->v, s->cap, h, folded);
	}
	*at = (struct slot){h, az_arena_str(s->a, folded), dir};
	if (!at->name.p) {
		at->hash = 0;
		return -1;
	}
	s->n++;
	return 0;
}

enum az_code
names_add(struct names *s, struct az_str path, bool dir, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	int hit = 0;

	az_buf_init(&b, 4096);
	az_name_fold(path, &b);
	rc = az_buf_check(&b, "archive.names", err);
	for (size_t i = 0; !rc && !hit && i < b.n; i++)
		if (b.p[i] == '/')
			hit = add_one(s, az_str_n(b.p, i), true);
	if (!rc && !hit)
		hit = add_one(s, az_buf_str(&b), dir);
	if (hit < 0)
		rc = az_fail(err, AZ_ENOMEM, "archive.names", "out of memory");
	else if (hit)
		rc = archive_refuse(
		    err, AZ_EINVAL, path, "collides with another name of the archive");
	az_buf_release(&b);
	return rc;
}

enum az_code
archive_refuse(struct az_err *err, enum az_code code, struct az_str name, const char *why)
{
	struct az_buf b;

	az_buf_init(&b, 512);
	for (size_t i = 0; i < name.n && i < 120; i++) {
		unsigned char c = (unsigned char)name.p[i];

		az_buf_addch(&b, c < 0x20 || c == 0x7f ? '?' : (char)c);
	}
	/* never end in half a character */
	while (b.n && !az_str_utf8_ok(az_buf_str(&b)) && name.n > 120)
		az_buf_cut(&b, b.n - 1);
	(void)az_fail(err, code, "archive.read", "entry \"%s\": %s",
	    b.n && az_str_utf8_ok(az_buf_str(&b)) ? b.p : "?", why);
	az_buf_release(&b);
	return code;
}
