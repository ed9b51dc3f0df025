#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <azlon/arena.h>

enum { FIRST = 4096 - 64, BIG = 64 * 1024 };

struct block {
	struct block *next;
	size_t used, cap;
	alignas(max_align_t) char mem[];
};

struct closer {
	struct closer *next;
	void (*fn)(void *);
	void *arg;
};

struct az_arena {
	struct block *head; /* the one being filled */
	struct block *first;
	struct closer *closers; /* latest first */
	size_t total, max;
	bool full; /* something was refused for max */
};

static struct block *
block_new(size_t cap)
{
	struct block *b = malloc(sizeof *b + cap);

	if (!b)
		return NULL;
	b->next = NULL;
	b->used = 0;
	b->cap = cap;
	return b;
}

struct az_arena *
az_arena_new(size_t max_bytes)
{
	struct az_arena *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->first = a->head = block_new(FIRST);
	if (!a->first) {
		free(a);
		return NULL;
	}
	a->max = max_bytes;
	return a;
}

void
az_arena_reset(struct az_arena *a)
{
	struct block *b, *next;

	/* a closer may still use what lies in the arena */
	while (a->closers) {
		struct closer *c = a->closers;

		a->closers = c->next;
		c->fn(c->arg);
	}
	for (b = a->head; b != a->first; b = next) {
		next = b->next;
		free(b);
	}
	a->head = a->first;
	a->first->used = 0;
	a->total = 0;
	a->full = false;
}

void
az_arena_free(struct az_arena *a)
{
	if (!a)
		return;
	az_arena_reset(a);
	free(a->first);
	free(a);
}

bool
az_arena_full(const struct az_arena *a)
{
	return a->full;
}

void *
az_arena_alloc(struct az_arena *a, size_t n)
{
	const size_t al = alignof(max_align_t);
	struct block *b = a->head;
	void *p;

	if (n > a->max || a->total > a->max - n) {
		a->full = true;
		return NULL;
	}
	n = (n + al - 1) & ~(al - 1);
	if (n == 0)
		n = al;
	if (b->cap - b->used < n) {
		size_t cap = a->total < BIG ? FIRST * 2 : BIG;

		b = block_new(cap < n ? n : cap);
		if (!b)
			return NULL;
		b->next = a->head;
		a->head = b;
	}
	p = b->mem + b->used;
	b->used += n;
	a->total += n;
	memset(p, 0, n);
	return p;
}

char *
az_arena_cstr(struct az_arena *a, struct az_str s)
{
	char *p = az_arena_alloc(a, s.n + 1);

	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

struct az_str
az_arena_str(struct az_arena *a, struct az_str s)
{
	char *p = az_arena_cstr(a, s);

	return (struct az_str){p, p ? s.n : 0};
}

char *
az_arena_printf(struct az_arena *a, const char *fmt, ...)
{
	va_list ap;
	int n;
	char *p;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	p = az_arena_alloc(a, (size_t)n + 1);
	if (!p)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}

bool
az_arena_defer(struct az_arena *a, void (*fn)(void *), void *arg)
{
	struct closer *c = az_arena_alloc(a, sizeof *c);

	if (!c) {
		fn(arg);
		return false;
	}
	c->fn = fn;
	c->arg = arg;
	c->next = a->closers;
	a->closers = c;
	return true;
}
