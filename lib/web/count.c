/* What was served: a row of counters for each route, which every request adds to without a
   lock. Read one by one, so a reader may see a request in one of them and not yet in another. */
#include <stdlib.h>
#include "web.h"

const int64_t az_web_bounds_us[AZ_WEB_BOUNDS] = {
    500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 1000000, 5000000, 30000000};

static size_t
routes_of(const struct az_web *w)
{
	size_t n = 0;

	while (w->routes[n].methods)
		n++;
	return n;
}

bool
web_counts_open(struct web_server *s)
{
	/* the last row is of those that found no route */
	s->n_counts = routes_of(s->w) + 1;
	s->counts = calloc(s->n_counts, sizeof *s->counts);
	return s->counts != NULL;
}

static void
add(atomic_int_least64_t *to, int64_t n)
{
	atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

static int64_t
now(atomic_int_least64_t *of)
{
	return atomic_load_explicit(of, memory_order_relaxed);
}

void
web_count(struct az_rq *rq, int64_t us)
{
	struct web_server *s = rq->srv;
	size_t row = rq->route ? (size_t)(rq->route - s->w->routes) : s->n_counts - 1;
	int class = rq->state == WEB_BROKEN ? 0 : rq->status / 100;
	struct web_count *c = &s->counts[row];
	size_t b = 0;

	while (b < AZ_WEB_BOUNDS && us > az_web_bounds_us[b])
		b++;
	add(&c->by_class[class < 6 ? class : 0], 1);
	add(&c->took[b], 1);
	add(&c->us, us);
}

bool
az_web_count(const struct az_rq *rq, size_t i, struct az_web_count *out)
{
	struct web_server *s = rq->srv;
	int64_t n = 0;

	memset(out, 0, sizeof *out);
	if (i >= s->n_counts)
		return false;
	out->methods = i + 1 < s->n_counts ? s->w->routes[i].methods : NULL;
	out->pattern = i + 1 < s->n_counts ? s->w->routes[i].pattern : NULL;
	for (size_t k = 0; k < 6; k++)
		out->by_class[k] = now(&s->counts[i].by_class[k]);
	for (size_t k = 0; k <= AZ_WEB_BOUNDS; k++)
		out->within[k] = n += now(&s->counts[i].took[k]);
	out->us = now(&s->counts[i].us);
	return true;
}

struct az_web_load
az_web_load(const struct az_rq *rq)
{
	struct web_server *s = rq->srv;
	struct az_web_load l = {.serving = atomic_load(&s->serving), .threads_max = s->max_threads};

	pthread_mutex_lock(&s->mu);
	l.threads = s->n_alive;
	pthread_mutex_unlock(&s->mu);
	return l;
}
