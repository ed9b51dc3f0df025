/*
 * Listings out of a manifest. It is sorted bytewise, so what lies below one directory
 * stands together: a tree is a recursion over ranges of the array.
 */
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include <azlon/draw.h>
#include <azlon/path.h>
#include "files.h"

static void
file_members(struct az_jw *w, const struct az_file *f)
{
	struct az_buf t;

	az_buf_init(&t, 64);
	az_rfc3339(&t, f->modified_ms);
	az_jw_ki(w, "size", f->size);
	az_jw_kc(w, "sha256", f->sha256);
	az_jw_ks(w, "modified", az_buf_str(&t));
	az_jw_kc(w, "mime", az_path_mime(f->path));
	az_jw_kb(w, "executable", (f->mode & 0111) != 0);
	az_buf_release(&t);
}

void
files_view_file(struct az_jw *w, const struct az_file *f)
{
	az_jw_obj(w);
	az_jw_ks(w, "path", f->path);
	file_members(w, f);
	az_jw_end(w, '}');
}

/* A cursor is the last path of the page before; opaque so that nobody builds one. */
static enum az_code
cursor_decode(struct az_str cursor, struct az_buf *out, struct az_err *err)
{
	if (cursor.n &&
	    (cursor.n > 2048 || !az_base64_decode(out, cursor) || out->n < 2 || out->p[0] != '1'))
		return az_fail(err, AZ_EINVAL, "files.cursor", "cursor: not one of ours");
	if (out->n)
		az_buf_shift(out, 1);
	return AZ_OK;
}

enum az_code
files_view_page(const struct az_manifest *m, const char *id_key, struct az_str id,
    struct az_str prefix, size_t limit, struct az_str cursor, struct az_buf *out,
    struct az_err *err)
{
	const struct az_file *last = NULL;
	struct az_buf after, next;
	enum az_code rc;
	struct az_jw w;
	size_t n = 0;
	bool more = false;

	az_buf_init(&after, 2048);
	az_buf_init(&next, 4096);
	rc = cursor_decode(cursor, &after, err);
	if (rc)
		goto out;
	az_jw_init(&w, out);
	az_jw_obj(&w);
	if (id_key)
		az_jw_ks(&w, id_key, id);
	az_jw_key(&w, "files");
	az_jw_arr(&w);
	for (size_t i = 0; i < m->n; i++) {
		const struct az_file *f = &m->files[i];

		if (!az_str_starts(f->path, prefix) ||
		    (after.n && az_str_cmp(f->path, az_buf_str(&after)) <= 0))
			continue;
		if (n == limit) {
			more = true;
			break;
		}
		files_view_file(&w, f);
		last = f;
		n++;
	}
	az_jw_end(&w, ']');
	if (more && last) {
		az_buf_reset(&after);
		az_buf_addch(&after, '1');
		az_buf_adds(&after, last->path);
		az_base64url(&next, az_buf_str(&after));
		az_jw_ks(&w, "next_cursor", az_buf_str(&next));
	} else {
		az_jw_kn(&w, "next_cursor");
	}
	az_jw_end(&w, '}');
	rc = az_buf_check(out, "files.list", err);
out:
	az_buf_release(&after);
	az_buf_release(&next);
	return rc;
}

/* One child of the directory whose path (with its '/') is skip bytes long: the range
   [i, end) of files; *name is its own name, *dir whether there is more below. */
static size_t
child(const struct az_manifest *m, size_t i, size_t hi, size_t skip, struct az_str *name, bool *dir)
{
	struct az_str rest = az_str_sub(m->files[i].path, skip, m->files[i].path.n), whole;
	ptrdiff_t cut = az_str_chr(rest, '/');
	size_t end = i + 1;

	*dir = cut >= 0;
	*name = *dir ? az_str_sub(rest, 0, (size_t)cut) : rest;
	if (!*dir)
		return end;
	whole = az_str_sub(m->files[i].path, 0, skip + name->n + 1);
	while (end < hi && az_str_starts(m->files[end].path, whole))
		end++;
	return end;
}

static void
tree_of(struct az_jw *w, const struct az_manifest *m, size_t lo, size_t hi, size_t skip)
{
	az_jw_arr(w);
	while (lo < hi) {
		struct az_str name;
		bool dir;
		size_t end = child(m, lo, hi, skip, &name, &dir);

		az_jw_obj(w);
		az_jw_ks(w, "name", name);
		az_jw_kc(w, "type", dir ? "directory" : "file");
		az_jw_ks(w, "path", az_str_sub(m->files[lo].path, 0, skip + name.n));
		if (dir) {
			az_jw_key(w, "children");
			tree_of(w, m, lo, end, skip + name.n + 1);
		} else {
			file_members(w, &m->files[lo]);
		}
		az_jw_end(w, '}');
		lo = end;
	}
	az_jw_end(w, ']');
}

/* The range of files below prefix. */
static void
range_of(const struct az_manifest *m, struct az_str prefix, size_t *lo, size_t *hi)
{
	for (*lo = 0; *lo < m->n && !az_str_starts(m->files[*lo].path, prefix); ++*lo)
		;
	for (*hi = *lo; *hi < m->n && az_str_starts(m->files[*hi].path, prefix); ++*hi)
		;
}

void
files_view_tree(const struct az_manifest *m, struct az_str prefix, struct az_buf *out)
{
	struct az_jw w;
	size_t lo, hi;

	range_of(m, prefix, &lo, &hi);
	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_key(&w, "tree");
	tree_of(&w, m, lo, hi, 0);
	az_jw_end(&w, '}');
}

static struct az_draw_item
drawn_item(const void *arg, size_t i)
{
	const struct az_file *f = (const struct az_file *)arg + i;

	return (struct az_draw_item){.path = f->path, .size = f->size};
}

void
files_view_drawn(
    const struct az_manifest *m, struct az_str prefix, struct az_str title, struct az_buf *out)
{
	size_t lo, hi;

	range_of(m, prefix, &lo, &hi);
	az_buf_adds(out, title);
	az_buf_addch(out, '\n');
	if (lo < hi)
		az_draw_tree(
		    out, &(struct az_draw){.n = hi - lo, .item = drawn_item, .arg = &m->files[lo]});
}

void
files_view_legacy(const struct az_manifest *m, struct az_buf *out)
{
	struct az_jw w;

	az_jw_init(&w, out);
	az_jw_arr(&w);
	for (size_t i = 0; i < m->n; i++) {
		const struct az_file *f = &m->files[i];

		az_jw_obj(&w);
		az_jw_ks(&w, "name", az_path_base(f->path));
		az_jw_ks(&w, "path", f->path);
		az_jw_ks(&w, "extension", az_path_ext(f->path));
		az_jw_ki(&w, "size", f->size);
		az_jw_end(&w, '}');
	}
	az_jw_end(&w, ']');
}
