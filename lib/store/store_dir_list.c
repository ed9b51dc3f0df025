/*
 * Listing of the directory adapter: a walk that yields whole keys in S3's order,
 * bytewise, where "a.b" comes before "a/b". Comparing the names of one directory with
 * a '/' behind those that are directories gives exactly that order. Memory is bounded
 * by the page, not by the directory.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <azlon/path.h>
#include "store_dir.h"

struct walk {
	const struct az_store_list *q;
	struct az_arena *a;
	struct az_store_page *out;
	bool more;              /* something follows the page */
	char key[DIR_PATH_MAX]; /* where we are; "" or ends in '/' */
	size_t n;
	int depth;
};

/* Names of one directory: the smallest ones past a bound. A directory's name carries
   its '/'. */
struct names {
	char **v;
	size_t n, cap;
	bool cut; /* larger ones were left out */
};

static int
by_name(const void *x, const void *y)
{
	return strcmp(*(char *const *)x, *(char *const *)y);
}

static void
names_trim(struct names *l, size_t keep)
{
	if (l->v && l->n)
		qsort(l->v, l->n, sizeof *l->v, by_name);
	while (l->v && l->n > keep) {
		free(l->v[--l->n]);
		l->cut = true;
	}
}

static bool
is_dir(int fd, const struct dirent *e, bool *dir)
{
	struct stat st;

	*dir = e->d_type == DT_DIR;
	if (e->d_type == DT_UNKNOWN) {
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return false;
		*dir = S_ISDIR(st.st_mode);
		return *dir || S_ISREG(st.st_mode);
	}
	return *dir || e->d_type == DT_REG;
}

/* Could a key at or below name (in w->key) be wanted? */
static bool
wanted(const struct walk *w, const char *name)
{
	struct az_str p = w->q->prefix, after = w->q->after;
	char full[DIR_PATH_MAX];
	size_t n = w->n + strlen(name);
	struct az_str k = {full, n};
	bool dir;

	if (n + 1 > sizeof full)
		return false;
	memcpy(full, w->key, w->n);
	memcpy(full + w->n, name, n - w->n);
	dir = full[n - 1] == '/';
	/* either the key is in the prefix, or a directory on the way to it */
	if (!az_str_starts(k, p) && !(dir && az_str_starts(p, k)))
		return false;
	if (az_str_cmp(k, after) > 0)
		return true;
	/* all below a directory sorts after its name: only one on the way to after can
	   hold greater keys, and as a common prefix it was delivered already */
	return dir && az_str_starts(after, k) && !(w->q->one_level && n > p.n);
}

static enum az_code
read_names(
    const struct walk *w, int fd, const char *low, size_t keep, struct names *l, struct az_err *err)
{
	int copy = az_open_beneath(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	enum az_code rc = AZ_OK;
	struct dirent *e;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return dir_fail(err, "store.list");
	}
	while (!rc && (e = readdir(d))) {
		char name[258];
		size_t n = strlen(e->d_name);
		bool dir;

		if (n > 255 || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    !is_dir(fd, e, &dir))
			continue;
		memcpy(name, e->d_name, n);
		if (dir)
			name[n++] = '/';
		name[n] = '\0';
		if ((low && strcmp(name, low) <= 0) || !wanted(w, name))
			continue;
		if (l->n == l->cap) {
			size_t cap = l->cap ? l->cap * 2 : 64;
			char **v;

			if (l->v && l->n >= 2 * keep) {
				names_trim(l, keep);
			} else if ((v = realloc(l->v, cap * sizeof *v))) {
				l->v = v;
				l->cap = cap;
			} else {
				rc = az_fail(err, AZ_ENOMEM, "store.list", "out of memory");
				break;
			}
		}
		if ((l->v[l->n] = strdup(name)))
			l->n++;
		else
			rc = az_fail(err, AZ_ENOMEM, "store.list", "out of memory");
	}
	closedir(d);
	names_trim(l, keep);
	return rc;
}

static void
names_release(struct names *l)
{
	names_trim(l, 0);
	free(l->v);
	memset(l, 0, sizeof *l);
}

static enum az_code
emit(struct walk *w, const char *name, const struct stat *st, struct az_err *err)
{
	struct az_obj *o;
	size_t n = strlen(name);

	if (w->out->n == (size_t)w->q->limit) {
		w->more = true;
		return AZ_OK;
	}
	memcpy(w->key + w->n, name, n);
	o = &w->out->objs[w->out->n];
	o->key = az_arena_str(w->a, (struct az_str){w->key, w->n + n});
	if (!o->key.p)
		return az_fail(err, AZ_ENOMEM, "store.list", "the page does not fit into memory");
	if (st) {
		o->bytes = st->st_size;
		o->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
	} else {
		o->dir = true;
	}
	w->out->n++;
	return AZ_OK;
}

/* Is there any object below? Hollow directories are not listed. */
static bool
holds_object(int fd, int depth)
{
	int copy = az_open_beneath(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	bool found = false, dir;
	struct dirent *e;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return false;
	}
	while (!found && (e = readdir(d))) {
		int sub;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    !is_dir(copy, e, &dir))
			continue;
		if (!dir) {
			found = true;
			break;
		}
		sub = depth < 32 ? az_open_beneath(copy, e->d_name, O_RDONLY | O_DIRECTORY, 0) : -1;
		if (sub >= 0) {
			found = holds_object(sub, depth + 1);
			close(sub);
		}
	}
	closedir(d);
	return found;
}

static enum az_code walk_dir(struct walk *w, int fd, struct az_err *err);

static enum az_code
visit(struct walk *w, int fd, const char *name, struct az_err *err)
{
	size_t n = strlen(name), before = w->n;
	enum az_code rc = AZ_OK;
	struct stat st;
	int sub;

	if (name[n - 1] != '/') {
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? AZ_OK : dir_fail(err, "store.list");
		return S_ISREG(st.st_mode) ? emit(w, name, &st, err) : AZ_OK;
	}
	if (w->depth >= 32)
		return AZ_OK;
	sub = az_open_beneath(fd, name, O_RDONLY | O_DIRECTORY, 0);
	if (sub < 0)
		return errno == ENOENT ? AZ_OK : dir_fail(err, "store.list");
	if (w->q->one_level && w->n + n > w->q->prefix.n) {
		if (holds_object(sub, 0))
			rc = emit(w, name, NULL, err);
	} else {
		memcpy(w->key + w->n, name, n);
		w->n += n;
		w->depth++;
		rc = walk_dir(w, sub, err);
		w->depth--;
		w->n = before;
	}
	close(sub);
	return rc;
}

static enum az_code
walk_dir(struct walk *w, int fd, struct az_err *err)
{
	struct names l = {0};
	enum az_code rc;
	char low[258] = "";
	bool again;

	do {
		rc = read_names(w, fd, low[0] ? low : NULL, (size_t)w->q->limit + 1, &l, err);
		for (size_t i = 0; !rc && !w->more && l.v && i < l.n; i++)
			rc = visit(w, fd, l.v[i], err);
		again = !rc && !w->more && l.cut && l.v && l.n;
		if (again)
			memcpy(low, l.v[l.n - 1], strlen(l.v[l.n - 1]) + 1);
		names_release(&l);
	} while (again);
	return rc;
}

enum az_code
dir_list(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	struct walk w = {.q = q, .a = a, .out = out};
	enum az_code rc;
	int fd;

	out->objs = az_arena_alloc(a, (size_t)q->limit * sizeof *out->objs);
	if (!out->objs)
		return az_fail(err, AZ_ENOMEM, "store.list", "out of memory");
	fd = az_open_beneath(((struct store_dir *)s)->root, b->name, O_RDONLY | O_DIRECTORY, 0);
	if (fd < 0)
		return errno == ENOENT ? AZ_OK : dir_fail(err, "store.list");
	rc = walk_dir(&w, fd, err);
	close(fd);
	if (!rc && w.more)
		out->next = out->objs[out->n - 1].key;
	return rc;
}
