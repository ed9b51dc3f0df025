/* Private to the room: the pre-scan, and the set of keys it remembers. */
#ifndef AZ_JSON_SCAN_H
#define AZ_JSON_SCAN_H

#include <azlon/json.h>

/* Deepest nesting whatever a caller's limits say: json-c frees by recursion. */
#define JSON_DEPTH_MAX 128

/*
 * Keys seen so far: an open-addressed table over a keyed hash, so that nobody can
 * choose keys that collide. Grows with the keys, which the token limit bounds.
 */
struct keyset {
	struct keyslot *slot;
	size_t n, cap;
	uint64_t k0, k1;
};

void keyset_release(struct keyset *ks);
/* raw: the key between its quotes, escapes undecoded but valid. obj: number of the
   object, from 1. AZ_EINVAL when that object has the key already. */
enum az_code keyset_add(
    struct keyset *ks, struct az_str text, uint32_t obj, struct az_str raw, struct az_err *err);

/*
 * az_json_scan(), which also appends to big (NULL: do not) the end offset of each
 * integer that int64 cannot hold, as size_t values. *tokens: keys and values.
 */
enum az_code json_scan(struct az_str text, const struct az_json_limits *lim, struct az_buf *big,
    size_t *tokens, struct az_err *err);

/* Value of 4 hex digits, -1 if malformed. */
int json_hex4(const char *p);

#endif
