/* What hunks of a unified diff make of a text: for tests that a diff is one. */
#ifndef DIFF_APPLY_H
#define DIFF_APPLY_H

#include <stdio.h>
#include <azlon/buf.h>

/* The next line with its LF. */
static inline struct az_str
diff_line(struct az_str s, size_t *at)
{
	ptrdiff_t lf = az_str_chr(az_str_sub(s, *at, s.n), '\n');
	struct az_str line = az_str_sub(s, *at, lf < 0 ? s.n : *at + (size_t)lf + 1);

	*at += line.n;
	return line;
}

/* Lines up to hunk's first are taken over as they are. */
static inline void
diff_skip(struct az_str a, size_t *at, long *line, long to, struct az_buf *out)
{
	while (*line < to && *at < a.n) {
		az_buf_adds(out, diff_line(a, at));
		++*line;
	}
}

/*
 * Apply hunks to a; false when they do not fit it: every line that they show of a must stand
 * there, and the counts of their heads must be true. *marked counts lines with a sign.
 */
static inline bool
diff_apply(struct az_str a, struct az_str hunks, struct az_buf *out, size_t *marked)
{
	size_t at = 0, h = 0;
	long line = 0, made = 0;

	*marked = 0;
	while (h < hunks.n) {
		long from, n, to, m;
		char head[100];
		struct az_str t = diff_line(hunks, &h);

		snprintf(head, sizeof head, "%.*s", AZ_FMT(t));
		if (sscanf(head, "@@ -%ld,%ld +%ld,%ld @@", &from, &n, &to, &m) != 4)
			return false;
		from -= n > 0;
		to -= m > 0;
		made += from - line;
		diff_skip(a, &at, &line, from, out);
		if (line != from || made != to)
			return false;
		while (n > 0 || m > 0) {
			struct az_str l = diff_line(hunks, &h), body;
			size_t next = h;
			char sign = l.n ? l.p[0] : 0;

			body = az_str_sub(l, 1, l.n);
			if (az_str_starts(diff_line(hunks, &next), AZ_S("\\ "))) {
				h = next;
				body.n--;
			}
			if (sign == ' ' || sign == '-') {
				if (!az_str_eq(diff_line(a, &at), body))
					return false;
				line++;
				n--;
			}
			if (sign == ' ' || sign == '+') {
				az_buf_adds(out, body);
				made++;
				m--;
			}
			if (sign != ' ' && sign != '-' && sign != '+')
				return false;
			*marked += sign != ' ';
		}
		if (n || m)
			return false;
	}
	az_buf_adds(out, az_str_sub(a, at, a.n));
	return true;
}

#endif
