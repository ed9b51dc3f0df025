/* A directory of a sandbox as a drawing. Its names are a stranger's and go to terminals. */
#include <stdlib.h>
#include <azlon/draw.h>
#include <azlon/limits.h>
#include <azlon/sandbox.h>

enum { DEPTH_MAX = 32, LINES_MAX = 2000, ARENA = AZ_MIB(64) };

/* Code points that move a cursor, colour a screen or turn the direction of writing. */
static bool
disturbs(const unsigned char *p, size_t n, size_t *len)
{
	*len = 1;
	if (p[0] < ' ' || p[0] == 0x7f)
		return true;
	if (n >= 2 && p[0] == 0xc2 && p[1] < 0xa0) /* U+0080 … U+009F */
		return *len = 2, true;
	if (n >= 3 && p[0] == 0xe2 &&
	    ((p[1] == 0x80 && (p[2] >= 0xaa && p[2] <= 0xae)) ||
		(p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f)) ||
		(p[1] == 0x81 && (p[2] >= 0xa6 && p[2] <= 0xa9))))
		return *len = 3, true;
	return false;
}

/* path from behind root on, harmless, and with a '/' at its end when it is a directory. */
static struct az_str
shown(struct az_arena *a, struct az_str path, size_t root, bool dir)
{
	char *out = az_arena_alloc(a, path.n + 2);
	size_t i = root, k = 0, len;

	if (!out)
		return (struct az_str){NULL, 0};
	while (i < path.n) {
		if (disturbs((const unsigned char *)path.p + i, path.n - i, &len)) {
			out[k++] = '?';
			i += len;
		} else {
			out[k++] = path.p[i++];
		}
	}
	if (dir)
		out[k++] = '/';
	out[k] = '\0';
	return az_str_n(out, k);
}

static int
by_path(const void *x, const void *y)
{
	const struct az_draw_item *a = x, *b = y;

	return az_str_cmp(a->path, b->path);
}

static struct az_draw_item
item(const void *arg, size_t i)
{
	return ((const struct az_draw_item *)arg)[i];
}

/* What all entries lie below: path as the sandbox spells it, which may have resolved "~". */
static size_t
root_of(const struct az_sb_entry *e, size_t n)
{
	size_t root = (size_t)-1, i;

	for (i = 0; i < n; i++) {
		ptrdiff_t slash = az_str_rchr(e[i].path, '/');

		if (slash >= 0 && (size_t)slash + 1 < root)
			root = (size_t)slash + 1;
	}
	return root;
}

enum az_code
az_sandbox_draw(struct az_sandbox *s, const struct az_box_ref *b, const char *path, int depth,
    struct az_buf *out, struct az_err *err)
{
	struct az_arena *a = az_arena_new(ARENA);
	struct az_sb_entry *e = NULL;
	struct az_draw_item *v;
	size_t n = 0, k = 0, root, i;
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "sandbox.draw", "out of memory");
	depth = depth < 1 ? 1 : depth > DEPTH_MAX ? DEPTH_MAX : depth;
	rc = az_sandbox_list(s, b, path, depth, a, &e, &n, err);
	if (rc != AZ_OK)
		goto out;
	if (!(v = az_arena_alloc(a, (n + 1) * sizeof *v))) {
		rc = az_fail(err, AZ_ENOMEM, "sandbox.draw", "out of memory");
		goto out;
	}
	root = root_of(e, n);
	for (i = 0; i < n; i++) {
		if (e[i].path.n <= root)
			continue;
		v[k] = (struct az_draw_item){
		    .path = shown(a, e[i].path, root, e[i].dir && !e[i].link), .size = e[i].size};
		if (e[i].link)
			v[k].note = AZ_S("link");
		else if (!e[i].dir && !e[i].file)
			v[k].note = AZ_S("special");
		if (!v[k++].path.p) {
			rc = az_fail(err, AZ_ENOMEM, "sandbox.draw", "out of memory");
			goto out;
		}
	}
	qsort(v, k, sizeof *v, by_path);
	az_buf_adds(out, shown(a, az_str_c(path), 0, false));
	az_buf_addch(out, '\n');
	az_draw_tree(out, &(struct az_draw){.n = k, .item = item, .arg = v, .lines = LINES_MAX});
	rc = az_buf_check(out, "sandbox.draw", err);
out:
	az_arena_free(a);
	return rc;
}
