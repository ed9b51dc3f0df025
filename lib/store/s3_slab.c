/* The part buffers of a process: so many and no more, whatever comes in at once. */
#include <stdlib.h>
#include <sys/mman.h>
#include <azlon/clock.h>
#include <azlon/cond.h>
#include <azlon/limits.h>
#include "s3.h"

static const char op[] = "s3.slab";

struct s3_slab {
	pthread_mutex_t mu;
	pthread_cond_t given;
	int left;
};

enum az_code
s3_slab_new(struct s3_slab **out, struct az_err *err)
{
	struct s3_slab *s = calloc(1, sizeof *s);

	*out = s;
	if (!s)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	pthread_mutex_init(&s->mu, NULL);
	az_cond_init(&s->given);
	s->left = S3_SLAB_PARTS;
	return AZ_OK;
}

void
s3_slab_free(struct s3_slab *s)
{
	if (!s)
		return;
	pthread_cond_destroy(&s->given);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

enum az_code
s3_slab_take(struct s3_slab *s, int64_t wait_ms, char **out, struct az_err *err)
{
	int64_t until = az_boot_ms() + wait_ms;
	enum az_code rc = AZ_OK;
	void *p = NULL;

	*out = NULL;
	pthread_mutex_lock(&s->mu);
	while (s->left == 0 && az_cond_wait(&s->given, &s->mu, until))
		;
	if (s->left == 0)
		rc = az_fail(err, AZ_EUNAVAIL, op, "too many uploads at once; try again later");
	else if ((p = mmap(NULL, S3_PART_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      -1, 0)) == MAP_FAILED)
		rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	else
		s->left--;
	if (!rc)
		*out = p;
	pthread_mutex_unlock(&s->mu);
	if (rc == AZ_EUNAVAIL && err)
		az_err_reason(err, "busy");
	return rc;
}

void
s3_slab_give(struct s3_slab *s, char *p)
{
	if (!p)
		return;
	/* not from the heap, which keeps what it once got of this size */
	munmap(p, S3_PART_BYTES);
	pthread_mutex_lock(&s->mu);
	s->left++;
	pthread_cond_signal(&s->given);
	pthread_mutex_unlock(&s->mu);
}
