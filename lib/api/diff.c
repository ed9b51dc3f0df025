/*
 * E. Myers, "An O(ND) Difference Algorithm and Its Variations", with its divide and conquer, so
 * that memory is linear: from both ends at once, until the two ways meet; then each half anew.
 */
#include <stdlib.h>
#include "diff.h"

#define CONTEXT 3
#define FAR 1000 /* differences after which half a way is enough; the rest is found from there */
#define NONE (-1)

static const char op[] = "api.diff";

struct text {
	struct az_str *line; /* each with its LF */
	uint32_t *id;        /* equal lines have equal ids */
	bool *changed;       /* not part of the other text */
	ptrdiff_t n;
};

struct diff {
	struct text a, b;
	ptrdiff_t *ahead, *back; /* by diagonal: how far a way got, from either end */
	int64_t steps;
};

/* ---- lines ---- */

static ptrdiff_t
count_lines(struct az_str s)
{
	ptrdiff_t n = s.n && s.p[s.n - 1] != '\n';

	for (size_t i = 0; i < s.n; i++)
		n += s.p[i] == '\n';
	return n;
}

static bool
split(struct text *t, struct az_str s)
{
	size_t n = (size_t)count_lines(s), at = 0;

	t->n = (ptrdiff_t)n;
	t->line = calloc(n + 1, sizeof *t->line);
	t->id = calloc(n + 1, sizeof *t->id);
	t->changed = calloc(n + 1, sizeof *t->changed);
	if (!t->line || !t->id || !t->changed)
		return false;
	for (size_t i = 0; i < n; i++) {
		ptrdiff_t lf = az_str_chr(az_str_sub(s, at, s.n), '\n');
		size_t end = lf < 0 ? s.n : at + (size_t)lf + 1;

		t->line[i] = az_str_sub(s, at, end);
		at = end;
	}
	return true;
}

static uint32_t
hash(struct az_str s)
{
	uint32_t h = UINT32_C(2166136261);

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * UINT32_C(16777619);
	return h;
}

/* Give each line the number of the first one like it. Lines made to collide use the steps up:
   then the numbers mean nothing. */
static bool
number(struct diff *d)
{
	struct text *both[] = {&d->a, &d->b};
	size_t all = (size_t)(d->a.n + d->b.n), size = 64, n = 0;
	struct az_str *first;
	uint32_t *slot;

	while (size < 2 * all)
		size *= 2;
	slot = calloc(size, sizeof *slot); /* one more than the number, 0: free */
	first = calloc(all + 1, sizeof *first);
	for (size_t k = 0; slot && first && k < 2; k++)
		for (ptrdiff_t i = 0; i < both[k]->n; i++) {
			struct az_str line = both[k]->line[i];
			size_t at = hash(line) & (size - 1);

			while (slot[at] && d->steps > 0 && !az_str_eq(first[slot[at] - 1], line)) {
				at = (at + 1) & (size - 1);
				d->steps--;
			}
			if (!slot[at]) {
				first[n++] = line;
				slot[at] = (uint32_t)n;
			}
			both[k]->id[i] = slot[at];
		}
	free(slot);
	free(first);
	return slot && first;
}

/* ---- where two ways meet ---- */

struct box { /* lines [a, a + n) of one text, [b, b + m) of the other */
	ptrdiff_t a, b, n, m;
};

/*
 * One more difference on diagonal k (x - y) of the box, from what the neighbours reached; then
 * along equal lines. Distances from the end that the way began at.
 */
static ptrdiff_t
advance(struct diff *d, const struct box *s, const ptrdiff_t *far, ptrdiff_t k, bool backwards)
{
	const uint32_t *a = d->a.id + s->a, *b = d->b.id + s->b;
	ptrdiff_t x = NONE, y;

	if (far[k + 1] != NONE && far[k + 1] - k <= s->m)
		x = far[k + 1]; /* a line of b is put in */
	if (far[k - 1] != NONE && far[k - 1] < s->n && far[k - 1] + 1 > x)
		x = far[k - 1] + 1; /* a line of a is taken out */
	if (x == NONE)
		return NONE;
	for (y = x - k; x < s->n && y < s->m; x++, y++) {
		d->steps--;
		if (backwards ? a[s->n - 1 - x] != b[s->m - 1 - y] : a[x] != b[y])
			break;
	}
	d->steps--;
	return x;
}

/* The point that most of the way is behind. */
static void
furthest(const struct diff *d, ptrdiff_t lo, ptrdiff_t hi, ptrdiff_t *x, ptrdiff_t *y)
{
	*x = *y = 0;
	for (ptrdiff_t k = lo; k <= hi; k += 2) {
		ptrdiff_t at = d->ahead[k];

		if (at != NONE && 2 * at - k > *x + *y) {
			*x = at;
			*y = at - k;
		}
	}
}

/*
 * A point on a shortest way through the box, none of its corners; (0, 0): not found in the
 * steps that are left. Neither the first lines of the box are equal nor the last.
 */
static void
meet(struct diff *d, const struct box *s, ptrdiff_t *x, ptrdiff_t *y)
{
	ptrdiff_t delta = s->n - s->m, most = (s->n + s->m + 1) / 2;
	ptrdiff_t *f = d->ahead, *r = d->back;

	f[0] = r[0] = *x = *y = 0;
	for (ptrdiff_t c = 1; c <= most && d->steps > 0; c++) {
		/* diagonals outside the box lead nowhere */
		ptrdiff_t lo = c <= s->m ? -c : -s->m + ((c - s->m) & 1);
		ptrdiff_t hi = c <= s->n ? c : s->n - ((c - s->n) & 1);

		if (c <= s->m)
			f[-c - 1] = r[-c - 1] = NONE;
		if (c <= s->n)
			f[c + 1] = r[c + 1] = NONE;
		for (ptrdiff_t k = lo; k <= hi; k += 2) {
			ptrdiff_t other = delta - k; /* the same diagonal, from the other end */

			f[k] = advance(d, s, f, k, false);
			if ((delta & 1) && f[k] != NONE && other > -c && other < c &&
			    r[other] != NONE && f[k] + r[other] >= s->n) {
				*x = f[k];
				*y = f[k] - k;
				return;
			}
		}
		if (c == FAR) {
			furthest(d, lo, hi, x, y);
			return;
		}
		for (ptrdiff_t k = lo; k <= hi; k += 2) {
			ptrdiff_t other = delta - k;

			r[k] = advance(d, s, r, k, true);
			if (!(delta & 1) && r[k] != NONE && other >= -c && other <= c &&
			    f[other] != NONE && r[k] + f[other] >= s->n) {
				*x = s->n - r[k];
				*y = s->m - (r[k] - k);
				return;
			}
		}
	}
}

static void
mark(struct text *t, ptrdiff_t from, ptrdiff_t n)
{
	for (ptrdiff_t i = 0; i < n; i++)
		t->changed[from + i] = true;
}

/* Mark what the texts do not share. The first half of a box is half as far: no deep recursion. */
static void
compare(struct diff *d, struct box s)
{
	for (;;) {
		struct box half;

		while (s.n && s.m && d->a.id[s.a] == d->b.id[s.b]) {
			s.a++, s.b++;
			s.n--, s.m--;
		}
		while (s.n && s.m && d->a.id[s.a + s.n - 1] == d->b.id[s.b + s.m - 1])
			s.n--, s.m--;
		half = (struct box){.a = s.a, .b = s.b};
		if (s.n && s.m)
			meet(d, &s, &half.n, &half.m);
		if (half.n + half.m == 0) {
			mark(&d->a, s.a, s.n);
			mark(&d->b, s.b, s.m);
			return;
		}
		compare(d, half);
		s.a += half.n;
		s.b += half.m;
		s.n -= half.n;
		s.m -= half.m;
	}
}

/* ---- hunks ---- */

static void
put(struct az_buf *out, char sign, struct az_str line)
{
	az_buf_addch(out, sign);
	az_buf_adds(out, line);
	if (line.p[line.n - 1] != '\n')
		az_buf_addc(out, "\n\\ No newline at end of file\n");
}

/* A line number as a hunk's head has it: of no lines, the one before. */
static void
put_range(struct az_buf *out, char sign, ptrdiff_t at, ptrdiff_t n)
{
	az_buf_addf(out, " %c%td,%td", sign, n ? at + 1 : at, n);
}

static void
put_hunk(const struct diff *d, const struct box *s, struct az_buf *out)
{
	ptrdiff_t i = s->a, k = s->b;

	az_buf_addc(out, "@@");
	put_range(out, '-', s->a, s->n);
	put_range(out, '+', s->b, s->m);
	az_buf_addc(out, " @@\n");
	while (i < s->a + s->n || k < s->b + s->m) {
		if (i < s->a + s->n && d->a.changed[i]) {
			put(out, '-', d->a.line[i++]);
		} else if (k < s->b + s->m && d->b.changed[k]) {
			put(out, '+', d->b.line[k++]);
		} else {
			put(out, ' ', d->a.line[i++]);
			k++;
		}
	}
}

static bool
same_at(const struct diff *d, ptrdiff_t i, ptrdiff_t k)
{
	return i < d->a.n && k < d->b.n && !d->a.changed[i] && !d->b.changed[k];
}

/* Past what changed from here on, with gaps that are all context. */
static void
changes_end(const struct diff *d, ptrdiff_t *i, ptrdiff_t *k)
{
	for (ptrdiff_t gap = 0;; *i += gap, *k += gap) {
		while (*i < d->a.n && d->a.changed[*i])
			++*i;
		while (*k < d->b.n && d->b.changed[*k])
			++*k;
		for (gap = 0; gap <= 2 * CONTEXT && same_at(d, *i + gap, *k + gap);)
			gap++;
		if (gap > 2 * CONTEXT || (*i + gap == d->a.n && *k + gap == d->b.n))
			return;
	}
}

static void
put_hunks(const struct diff *d, struct az_buf *out)
{
	ptrdiff_t i = 0, k = 0;

	while (!out->fail) {
		ptrdiff_t lead = 0, tail = 0;
		struct box s;

		while (same_at(d, i, k))
			i++, k++;
		if (i == d->a.n && k == d->b.n)
			return;
		while (lead < CONTEXT && i > lead && k > lead &&
		       same_at(d, i - lead - 1, k - lead - 1))
			lead++;
		s = (struct box){.a = i - lead, .b = k - lead};
		changes_end(d, &i, &k);
		while (tail < CONTEXT && same_at(d, i + tail, k + tail))
			tail++;
		s.n = i + tail - s.a;
		s.m = k + tail - s.b;
		put_hunk(d, &s, out);
	}
}

/* ---- whole ---- */

static void
release(struct text *t)
{
	free(t->line);
	free(t->id);
	free(t->changed);
}

enum az_code
diff_hunks(struct az_str a, struct az_str b, int64_t steps, struct az_buf *out, struct az_err *err)
{
	struct diff d = {.steps = steps};
	ptrdiff_t *ways = NULL;
	size_t width;
	enum az_code rc;

	if (az_str_eq(a, b)) /* without a step */
		return AZ_OK;
	if (count_lines(a) > DIFF_LINES || count_lines(b) > DIFF_LINES)
		return az_fail(err, AZ_ETOOBIG, op, "more than %d lines", DIFF_LINES);
	rc = az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (!split(&d.a, a) || !split(&d.b, b) || !number(&d))
		goto out;
	/* diagonals -m-1 to n+1 */
	width = (size_t)(d.a.n + d.b.n) + 3;
	if (!(ways = calloc(2 * width, sizeof *ways)))
		goto out;
	d.ahead = ways + d.b.n + 1;
	d.back = d.ahead + width;
	if (d.steps > 0) {
		compare(&d, (struct box){.n = d.a.n, .m = d.b.n});
	} else { /* not even numbered */
		mark(&d.a, 0, d.a.n);
		mark(&d.b, 0, d.b.n);
	}
	put_hunks(&d, out);
	rc = az_buf_check(out, op, err);
out:
	free(ways);
	release(&d.a);
	release(&d.b);
	return rc;
}

bool
diff_is_text(struct az_str s)
{
	return az_str_chr(s, '\0') < 0 && az_str_utf8_ok(s);
}
