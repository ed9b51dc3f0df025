/* Manifests: a sorted array in an arena, written and read as JSON. */
#include <azlon/clock.h>
#include <azlon/json.h>
#include <azlon/manifest.h>
#include <azlon/path.h>

#define MANIFEST_BYTES AZ_MIB(16)

void
az_manifest_init(struct az_manifest *m, struct az_arena *a)
{
	memset(m, 0, sizeof *m);
	m->a = a;
}

/* Index of the first file whose path is not less than path. */
static size_t
lower_bound(const struct az_manifest *m, struct az_str path)
{
	size_t lo = 0, hi = m->n;

	/* files mostly arrive in order */
	if (m->n && az_str_cmp(m->files[m->n - 1].path, path) < 0)
		return m->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (az_str_cmp(m->files[mid].path, path) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

const struct az_file *
az_manifest_find(const struct az_manifest *m, struct az_str path)
{
	size_t i = lower_bound(m, path);

	return i < m->n && az_str_eq(m->files[i].path, path) ? &m->files[i] : NULL;
}

/* Does a file stand where path needs a directory, or the reverse? */
static bool
collides(const struct az_manifest *m, struct az_str path)
{
	char dir[1024];
	size_t i;

	for (i = 0; i < path.n; i++)
		if (path.p[i] == '/' && az_manifest_find(m, az_str_sub(path, 0, i)))
			return true;
	memcpy(dir, path.p, path.n);
	dir[path.n] = '/';
	i = lower_bound(m, (struct az_str){dir, path.n + 1});
	return i < m->n && az_str_starts(m->files[i].path, (struct az_str){dir, path.n + 1});
}

static bool
hex64(const char *s)
{
	size_t n = strspn(s, "0123456789abcdef");

	return n == 64 && s[n] == '\0';
}

/* Nothing, or a name of our making. */
static bool
blob_ok(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz234567");

	return n == 0 ? s[0] == '\0' : n == 26 && s[n] == '\0';
}

struct az_str
az_file_blob(const struct az_file *f)
{
	return az_str_c(f->blob[0] ? f->blob : f->sha256);
}

bool
az_file_same_blob(const struct az_file *a, const struct az_file *b)
{
	return az_str_eq(az_file_blob(a), az_file_blob(b));
}

enum az_code
az_manifest_set(struct az_manifest *m, const struct az_file *f, struct az_err *err)
{
	static const char op[] = "manifest.set";
	enum az_code rc = az_path_ok(f->path, err);
	struct az_str path;
	size_t i;

	if (rc)
		return rc;
	if (memchr(f->sha256, '\0', 65) == NULL || !hex64(f->sha256) || f->size < 0 ||
	    !blob_ok(f->blob))
		return az_fail(err, AZ_EINVAL, op, "the file has no digest or no size");
	i = lower_bound(m, f->path);
	if (i < m->n && az_str_eq(m->files[i].path, f->path)) {
		path = m->files[i].path;
		m->files[i] = *f;
		m->files[i].path = path;
		return AZ_OK;
	}
	if (collides(m, f->path))
		return az_fail(err, AZ_EINVAL, op, "\"%.*s\" is a file and a directory at once",
		    AZ_FMT(f->path));
	if (m->n == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 32;
		struct az_file *v = az_arena_alloc(m->a, cap * sizeof *v);

		if (!v)
			goto nomem;
		if (m->n)
			memcpy(v, m->files, m->n * sizeof *v);
		m->files = v;
		m->cap = cap;
	}
	path = az_arena_str(m->a, f->path);
	if (!path.p)
		goto nomem;
	memmove(&m->files[i + 1], &m->files[i], (m->n - i) * sizeof *m->files);
	m->files[i] = *f;
	m->files[i].path = path;
	m->n++;
	return AZ_OK;
nomem:
	return az_fail(err, AZ_ENOMEM, op, "the manifest does not fit");
}

void
az_manifest_drop(struct az_manifest *m, struct az_str path)
{
	size_t i = lower_bound(m, path);

	if (i >= m->n || !az_str_eq(m->files[i].path, path))
		return;
	m->n--;
	memmove(&m->files[i], &m->files[i + 1], (m->n - i) * sizeof *m->files);
}

static bool
file_of(const struct az_json *j, struct az_file *f)
{
	struct az_str sha = az_json_gets(j, "sha256");
	struct az_str mode = az_json_gets(j, "mode"), blob = az_json_gets(j, "blob");

	memset(f, 0, sizeof *f);
	f->path = az_json_gets(j, "path");
	if (sha.n != 64 || blob.n >= sizeof f->blob)
		return false;
	memcpy(f->sha256, sha.p, 64);
	if (blob.n)
		memcpy(f->blob, blob.p, blob.n);
	f->mode = az_str_eqc(mode, "0755") ? 0755 : 0644;
	return az_json_i64(az_json_get(j, "size"), 0, INT64_MAX, &f->size) &&
	       az_rfc3339_parse(az_json_gets(j, "modified"), &f->modified_ms);
}

enum az_code
az_manifest_parse(struct az_manifest *m, struct az_str json, struct az_err *err)
{
	static const char op[] = "manifest.parse";
	const struct az_json *files;
	struct az_json *j = NULL;
	enum az_code rc;

	rc = az_json_parse(json, &az_json_own_limits, &j, err);
	if (rc)
		return rc;
	files = az_json_get(j, "files");
	if (az_json_geti(j, "v", 0) != 1 || az_json_type(files) != AZ_JARR)
		rc = az_fail(err, AZ_EINVAL, op, "not a manifest");
	for (size_t i = 0; !rc && i < az_json_len(files); i++) {
		struct az_file f;

		if (!file_of(az_json_at(files, i), &f))
			rc = az_fail(err, AZ_EINVAL, op, "entry %zu is malformed", i);
		else
			rc = az_manifest_set(m, &f, err);
	}
	az_json_free(j);
	return rc;
}

void
az_manifest_write(const struct az_manifest *m, struct az_buf *out)
{
	struct az_jw w;

	az_jw_init(&w, out);
	az_jw_obj(&w);
	az_jw_ki(&w, "v", 1);
	az_jw_key(&w, "files");
	az_jw_arr(&w);
	for (size_t i = 0; i < m->n; i++) {
		const struct az_file *f = &m->files[i];
		struct az_buf t;

		az_buf_init(&t, 64);
		az_rfc3339(&t, f->modified_ms);
		az_jw_obj(&w);
		az_jw_ks(&w, "path", f->path);
		az_jw_kc(&w, "sha256", f->sha256);
		az_jw_ki(&w, "size", f->size);
		az_jw_kc(&w, "mode", f->mode & 0111 ? "0755" : "0644");
		az_jw_ks(&w, "modified", az_buf_str(&t));
		if (f->blob[0])
			az_jw_kc(&w, "blob", f->blob);
		az_jw_end(&w, '}');
		if (t.fail && !out->fail) /* never half an entry that looks whole */
			out->fail = t.fail;
		az_buf_release(&t);
	}
	az_jw_end(&w, ']');
	az_jw_end(&w, '}');
}

enum az_code
az_manifest_parse_stored(struct az_manifest *m, struct az_str json, struct az_err *err)
{
	enum az_code rc = az_manifest_parse(m, json, err);

	/* we wrote it: what is wrong with it is no fault of the caller */
	return rc && rc != AZ_ENOMEM
		   ? az_fail(err, AZ_EIO, "manifest.load", "a stored manifest is damaged")
		   : rc;
}

enum az_code
az_manifest_load(struct az_manifest *m, struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_err *err)
{
	struct az_buf text;
	enum az_code rc;

	az_buf_init(&text, MANIFEST_BYTES);
	rc = az_store_get(s, b, key, &text, err);
	if (!rc)
		rc = az_manifest_parse_stored(m, az_buf_str(&text), err);
	az_buf_release(&text);
	return rc;
}

enum az_code
az_manifest_save(const struct az_manifest *m, struct az_store *s, const struct az_bucket *b,
    struct az_str key, struct az_err *err)
{
	struct az_buf text;
	enum az_code rc;

	az_buf_init(&text, MANIFEST_BYTES);
	az_manifest_write(m, &text);
	rc = az_buf_check(&text, "manifest.save", err);
	if (!rc)
		rc = az_store_put(s, b, key, az_buf_str(&text), err);
	az_buf_release(&text);
	return rc;
}
