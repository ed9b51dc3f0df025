/*
 * Objects of one bucket read one after the other, while threads open the next few and
 * fetch their first bytes: many small objects cost what the store's throughput costs, not a
 * round trip each. Whatever the objects' sizes, at most AZ_AHEAD_BYTES are held.
 */
#ifndef AZLON_AHEAD_H
#define AZLON_AHEAD_H

#include <azlon/limits.h>
#include <azlon/store.h>

#define AZ_AHEAD_OBJECTS 4 /* opened ahead of the one being read */
#define AZ_AHEAD_BYTES ((AZ_AHEAD_OBJECTS + 1) * AZ_KIB(64))

struct az_ahead;

struct az_ahead_opts {
	struct az_store *store;
	const struct az_bucket *bucket;
	/* The next object's key appended to key; false: there are no more. Called by one
	   thread at a time, in the order of reading, from threads of ours. */
	bool (*next)(void *arg, struct az_buf *key);
	void *arg;
};

/* What o points to is borrowed until close. */
AZ_API AZ_MUST_CHECK enum az_code az_ahead_open(
    const struct az_ahead_opts *o, struct az_ahead **out, struct az_err *err);
/* Go to the next object; fails as az_store_get_open() did for it, or (past the last one)
   with AZ_ERANGE. After a failure only close is left. */
AZ_API AZ_MUST_CHECK enum az_code az_ahead_next(
    struct az_ahead *h, struct az_obj *obj, struct az_err *err);
/* Bytes of the object that next went to; *got = 0 at its end. */
AZ_API AZ_MUST_CHECK enum az_code az_ahead_read(
    struct az_ahead *h, char *p, size_t n, size_t *got, struct az_err *err);
/* At any time; waits for what the store is asked for at this moment. Accepts NULL. */
AZ_API void az_ahead_close(struct az_ahead *h);

#endif
