/*
 * May a stranger's pattern be compiled and matched? Compilers of patterns copy what is
 * repeated ("a+" is two copies, "a{9}" nine), so nested repeats grow exponentially and a
 * short pattern can take all memory. The size after copying is computed first.
 */
#include <regex.h>
#include <stdlib.h>
#include "run.h"

#define PATTERN_BYTES 1000
#define DEPTH 50   /* groups in groups: the compiler recurses */
#define NODES 2000 /* after copying */

struct level {
	int64_t sum;  /* of what stands before the last atom */
	int64_t last; /* the atom a repeat would apply to */
};

struct scan {
	struct az_str p;
	size_t at;
	struct level level[DEPTH + 1];
	size_t depth;
};

static void
atom(struct scan *s, int64_t size)
{
	s->level[s->depth].sum += s->level[s->depth].last;
	s->level[s->depth].last = size;
}

static bool
repeat(struct scan *s, int64_t times)
{
	struct level *l = &s->level[s->depth];

	l->last *= times;
	return l->last <= NODES;
}

/* "{n}", "{n,}", "{n,m}", "{,m}": at stands behind the brace. */
static bool
interval(struct scan *s)
{
	struct az_str rest = az_str_sub(s->p, s->at, s->p.n), lo, hi;
	ptrdiff_t end = az_str_chr(rest, '}');
	int64_t a = 0, b = 0;

	if (end < 1)
		return false;
	s->at += (size_t)end + 1;
	hi = az_str_sub(rest, 0, (size_t)end);
	if (!az_str_cut(&hi, ',', &lo) || (lo.n && !az_str_to_i64(lo, 0, NODES, &a)) ||
	    (hi.n && !az_str_to_i64(hi, 0, NODES, &b)) || (lo.n == 0 && hi.n == 0))
		return false;
	return repeat(s, 1 + (a > b ? a : b));
}

/* Past the end of a bracket expression; at stands behind '['. */
static bool
bracket(struct scan *s)
{
	struct az_str p = s->p;
	size_t i = s->at;

	if (i < p.n && p.p[i] == '^')
		i++;
	if (i < p.n && p.p[i] == ']')
		i++;
	for (; i < p.n && p.p[i] != ']'; i++) {
		char end[3] = {0, ']', 0};
		ptrdiff_t to;

		if (p.p[i] != '[' || i + 1 >= p.n || !strchr(":.=", p.p[i + 1]))
			continue;
		end[0] = p.p[i + 1];
		to = az_str_find(p, az_str_c(end), i + 2);
		if (to < 0)
			return false;
		i = (size_t)to + 1;
	}
	s->at = i + 1;
	atom(s, 1);
	return i < p.n;
}

static bool
group_end(struct scan *s)
{
	int64_t size;

	if (s->depth == 0) { /* an ordinary character then */
		atom(s, 1);
		return true;
	}
	size = 1 + s->level[s->depth].sum + s->level[s->depth].last;
	s->depth--;
	atom(s, size);
	return size <= NODES;
}

static bool
step(struct scan *s)
{
	char c = s->p.p[s->at++];

	switch (c) {
	case '\\':
		/* back references make matching exponential */
		if (s->at == s->p.n || (s->p.p[s->at] >= '0' && s->p.p[s->at] <= '9'))
			return false;
		s->at++;
		atom(s, 1);
		return true;
	case '[':
		return bracket(s);
	case '(':
		if (s->depth == DEPTH)
			return false;
		s->level[++s->depth] = (struct level){0, 0};
		return true;
	case ')':
		return group_end(s);
	case '{':
		return interval(s);
	case '+':
		return repeat(s, 2);
	case '*':
	case '?':
		/* not copied, but a chain of them is a chain of nodes */
		s->level[s->depth].last++;
		return true;
	default:
		atom(s, 1);
		return true;
	}
}

bool
create_regex_ok(struct az_str pattern)
{
	struct scan s = {.p = pattern};
	char *text;
	regex_t re;
	int rc;

	if (pattern.n == 0 || pattern.n > PATTERN_BYTES || az_str_chr(pattern, '\0') >= 0)
		return false;
	while (s.at < pattern.n)
		if (!step(&s))
			return false;
	if (s.level[0].sum + s.level[0].last > NODES || !(text = az_str_dup(pattern)))
		return false;
	rc = regcomp(&re, text, REG_EXTENDED | REG_NOSUB);
	if (rc == 0)
		regfree(&re);
	free(text);
	return rc == 0;
}
