/*
 * A ring of slots. Threads take the next number in turn, fill the slot of that number and
 * wait; the reader empties the slots in the order of their numbers. What goes wrong stays
 * in its slot until the reader comes to it, and nothing further is opened.
 */
#include <pthread.h>
#include <stdlib.h>
#include <azlon/ahead.h>

#define SLOTS (AZ_AHEAD_OBJECTS + 1)
#define THREADS AZ_AHEAD_OBJECTS
#define SLOT_BYTES (AZ_AHEAD_BYTES / SLOTS)

static const char op[] = "store.ahead";

struct slot {
	enum { FREE, FILLING, FULL } state;
	struct az_get *get; /* NULL: data is all there is */
	struct az_obj obj;
	enum az_code rc;
	struct az_err err;
	size_t n, at; /* bytes in data, and of these read */
	char *data;
};

struct az_ahead {
	struct az_ahead_opts o;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	pthread_t thread[THREADS];
	size_t threads;
	bool stop, last; /* last: opened is how many there are */
	uint64_t opened; /* numbers given out */
	uint64_t read;   /* numbers the reader went to */
	struct slot slot[SLOTS];
	char data[AZ_AHEAD_BYTES];
};

/* Open it and read until its end or until the slot is full. */
static void
fill(struct az_ahead *h, struct slot *s, struct az_str key)
{
	bool end = false;

	s->n = s->at = 0;
	s->err = (struct az_err)AZ_ERR_INIT;
	s->rc = az_store_get_open(h->o.store, h->o.bucket, key, 0, &s->obj, &s->get, &s->err);
	while (!s->rc && !end && s->n < SLOT_BYTES) {
		size_t got;

		s->rc = az_store_get_read(s->get, s->data + s->n, SLOT_BYTES - s->n, &got, &s->err);
		end = got == 0;
		s->n += got;
	}
	/* its connection is free for the next */
	if (s->rc || end) {
		az_store_get_close(s->get);
		s->get = NULL;
	}
}

/* With the lock held: the slot of the next object and its key; NULL: nothing is left. */
static struct slot *
take(struct az_ahead *h, struct az_buf *key)
{
	struct slot *s;

	while (!h->stop && !h->last && h->slot[h->opened % SLOTS].state != FREE)
		pthread_cond_wait(&h->changed, &h->mu);
	if (h->stop || h->last)
		return NULL;
	az_buf_reset(key);
	if (!h->o.next(h->o.arg, key)) {
		h->last = true;
		pthread_cond_broadcast(&h->changed);
		return NULL;
	}
	s = &h->slot[h->opened++ % SLOTS];
	s->state = FILLING;
	return s;
}

static void *
opener(void *arg)
{
	struct az_ahead *h = arg;
	struct az_buf key;
	struct slot *s;

	az_buf_init(&key, 2048);
	pthread_mutex_lock(&h->mu);
	while ((s = take(h, &key))) {
		pthread_mutex_unlock(&h->mu);
		fill(h, s, az_buf_str(&key));
		pthread_mutex_lock(&h->mu);
		s->state = FULL;
		h->last |= s->rc != AZ_OK;
		pthread_cond_broadcast(&h->changed);
	}
	pthread_mutex_unlock(&h->mu);
	az_buf_release(&key);
	return NULL;
}

enum az_code
az_ahead_open(const struct az_ahead_opts *o, struct az_ahead **out, struct az_err *err)
{
	struct az_ahead *h = malloc(sizeof *h);

	*out = NULL;
	if (!h)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	memset(h, 0, offsetof(struct az_ahead, data));
	h->o = *o;
	pthread_mutex_init(&h->mu, NULL);
	pthread_cond_init(&h->changed, NULL);
	for (size_t i = 0; i < SLOTS; i++)
		h->slot[i].data = h->data + i * SLOT_BYTES;
	while (h->threads < THREADS && pthread_create(&h->thread[h->threads], NULL, opener, h) == 0)
		h->threads++;
	/* with fewer it is only slower */
	if (h->threads == 0) {
		az_ahead_close(h);
		return az_fail(err, AZ_ENOMEM, op, "cannot start a thread");
	}
	*out = h;
	return AZ_OK;
}

/* The slot the reader is at is free again. */
static void
leave(struct az_ahead *h)
{
	struct slot *s;

	if (h->read == 0)
		return;
	s = &h->slot[(h->read - 1) % SLOTS];
	az_store_get_close(s->get);
	s->get = NULL;
	pthread_mutex_lock(&h->mu);
	s->state = FREE;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->mu);
}

enum az_code
az_ahead_next(struct az_ahead *h, struct az_obj *obj, struct az_err *err)
{
	struct slot *s = &h->slot[h->read % SLOTS];
	enum az_code rc;

	leave(h);
	pthread_mutex_lock(&h->mu);
	while (s->state != FULL && !(h->last && h->read >= h->opened))
		pthread_cond_wait(&h->changed, &h->mu);
	if (s->state != FULL) {
		rc = az_fail(err, AZ_ERANGE, op, "there are no more objects");
	} else {
		h->read++;
		rc = s->rc;
		*obj = s->obj;
		if (rc && err)
			*err = s->err;
	}
	pthread_mutex_unlock(&h->mu);
	return rc;
}

enum az_code
az_ahead_read(struct az_ahead *h, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct slot *s = &h->slot[(h->read - 1) % SLOTS];

	*got = 0;
	if (s->at == s->n)
		return s->get ? az_store_get_read(s->get, p, n, got, err) : AZ_OK;
	*got = s->n - s->at < n ? s->n - s->at : n;
	memcpy(p, s->data + s->at, *got);
	s->at += *got;
	return AZ_OK;
}

void
az_ahead_close(struct az_ahead *h)
{
	if (!h)
		return;
	pthread_mutex_lock(&h->mu);
	h->stop = true;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->mu);
	for (size_t i = 0; i < h->threads; i++)
		pthread_join(h->thread[i], NULL);
	for (size_t i = 0; i < SLOTS; i++)
		az_store_get_close(h->slot[i].get);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->mu);
	free(h);
}
