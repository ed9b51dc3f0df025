/* Trees as drawings: a recursion over ranges of sorted paths. */
#include <azlon/draw.h>

struct pen {
	const struct az_draw *d;
	struct az_buf *out, indent;
	size_t lines;
	bool full;
};

/* The name at lo, and the first item past it. */
static size_t
child(const struct az_draw *d, size_t lo, size_t hi, size_t skip, struct az_str *name, bool *dir)
{
	struct az_str path = d->item(d->arg, lo).path, rest = az_str_sub(path, skip, path.n), below;
	ptrdiff_t slash = az_str_chr(rest, '/');
	size_t end = lo + 1;

	*dir = slash >= 0;
	*name = *dir ? az_str_sub(rest, 0, (size_t)slash) : rest;
	below = az_str_sub(path, 0, skip + name->n + 1);
	while (*dir && end < hi && az_str_starts(d->item(d->arg, end).path, below))
		end++;
	return end;
}

static void
draw(struct pen *p, size_t lo, size_t hi, size_t skip)
{
	/* the directory itself */
	if (lo < hi && p->d->item(p->d->arg, lo).path.n == skip)
		lo++;
	while (lo < hi && !p->full) {
		struct az_draw_item it = p->d->item(p->d->arg, lo);
		size_t was = p->indent.n, end;
		struct az_str name;
		bool dir;

		if (p->d->lines && p->lines++ == p->d->lines) {
			az_buf_addc(p->out, "… and more\n");
			p->full = true;
			return;
		}
		end = child(p->d, lo, hi, skip, &name, &dir);
		az_buf_adds(p->out, az_buf_str(&p->indent));
		az_buf_addc(p->out, end < hi ? "├── " : "└── ");
		az_buf_adds(p->out, name);
		if (dir)
			az_buf_addc(p->out, "/\n");
		else if (it.note.n)
			az_buf_addf(p->out, " (%.*s)\n", AZ_FMT(it.note));
		else
			az_buf_addf(p->out, " (%lld bytes)\n", (long long)it.size);
		if (dir) {
			az_buf_addc(&p->indent, end < hi ? "│   " : "    ");
			draw(p, lo, end, skip + name.n + 1);
			az_buf_cut(&p->indent, was);
		}
		lo = end;
	}
}

void
az_draw_tree(struct az_buf *out, const struct az_draw *d)
{
	struct pen p = {.d = d, .out = out};

	az_buf_init(&p.indent, 16384);
	draw(&p, 0, d->n, d->skip);
	az_buf_release(&p.indent);
}
