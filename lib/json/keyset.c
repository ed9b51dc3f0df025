/* Has this object this key already? Linear in the length of the text. */
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/json.h>
#include "scan.h"

struct keyslot {
	uint64_t hash;
	uint32_t obj;      /* 0 = free */
	uint32_t off, len; /* of the raw key in the text */
};

void
keyset_release(struct keyset *ks)
{
	free(ks->slot);
}

static size_t
utf8(unsigned long cp, unsigned char out[4])
{
	if (cp < 0x80) {
		out[0] = (unsigned char)cp;
		return 1;
	}
	if (cp < 0x800) {
		out[0] = (unsigned char)(0xc0 | cp >> 6);
		out[1] = (unsigned char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		out[0] = (unsigned char)(0xe0 | cp >> 12);
		out[1] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
		out[2] = (unsigned char)(0x80 | (cp & 0x3f));
		return 3;
	}
	out[0] = (unsigned char)(0xf0 | cp >> 18);
	out[1] = (unsigned char)(0x80 | (cp >> 12 & 0x3f));
	out[2] = (unsigned char)(0x80 | (cp >> 6 & 0x3f));
	out[3] = (unsigned char)(0x80 | (cp & 0x3f));
	return 4;
}

/* Decoded bytes of the next character of a raw key, at most 4; 0 at the end. The
   scan has checked the escapes. */
static size_t
next(struct az_str *raw, unsigned char out[4])
{
	static const char esc[] = "\"\\/bfnrt", val[] = "\"\\/\b\f\n\r\t";
	const char *p = raw->p;
	unsigned long cp;
	size_t used;

	if (!raw->n)
		return 0;
	if (p[0] != '\\') {
		out[0] = (unsigned char)p[0];
		*raw = az_str_sub(*raw, 1, raw->n);
		return 1;
	}
	if (p[1] != 'u') {
		out[0] = (unsigned char)val[strchr(esc, p[1]) - esc];
		*raw = az_str_sub(*raw, 2, raw->n);
		return 1;
	}
	cp = (unsigned long)json_hex4(p + 2);
	used = 6;
	if (cp >= 0xd800 && cp <= 0xdbff) {
		cp = 0x10000 + ((cp - 0xd800) << 10) + ((unsigned long)json_hex4(p + 8) - 0xdc00);
		used = 12;
	}
	*raw = az_str_sub(*raw, used, raw->n);
	return utf8(cp, out);
}

static bool
same(struct az_str a, struct az_str b)
{
	unsigned char x[4], y[4];
	size_t xn = 0, yn = 0, xi = 0, yi = 0;

	for (;;) {
		if (xi == xn) {
			xn = next(&a, x);
			xi = 0;
		}
		if (yi == yn) {
			yn = next(&b, y);
			yi = 0;
		}
		if (!xn || !yn)
			return xn == yn;
		if (x[xi++] != y[yi++])
			return false;
	}
}

#define ROTL(x, b) ((x) << (b) | (x) >> (64 - (b)))

static void
rounds(uint64_t v[4], int n)
{
	while (n--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = ROTL(v[1], 13) ^ v[0];
		v[3] = ROTL(v[3], 16) ^ v[2];
		v[0] = ROTL(v[0], 32) + v[3];
		v[2] += v[1];
		v[3] = ROTL(v[3], 21) ^ v[0];
		v[1] = ROTL(v[1], 17) ^ v[2];
		v[2] = ROTL(v[2], 32);
	}
}

/* SipHash-1-3 of the object's number and the decoded key. */
static uint64_t
hash_key(const struct keyset *ks, uint32_t obj, struct az_str raw)
{
	uint64_t v[4] = {ks->k0 ^ 0x736f6d6570736575, ks->k1 ^ 0x646f72616e646f6d,
	    ks->k0 ^ 0x6c7967656e657261, ks->k1 ^ 0x7465646279746573};
	uint64_t word = obj, total = 4;
	unsigned char c[4];
	size_t n;

	while ((n = next(&raw, c)))
		for (size_t i = 0; i < n; i++) {
			word |= (uint64_t)c[i] << 8 * (total & 7);
			if ((++total & 7) == 0) {
				v[3] ^= word;
				rounds(v, 1);
				v[0] ^= word;
				word = 0;
			}
		}
	word |= total << 56;
	v[3] ^= word;
	rounds(v, 1);
	v[0] ^= word;
	v[2] ^= 0xff;
	rounds(v, 3);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static enum az_code
grow(struct keyset *ks, struct az_err *err)
{
	size_t cap = ks->cap ? ks->cap * 2 : 32;
	struct keyslot *t = calloc(cap, sizeof *t);

	if (!t)
		return az_fail(err, AZ_ENOMEM, "json.scan", "no memory for %zu keys", cap);
	if (!ks->cap) {
		az_random(&ks->k0, sizeof ks->k0);
		az_random(&ks->k1, sizeof ks->k1);
	}
	for (size_t i = 0; i < ks->cap; i++) {
		size_t j = (size_t)ks->slot[i].hash & (cap - 1);
		if (!ks->slot[i].obj)
			continue;
		while (t[j].obj)
			j = (j + 1) & (cap - 1);
		t[j] = ks->slot[i];
	}
	free(ks->slot);
	ks->slot = t;
	ks->cap = cap;
	return AZ_OK;
}

enum az_code
keyset_add(
    struct keyset *ks, struct az_str text, uint32_t obj, struct az_str raw, struct az_err *err)
{
	uint32_t off = (uint32_t)(raw.p - text.p);
	enum az_code rc;
	uint64_t h;
	size_t j;

	if (ks->n * 2 >= ks->cap && (rc = grow(ks, err)))
		return rc;
	h = hash_key(ks, obj, raw);
	for (j = (size_t)h & (ks->cap - 1); ks->slot[j].obj; j = (j + 1) & (ks->cap - 1)) {
		const struct keyslot *k = &ks->slot[j];
		if (k->hash == h && k->obj == obj && same(az_str_n(text.p + k->off, k->len), raw))
			return az_fail(
			    err, AZ_EINVAL, "json.scan", "duplicate key at byte %u", off);
	}
	ks->slot[j] = (struct keyslot){.hash = h, .obj = obj, .off = off, .len = (uint32_t)raw.n};
	ks->n++;
	return AZ_OK;
}
