/* In-memory adapter, for tests: one sorted array under one lock. */
#include <pthread.h>
#include <stdlib.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/store.h>

/* gcc 12's analyzer loses track of what the array of items owns */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wanalyzer-malloc-leak"
#endif

struct item {
	char *name; /* "bucket/key" */
	size_t name_n;
	char *p;
	size_t n;
	int64_t modified_ms;
};

struct store_mem {
	struct az_store base;
	pthread_mutex_t lock;
	struct item *v;
	size_t n, cap;
};

struct mem_put {
	struct az_put base;
	struct az_bucket bucket;
	struct az_buf body, name;
};

struct mem_get {
	struct az_get base;
	char *p;
	size_t n, at;
};

static struct store_mem *
of(struct az_store *s)
{
	return (struct store_mem *)s;
}

static void
name_of(struct az_buf *b, const struct az_bucket *bk, struct az_str key)
{
	az_buf_reset(b);
	az_buf_addf(b, "%s/", bk->name);
	az_buf_adds(b, key);
}

static size_t
lower_bound(const struct store_mem *m, struct az_str name)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (az_str_cmp(az_str_n(m->v[mid].name, m->v[mid].name_n), name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct item *
find(const struct store_mem *m, struct az_str name)
{
	size_t i = lower_bound(m, name);

	return i < m->n && az_str_eq(az_str_n(m->v[i].name, m->v[i].name_n), name) ? &m->v[i]
										   : NULL;
}

static void
put_abort(struct az_put *base)
{
	struct mem_put *p = (struct mem_put *)base;

	az_buf_release(&p->body);
	az_buf_release(&p->name);
	free(p);
}

static enum az_code
put_open(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_put **out,
    struct az_err *err)
{
	struct mem_put *p = calloc(1, sizeof *p);
	enum az_code rc;

	if (!p)
		return az_fail(err, AZ_ENOMEM, "store.put", "out of memory");
	p->base.store = s;
	p->bucket = *b;
	az_buf_init(&p->body, AZ_LIM_UPLOAD_BYTES);
	az_buf_init(&p->name, 2048);
	name_of(&p->name, b, key);
	rc = az_buf_check(&p->name, "store.put", err);
	if (rc)
		put_abort((struct az_put *)p);
	else
		*out = (struct az_put *)p;
	return rc;
}

static enum az_code
put_write(struct az_put *base, struct az_str chunk, struct az_err *err)
{
	struct mem_put *p = (struct mem_put *)base;

	az_buf_adds(&p->body, chunk);
	return az_buf_check(&p->body, "store.put", err);
}

static enum az_code
put_name(struct az_put *base, struct az_str key, struct az_err *err)
{
	struct mem_put *p = (struct mem_put *)base;

	name_of(&p->name, &p->bucket, key);
	return az_buf_check(&p->name, "store.put", err);
}

/* As in a file system: an object is not also a prefix. */
static enum az_code
collides(const struct store_mem *m, struct az_str name, bool *hit, struct az_err *err)
{
	enum az_code rc;
	struct az_buf b;
	size_t i;

	*hit = true;
	for (i = 39; i < name.n; i++)
		if (name.p[i] == '/' && find(m, az_str_sub(name, 0, i)))
			return AZ_OK;
	az_buf_init(&b, name.n + 1);
	az_buf_adds(&b, name);
	az_buf_addch(&b, '/');
	rc = az_buf_check(&b, "store.put", err);
	i = lower_bound(m, az_buf_str(&b));
	*hit = i < m->n && az_str_starts(az_str_n(m->v[i].name, m->v[i].name_n), az_buf_str(&b));
	az_buf_release(&b);
	return rc;
}

/* Room for one more item at i. */
static bool
make_room(struct store_mem *m, size_t i)
{
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct item *v = realloc(m->v, cap * sizeof *v);

		if (!v)
			return false;
		m->v = v;
		m->cap = cap;
	}
	memmove(&m->v[i + 1], &m->v[i], (m->n - i) * sizeof *m->v);
	memset(&m->v[i], 0, sizeof *m->v);
	m->n++;
	return true;
}

static enum az_code
insert(struct store_mem *m, struct az_str name, struct az_str body, struct az_err *err)
{
	static const char op[] = "store.put";
	struct item *it = find(m, name);
	char *p, *n;
	bool hit = false;
	enum az_code rc;

	if (!it && (rc = collides(m, name, &hit, err)))
		return rc;
	if (hit)
		return az_fail(err, AZ_ECONFLICT, op,
		    "a file stands where a directory is needed, or the reverse");
	p = malloc(body.n + 1);
	if (!p)
		return az_fail(err, AZ_ENOMEM, op, "out of memory");
	if (body.n)
		memcpy(p, body.p, body.n);
	if (!it) {
		size_t i = lower_bound(m, name);

		n = malloc(name.n + 1);
		if (!n || !make_room(m, i)) {
			free(n);
			free(p);
			return az_fail(err, AZ_ENOMEM, op, "out of memory");
		}
		memcpy(n, name.p, name.n);
		n[name.n] = '\0';
		it = &m->v[i];
		it->name = n;
		it->name_n = name.n;
	}
	free(it->p);
	it->p = p;
	it->n = body.n;
	it->modified_ms = az_wall_ms();
	return AZ_OK;
}

static enum az_code
put_commit(struct az_put *base, struct az_err *err)
{
	struct mem_put *p = (struct mem_put *)base;
	struct store_mem *m = of(base->store);
	enum az_code rc;

	pthread_mutex_lock(&m->lock);
	rc = insert(m, az_buf_str(&p->name), az_buf_str(&p->body), err);
	pthread_mutex_unlock(&m->lock);
	put_abort(base);
	return rc;
}

static enum az_code
put_if(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_str was,
    struct az_str body, struct az_err *err)
{
	struct store_mem *m = of(s);
	enum az_code rc;
	struct az_buf name;
	struct item *it;

	az_buf_init(&name, 2048);
	name_of(&name, b, key);
	pthread_mutex_lock(&m->lock);
	it = find(m, az_buf_str(&name));
	if ((rc = az_buf_check(&name, "store.put_if", err)))
		;
	else if (it ? !was.p || !az_str_eq(was, az_str_n(it->p, it->n)) : was.p != NULL)
		rc = az_fail(
		    err, AZ_EPRECOND, "store.put_if", "the object was changed by somebody else");
	else
		rc = insert(m, az_buf_str(&name), body, err);
	pthread_mutex_unlock(&m->lock);
	az_buf_release(&name);
	return rc;
}

/* Reads a copy: what is replaced meanwhile stays whole for who reads it. */
static enum az_code
get_open(struct az_store *s, const struct az_bucket *b, struct az_str key, int64_t offset,
    struct az_obj *obj, struct az_get **out, struct az_err *err)
{
	struct store_mem *m = of(s);
	struct mem_get *g = calloc(1, sizeof *g);
	enum az_code rc;
	struct az_buf name;
	struct item *it;

	az_buf_init(&name, 2048);
	name_of(&name, b, key);
	pthread_mutex_lock(&m->lock);
	if ((rc = az_buf_check(&name, "store.get", err)))
		goto out;
	it = find(m, az_buf_str(&name));
	if (!it) {
		rc = az_fail(err, AZ_ENOTFOUND, "store.get", "no such object");
		goto out;
	}
	if (offset > (int64_t)it->n) {
		rc = az_fail(err, AZ_ERANGE, "store.get", "beyond the end");
		goto out;
	}
	if (!g || !(g->p = malloc(it->n + 1))) {
		rc = az_fail(err, AZ_ENOMEM, "store.get", "out of memory");
		goto out;
	}
	memcpy(g->p, it->p, it->n);
	g->n = it->n;
	g->at = (size_t)offset;
	g->base.store = s;
	if (obj) {
		memset(obj, 0, sizeof *obj);
		obj->bytes = (int64_t)it->n;
		obj->modified_ms = it->modified_ms;
	}
	*out = (struct az_get *)g;
	g = NULL;
out:
	pthread_mutex_unlock(&m->lock);
	az_buf_release(&name);
	free(g);
	return rc;
}

static enum az_code
get_read(struct az_get *base, char *p, size_t n, size_t *got, struct az_err *err)
{
	struct mem_get *g = (struct mem_get *)base;

	(void)err;
	if (n > g->n - g->at)
		n = g->n - g->at;
	memcpy(p, g->p + g->at, n);
	g->at += n;
	*got = n;
	return AZ_OK;
}

static void
get_close(struct az_get *base)
{
	struct mem_get *g = (struct mem_get *)base;

	free(g->p);
	free(g);
}

static enum az_code
stat_(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_obj *out,
    struct az_err *err)
{
	struct az_get *g = NULL;
	enum az_code rc = get_open(s, b, key, 0, out, &g, err);

	if (!rc && g)
		get_close(g);
	return rc;
}

/* All items whose name starts with (or, exact, is) name. */
static void
drop(struct store_mem *m, struct az_str name, bool exact)
{
	size_t i = lower_bound(m, name), j = i;

	while (j < m->n) {
		struct az_str k = az_str_n(m->v[j].name, m->v[j].name_n);

		if (exact ? !az_str_eq(k, name) : !az_str_starts(k, name))
			break;
		free(m->v[j].name);
		free(m->v[j].p);
		j++;
	}
	if (j > i)
		memmove(&m->v[i], &m->v[j], (m->n - j) * sizeof *m->v);
	m->n -= j - i;
}

static enum az_code
remove_named(struct az_store *s, const struct az_bucket *b, struct az_str key, bool exact,
    struct az_err *err)
{
	struct store_mem *m = of(s);
	enum az_code rc;
	struct az_buf name;

	az_buf_init(&name, 2048);
	name_of(&name, b, key);
	rc = az_buf_check(&name, "store.remove", err);
	if (!rc) {
		pthread_mutex_lock(&m->lock);
		drop(m, az_buf_str(&name), exact);
		pthread_mutex_unlock(&m->lock);
	}
	az_buf_release(&name);
	return rc;
}

static enum az_code
remove_(struct az_store *s, const struct az_bucket *b, struct az_str key, struct az_err *err)
{
	return remove_named(s, b, key, true, err);
}

static enum az_code
remove_prefix(
    struct az_store *s, const struct az_bucket *b, struct az_str prefix, struct az_err *err)
{
	return remove_named(s, b, prefix, false, err);
}

static enum az_code
remove_bucket(struct az_store *s, const struct az_bucket *b, struct az_err *err)
{
	return remove_named(s, b, AZ_S(""), false, err);
}

static enum az_code
list_locked(struct store_mem *m, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	struct az_str last = {NULL, 0};
	struct az_buf bucket;
	enum az_code rc;
	size_t i;

	az_buf_init(&bucket, 64);
	name_of(&bucket, b, AZ_S(""));
	i = lower_bound(m, az_buf_str(&bucket));
	rc = az_buf_check(&bucket, "store.list", err);
	az_buf_release(&bucket);
	if (rc)
		return rc;
	for (; i < m->n && memcmp(m->v[i].name, b->name, 38) == 0; i++) {
		struct az_str key = az_str_n(m->v[i].name + 39, m->v[i].name_n - 39);
		struct az_obj o = {.bytes = (int64_t)m->v[i].n, .modified_ms = m->v[i].modified_ms};
		ptrdiff_t cut;

		if (!az_str_starts(key, q->prefix))
			continue;
		cut = q->one_level ? az_str_find(key, AZ_S("/"), q->prefix.n) : -1;
		if (cut >= 0) {
			key.n = (size_t)cut + 1;
			o = (struct az_obj){.dir = true};
			if (last.p && az_str_eq(last, key))
				continue;
		}
		if (az_str_cmp(key, q->after) <= 0)
			continue;
		if (out->n == (size_t)q->limit) {
			out->next = out->objs[out->n - 1].key;
			return AZ_OK;
		}
		o.key = az_arena_str(a, key);
		if (!o.key.p)
			return az_fail(err, AZ_ENOMEM, "store.list", "out of memory");
		last = o.key;
		out->objs[out->n++] = o;
	}
	return AZ_OK;
}

static enum az_code
list(struct az_store *s, const struct az_bucket *b, const struct az_store_list *q,
    struct az_arena *a, struct az_store_page *out, struct az_err *err)
{
	struct store_mem *m = of(s);
	enum az_code rc;

	out->objs = az_arena_alloc(a, (size_t)q->limit * sizeof *out->objs);
	if (!out->objs)
		return az_fail(err, AZ_ENOMEM, "store.list", "out of memory");
	pthread_mutex_lock(&m->lock);
	rc = list_locked(m, b, q, a, out, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

static enum az_code
copy(struct az_store *s, const struct az_bucket *b, struct az_str from, struct az_str to,
    struct az_err *err)
{
	struct az_get *g = NULL;
	struct az_put *p = NULL;
	enum az_code rc = get_open(s, b, from, 0, NULL, &g, err);

	if (!rc)
		rc = put_open(s, b, to, &p, err);
	if (!rc && g && p) {
		struct mem_get *mg = (struct mem_get *)g;

		rc = put_write(p, az_str_n(mg->p, mg->n), err);
		if (rc)
			put_abort(p);
		else
			rc = put_commit(p, err);
	}
	if (g)
		get_close(g);
	return rc;
}

static enum az_code
accel(struct az_store *s, const struct az_bucket *b, struct az_str key, const char *method,
    const char *mime, struct az_buf *target, struct az_buf *path, struct az_err *err)
{
	(void)s, (void)b, (void)key, (void)method, (void)mime, (void)target, (void)path;
	return az_fail(err, AZ_EUNSUPPORTED, "store.accel", "memory has no address for nginx");
}

static enum az_code
link_(struct az_store *s, const struct az_bucket *b, struct az_str key, const struct az_link *l,
    struct az_buf *out, struct az_err *err)
{
	(void)s, (void)b, (void)key, (void)l, (void)out;
	return az_fail(err, AZ_EUNSUPPORTED, "store.link", "memory has no address");
}

static enum az_code
ping(struct az_store *s, struct az_err *err)
{
	(void)s;
	(void)err;
	return AZ_OK;
}

static void
close_(struct az_store *s)
{
	struct store_mem *m = of(s);

	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].name);
		free(m->v[i].p);
	}
	free(m->v);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct az_store_ops ops = {
    .name = "mem",
    .put_open = put_open,
    .put_write = put_write,
    .put_name = put_name,
    .put_commit = put_commit,
    .put_abort = put_abort,
    .put_if = put_if,
    .get_open = get_open,
    .get_read = get_read,
    .get_close = get_close,
    .stat = stat_,
    .remove = remove_,
    .list = list,
    .remove_prefix = remove_prefix,
    .remove_bucket = remove_bucket,
    .copy = copy,
    .accel = accel,
    .link = link_,
    .ping = ping,
    .close = close_,
};

enum az_code
az_store_mem_open(struct az_store **out, struct az_err *err)
{
	struct store_mem *m = calloc(1, sizeof *m);

	*out = NULL;
	if (!m)
		return az_fail(err, AZ_ENOMEM, "store.open", "out of memory");
	m->base.ops = &ops;
	pthread_mutex_init(&m->lock, NULL);
	*out = (struct az_store *)m;
	return AZ_OK;
}
