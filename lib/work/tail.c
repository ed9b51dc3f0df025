#include <stdlib.h>
#include "tail.h"

enum { LINE_BYTES = 65536, REPEATS = 3 };

enum az_code
az_tail_init(struct az_tail *t, size_t head, size_t tail, struct az_err *err)
{
	*t = (struct az_tail){.head_max = head, .ring_max = tail};
	t->head = malloc(head ? head : 1);
	t->ring = malloc(tail ? tail : 1);
	if (!t->head || !t->ring)
		return az_fail(err, AZ_ENOMEM, "tail.init", "no memory");
	return AZ_OK;
}

void
az_tail_release(struct az_tail *t)
{
	free(t->head);
	free(t->ring);
	*t = (struct az_tail){0};
}

void
az_tail_reset(struct az_tail *t)
{
	t->head_n = t->ring_n = t->ring_at = 0;
	t->total = 0;
}

void
az_tail_add(struct az_tail *t, struct az_str s)
{
	size_t n = t->head_max - t->head_n;

	t->total += (int64_t)s.n;
	if (n > s.n)
		n = s.n;
	if (n) {
		memcpy(t->head + t->head_n, s.p, n);
		t->head_n += n;
		s = az_str_sub(s, n, s.n);
	}
	/* only the last ring_max bytes can stay */
	if (s.n > t->ring_max)
		s = az_str_sub(s, s.n - t->ring_max, s.n);
	while (s.n && t->ring_max) {
		n = t->ring_max - t->ring_at;
		if (n > s.n)
			n = s.n;
		memcpy(t->ring + t->ring_at, s.p, n);
		t->ring_at = (t->ring_at + n) % t->ring_max;
		t->ring_n = t->ring_n + n > t->ring_max ? t->ring_max : t->ring_n + n;
		s = az_str_sub(s, n, s.n);
	}
}

int64_t
az_tail_lost(const struct az_tail *t)
{
	return t->total - (int64_t)(t->head_n + t->ring_n);
}

/* The ring in order: its older and its newer part. */
static void
ring_parts(const struct az_tail *t, struct az_str part[2])
{
	size_t from = t->ring_n < t->ring_max ? 0 : t->ring_at;

	part[0] = az_str_n(t->ring + from, t->ring_n - (t->ring_n < t->ring_max ? 0 : t->ring_at));
	part[1] = az_str_n(t->ring, t->ring_n - part[0].n);
}

static bool
continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Without a character that the end of s cuts. */
static struct az_str
whole_end(struct az_str s)
{
	for (size_t k = 1; k <= 3 && k <= s.n; k++) {
		unsigned char c = (unsigned char)s.p[s.n - k];
		size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;

		if (continues((char)c))
			continue;
		if (need > k)
			s.n -= k;
		break;
	}
	return s;
}

/* Without the rest of a character that the start of s cuts. */
static struct az_str
whole_start(struct az_str s)
{
	for (int k = 0; k < 3 && s.n && continues(s.p[0]); k++)
		s = az_str_sub(s, 1, s.n);
	return s;
}

static void
mark(struct az_buf *out, int64_t lost)
{
	if (out->n && out->p[out->n - 1] != '\n')
		az_buf_addch(out, '\n');
	az_buf_addf(out, "[... %lld bytes left out ...]\n", (long long)lost);
}

/* The ring's bytes, appended; from a whole character on if bytes before it are lost. */
static void
add_ring(const struct az_tail *t, bool cut, struct az_buf *out)
{
	struct az_str part[2];

	ring_parts(t, part);
	if (cut) {
		struct az_str p = whole_start(part[0]);

		/* a character may lie across the seam of the ring */
		if (p.n == 0 && part[0].n < 3)
			part[1] = whole_start(part[1]);
		part[0] = p;
	}
	az_buf_adds(out, part[0]);
	az_buf_adds(out, part[1]);
}

void
az_tail_raw(const struct az_tail *t, struct az_buf *out)
{
	int64_t lost = az_tail_lost(t);
	struct az_str head = az_str_n(t->head, t->head_n);

	az_buf_adds(out, lost ? whole_end(head) : head);
	if (lost)
		mark(out, lost);
	add_ring(t, lost > 0, out);
}

void
az_tail_last(const struct az_tail *t, size_t n, struct az_buf *out)
{
	bool joined = az_tail_lost(t) == 0;
	size_t have = t->ring_n + (joined ? t->head_n : 0), skip = have > n ? have - n : 0;
	struct az_str part[3];
	bool cut = skip > 0 || !joined;

	part[0] = joined ? az_str_n(t->head, t->head_n) : (struct az_str){NULL, 0};
	ring_parts(t, part + 1);
	for (int i = 0; i < 3; i++) {
		size_t k = skip < part[i].n ? skip : part[i].n;

		skip -= k;
		part[i] = az_str_sub(part[i], k, part[i].n);
		if (cut && part[i].n) {
			part[i] = whole_start(part[i]);
			cut = part[i].n == 0;
		}
		az_buf_adds(out, part[i]);
	}
}

/* ---- cleaning ---- */

/* Length of the escape sequence at i (its ESC included), as terminals read it. */
static size_t
escape(struct az_str s, size_t i)
{
	size_t k = i + 1;

	if (k == s.n)
		return 1;
	if (s.p[k] == '[') {
		/* CSI: parameters, intermediates, one final byte */
		for (k++; k < s.n && s.p[k] >= 0x20 && s.p[k] <= 0x3f; k++)
			;
		return (k < s.n && s.p[k] >= 0x40 ? k + 1 : k) - i;
	}
	if (strchr("]PX^_", s.p[k]) && s.p[k]) {
		/* a string, ended by BEL or ESC \; an unfinished one ends with its line */
		for (k++; k < s.n; k++) {
			if (s.p[k] == '\a')
				return k + 1 - i;
			if (s.p[k] == 0x1b)
				return (k + 1 < s.n && s.p[k + 1] == '\\' ? k + 2 : k) - i;
		}
		return k - i;
	}
	while (k < s.n && s.p[k] >= 0x20 && s.p[k] <= 0x2f)
		k++;
	return (k < s.n && s.p[k] >= 0x30 && s.p[k] != 0x7f ? k + 1 : k) - i;
}

static size_t
character(struct az_str s, size_t i)
{
	unsigned char c = (unsigned char)s.p[i];
	size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

	if (n == 1)
		return 1;
	return s.n - i >= n && az_str_utf8_ok(az_str_sub(s, i, i + n)) ? n : 0;
}

/* One line as a terminal would leave it standing. */
static void
clean_line(struct az_str s, struct az_buf *out)
{
	for (size_t i = 0, n; i < s.n; i += n) {
		unsigned char c = (unsigned char)s.p[i];

		n = 1;
		if (c == 0x1b) {
			n = escape(s, i);
		} else if (c == '\r') {
			/* what follows overwrites; a last one overwrites nothing */
			if (i + 1 < s.n)
				az_buf_reset(out);
		} else if (c == '\b') {
			size_t k = out->n;

			while (k && continues(out->p[k - 1]))
				k--;
			az_buf_cut(out, k ? k - 1 : 0);
		} else if (c == '\t' || (c >= 0x20 && c != 0x7f)) {
			n = character(s, i);
			if (n)
				az_buf_add(out, s.p + i, n);
			else
				az_buf_addc(out, "\xef\xbf\xbd");
			n = n ? n : 1;
		}
	}
}

struct cleaner {
	struct az_tail *to;
	struct az_buf now, before; /* this line and the one before, cleaned */
	int64_t repeats;           /* of before, beyond its first */
	bool any;
};

/* Say how often the line before came again. */
static void
settle(struct cleaner *c)
{
	struct az_buf b;

	az_buf_init(&b, 128);
	if (c->repeats >= REPEATS) {
		az_buf_addf(&b, "[the line above %lld more times]\n", (long long)c->repeats);
		az_tail_add(c->to, az_buf_str(&b));
	} else {
		for (int64_t i = 0; i < c->repeats; i++) {
			az_tail_add(c->to, az_buf_str(&c->before));
			az_tail_add(c->to, AZ_S("\n"));
		}
	}
	c->repeats = 0;
	az_buf_release(&b);
}

static void
one_line(struct cleaner *c, struct az_str raw, bool newline)
{
	struct az_buf swap;

	az_buf_reset(&c->now);
	clean_line(raw, &c->now);
	if (newline && c->any && az_str_eq(az_buf_str(&c->now), az_buf_str(&c->before))) {
		c->repeats++;
		return;
	}
	settle(c);
	az_tail_add(c->to, az_buf_str(&c->now));
	if (newline)
		az_tail_add(c->to, AZ_S("\n"));
	swap = c->before;
	c->before = c->now;
	c->now = swap;
	c->any = newline;
}

/* Clean text into a collector. */
static void
clean(struct az_tail *to, struct az_str text)
{
	struct cleaner c = {.to = to};

	/* a byte that is no UTF-8 becomes three */
	az_buf_init(&c.now, LINE_BYTES * 3);
	az_buf_init(&c.before, LINE_BYTES * 3);
	while (text.n) {
		ptrdiff_t nl = az_str_chr(az_str_sub(text, 0, LINE_BYTES), '\n');
		size_t n = nl >= 0 ? (size_t)nl : text.n < LINE_BYTES ? text.n : LINE_BYTES;
		struct az_str piece = az_str_sub(text, 0, n);

		/* an endless line in pieces, cut between characters */
		if (nl < 0 && n < text.n && whole_end(piece).n)
			piece = whole_end(piece);
		one_line(&c, piece, nl >= 0);
		text = az_str_sub(text, piece.n + (nl >= 0 ? 1 : 0), text.n);
	}
	settle(&c);
	az_buf_release(&c.now);
	az_buf_release(&c.before);
}

static void
no_memory(struct az_buf *out)
{
	if (out->fail == AZ_OK)
		out->fail = AZ_ENOMEM;
}

void
az_tail_render(struct az_buf *out, struct az_str text, size_t head, size_t tail)
{
	struct az_tail t;

	if (az_tail_init(&t, head, tail, NULL)) {
		no_memory(out);
	} else {
		clean(&t, text);
		az_tail_raw(&t, out);
	}
	az_tail_release(&t);
}

void
az_tail_show(const struct az_tail *t, struct az_buf *out, size_t head, size_t tail)
{
	int64_t lost = az_tail_lost(t);
	struct az_tail first = {0}, last = {0};
	struct az_buf b;

	az_buf_init(&b, t->head_max + t->ring_max + 1);
	if (lost == 0) {
		az_tail_raw(t, &b);
		az_tail_render(out, az_buf_str(&b), head, tail);
	} else if (az_tail_init(&first, head, 0, NULL) || az_tail_init(&last, 0, tail, NULL)) {
		no_memory(out);
	} else {
		clean(&first, whole_end(az_str_n(t->head, t->head_n)));
		add_ring(t, true, &b);
		clean(&last, az_buf_str(&b));
		az_buf_adds(out, whole_end(az_str_n(first.head, first.head_n)));
		mark(out, lost + az_tail_lost(&first) + az_tail_lost(&last));
		add_ring(&last, az_tail_lost(&last) > 0, out);
	}
	az_tail_release(&first);
	az_tail_release(&last);
	az_buf_release(&b);
}
