#include <errno.h>
#include <sys/random.h>
#include <azlon/clock.h>

void
az_random(void *p, size_t n)
{
	char *at = p;

	while (n) {
		ssize_t got = getrandom(at, n < 256 ? n : 256, 0);

		if (got < 0) /* EINTR only: the pool never runs dry */
			continue;
		at += got;
		n -= (size_t)got;
	}
}

void
az_random_id(struct az_buf *b, size_t n)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char r[64];

	while (n) {
		size_t k = n < sizeof r ? n : sizeof r;

		az_random(r, k);
		for (size_t i = 0; i < k; i++)
			az_buf_addch(b, alphabet[r[i] & 31]);
		n -= k;
	}
}

uint64_t
az_random_below(uint64_t below)
{
	uint64_t v, limit;

	if (below < 2)
		return 0;
	limit = UINT64_MAX - UINT64_MAX % below; /* no bias */
	do
		az_random(&v, sizeof v);
	while (v >= limit);
	return v % below;
}
