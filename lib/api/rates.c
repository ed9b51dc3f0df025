/*
 * A bucket is one number: when it will be full again. To take a token moves that on by the
 * time that one needs to come back, unless it would be further away than an empty bucket is.
 * So an update is one compare-and-swap: no lock that a killed process could keep, and
 * a bucket that is full says no more than one that is not there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <azlon/crypto.h>
#include <azlon/log.h>
#include "rates.h"

#define SETS 4096
#define WAYS 8
#define MINUTE_US INT64_C(60000000)
#define AT_ONCE 3                 /* a third of a minute's worth */
#define APART_US INT64_C(1000000) /* what two threads' ideas of now may differ by */

static const char op[] = "api.rates";

struct bucket {
	atomic_uint_least64_t user; /* of its uid's digest; 0: nobody's */
	atomic_int_least64_t full_us[RATE_KINDS];
};
/* what processes share must not need a lock of one of them */
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_LONG_LOCK_FREE == 2, "64-bit atomics");

struct az_api_rates {
	int64_t step_us[RATE_KINDS], span_us[RATE_KINDS]; /* of one token, of a whole bucket */
	int64_t stale_us; /* no bucket is so far ahead: it is of an earlier boot, or of larger
			     settings */
	struct bucket *b;
};

#define BYTES (sizeof(struct bucket) * SETS * WAYS)

/* The file, its blocks there before anybody writes: on a full disk they would be missed then. */
static void *
shared(const char *path, struct az_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	void *p = MAP_FAILED;

	if (fd >= 0 && (errno = posix_fallocate(fd, 0, (off_t)BYTES)) == 0)
		p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		(void)az_fail_errno(err, AZ_EIO, op, "%s", path);
	if (fd >= 0)
		close(fd);
	return p;
}

enum az_code
az_api_rates_open(const struct az_api_rates_opts *o, struct az_api_rates **out, struct az_err *err)
{
	const int64_t per_minute[RATE_KINDS] = {
	    [RATE_READS] = o->reads, [RATE_WRITES] = o->writes, [RATE_CREATES] = o->creates};
	struct az_api_rates *r = calloc(1, sizeof *r);
	struct az_err why = AZ_ERR_INIT;
	void *p = MAP_FAILED;

	*out = NULL;
	if (!r)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	for (int k = 0; k < RATE_KINDS; k++) {
		int64_t n = per_minute[k], burst = n / AT_ONCE > 0 ? n / AT_ONCE : 1;

		r->step_us[k] = n > 0 ? MINUTE_US / n : 0;
		r->span_us[k] = r->step_us[k] * burst;
		if (r->span_us[k] > r->stale_us)
			r->stale_us = r->span_us[k];
	}
	r->stale_us += APART_US;
	if (o->path && (p = shared(o->path, &why)) == MAP_FAILED)
		az_log(AZ_WARN, "api.rates", AZ_KC("use", "each process counts for itself"),
		    AZ_KE(&why));
	if (p == MAP_FAILED)
		p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		free(r);
		return az_fail_errno(err, AZ_ENOMEM, op, "memory for the buckets");
	}
	r->b = p;
	*out = r;
	return AZ_OK;
}

void
az_api_rates_close(struct az_api_rates *r)
{
	if (!r)
		return;
	munmap(r->b, BYTES);
	free(r);
}

/* How long until all of its buckets are full: then it need not be remembered. */
static int64_t
ahead_us(const struct az_api_rates *r, const struct bucket *b, int64_t now_us)
{
	int64_t most = 0;

	if (atomic_load(&b->user) == 0)
		return -1;
	for (int k = 0; k < RATE_KINDS; k++) {
		int64_t t = atomic_load(&b->full_us[k]) - now_us;

		if (t > most && t <= r->stale_us)
			most = t;
	}
	return most;
}

/* The user's place in its set, or that of whom it is least lost to forget. Two who come at
   once may both make one; then one of them is never found again, and goes. */
static struct bucket *
place(struct az_api_rates *r, struct az_str uid, int64_t now_us)
{
	unsigned char sha[32];
	uint64_t user, at;
	struct bucket *set, *to;

	az_sha256_of(uid, sha);
	memcpy(&user, sha, sizeof user);
	memcpy(&at, sha + sizeof user, sizeof at);
	user += user == 0;
	set = &r->b[at % SETS * WAYS];
	for (int tries = 0; tries < WAYS; tries++) {
		int64_t ahead, least = INT64_MAX;
		uint64_t old;

		to = set;
		for (int i = 0; i < WAYS; i++) {
			if (atomic_load(&set[i].user) == user)
				return &set[i];
			ahead = ahead_us(r, &set[i], now_us);
			if (ahead < least) {
				least = ahead;
				to = &set[i];
			}
		}
		old = atomic_load(&to->user);
		/* emptied for who was there, not for who comes */
		for (int k = 0; k < RATE_KINDS; k++)
			atomic_store(&to->full_us[k], 0);
		if (atomic_compare_exchange_strong(&to->user, &old, user))
			return to;
	}
	return NULL;
}

bool
rates_take(struct az_api_rates *r, enum rate_kind kind, struct az_str uid, int64_t now_us,
    int64_t *wait_us)
{
	struct bucket *b;
	int64_t full, from, step, span;

	*wait_us = 0;
	if (!r || r->step_us[kind] == 0 || !(b = place(r, uid, now_us)))
		return true;
	step = r->step_us[kind];
	span = r->span_us[kind];
	full = atomic_load(&b->full_us[kind]);
	do {
		from = full > now_us && full - now_us <= r->stale_us ? full : now_us;
		if (from + step - now_us > span) {
			*wait_us = from + step - now_us - span;
			return false;
		}
	} while (!atomic_compare_exchange_weak(&b->full_us[kind], &full, from + step));
	return true;
}
