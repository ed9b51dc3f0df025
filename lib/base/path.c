#include <azlon/path.h>

static const char op[] = "path.check";

/* U+202A..U+202E, U+2066..U+2069, U+200E, U+200F, U+061C: they reorder what a reader sees */
static bool
has_bidi(struct az_str s)
{
	for (size_t i = 0; i + 1 < s.n; i++) {
		unsigned char a = (unsigned char)s.p[i];
		unsigned char b = (unsigned char)s.p[i + 1];
		unsigned char c = i + 2 < s.n ? (unsigned char)s.p[i + 2] : 0;

		if (a == 0xd8 && b == 0x9c)
			return true;
		if (a != 0xe2)
			continue;
		if (b == 0x80 && ((c >= 0xaa && c <= 0xae) || c == 0x8e || c == 0x8f))
			return true;
		if (b == 0x81 && c >= 0xa6 && c <= 0xa9)
			return true;
	}
	return false;
}

static enum az_code
check(struct az_str path, bool own, struct az_err *err)
{
	struct az_str rest = path, seg;
	int depth = 0;

	if (path.n == 0)
		return az_fail(err, AZ_EINVAL, op, "the file name is empty");
	if (path.n > 900)
		return az_fail(err, AZ_EINVAL, op, "the file name is longer than 900 bytes");
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];

		if (c < 0x20 || c == 0x7f)
			return az_fail(
			    err, AZ_EINVAL, op, "the file name holds a control character");
		if (c == '\\')
			return az_fail(err, AZ_EINVAL, op, "the file name holds a backslash");
	}
	if (!az_str_utf8_ok(path))
		return az_fail(err, AZ_EINVAL, op, "the file name is not valid UTF-8");
	if (has_bidi(path))
		return az_fail(err, AZ_EINVAL, op, "the file name holds a text direction override");
	if (path.p[0] == '/')
		return az_fail(err, AZ_EINVAL, op, "the file name is absolute");
	if (path.n >= 2 && path.p[1] == ':' && ((path.p[0] | 32) >= 'a' && (path.p[0] | 32) <= 'z'))
		return az_fail(err, AZ_EINVAL, op, "the file name starts with a drive letter");
	while (az_str_cut(&rest, '/', &seg)) {
		if (seg.n == 0)
			return az_fail(err, AZ_EINVAL, op, "the file name has an empty segment");
		if (seg.n > 255)
			return az_fail(err, AZ_EINVAL, op,
			    "a segment of the file name is longer than 255 bytes");
		if (az_str_eqc(seg, ".") || az_str_eqc(seg, ".."))
			return az_fail(
			    err, AZ_EINVAL, op, "the file name holds a \".\" or \"..\" segment");
		if (az_str_ieq(seg, AZ_S(".git")) || (!own && az_str_ieq(seg, AZ_S(".azlon"))))
			return az_fail(
			    err, AZ_EINVAL, op, "the segment \"%.*s\" is reserved", AZ_FMT(seg));
		if (++depth > (own ? 24 : 16))
			return az_fail(
			    err, AZ_EINVAL, op, "the file name is nested deeper than 16");
	}
	return AZ_OK;
}

enum az_code
az_path_ok(struct az_str path, struct az_err *err)
{
	return check(path, false, err);
}

enum az_code
az_key_ok(struct az_str key, struct az_err *err)
{
	if (key.n > 1024)
		return az_fail(err, AZ_EINVAL, op, "the key is too long");
	if (key.n > 900) {
		/* our own prefix may push a legal path over the path's limit */
		struct az_str tail = az_str_sub(key, key.n - 900, key.n);
		ptrdiff_t cut = az_str_chr(tail, '/');
		enum az_code rc;

		if (cut < 0)
			return az_fail(err, AZ_EINVAL, op, "the key is too long");
		rc = check(az_str_sub(tail, (size_t)cut + 1, tail.n), true, err);
		if (rc)
			return rc;
		return check(az_str_sub(key, 0, key.n - 900 + (size_t)cut), true, err);
	}
	return check(key, true, err);
}

struct az_str
az_path_base(struct az_str path)
{
	ptrdiff_t at = az_str_rchr(path, '/');

	return az_str_sub(path, (size_t)(at + 1), path.n);
}

struct az_str
az_path_ext(struct az_str path)
{
	struct az_str base = az_path_base(path);
	ptrdiff_t at = az_str_rchr(base, '.');

	if (at <= 0)
		return AZ_S("");
	return az_str_sub(base, (size_t)at, base.n);
}

bool
az_path_ext_in(struct az_str path, const char *const *exts)
{
	struct az_str e = az_path_ext(path);

	for (; *exts; exts++)
		if (az_str_ieq(e, az_str_c(*exts)))
			return true;
	return false;
}

const char *
az_path_mime(struct az_str path)
{
	static const struct {
		const char *ext, *mime;
	} t[] = {
	    {".txt", "text/plain; charset=utf-8"},
	    {".md", "text/plain; charset=utf-8"},
	    {".log", "text/plain; charset=utf-8"},
	    {".py", "text/plain; charset=utf-8"},
	    {".c", "text/plain; charset=utf-8"},
	    {".h", "text/plain; charset=utf-8"},
	    {".sh", "text/plain; charset=utf-8"},
	    {".toml", "text/plain; charset=utf-8"},
	    {".yaml", "text/plain; charset=utf-8"},
	    {".yml", "text/plain; charset=utf-8"},
	    {".csv", "text/csv; charset=utf-8"},
	    {".json", "application/json"},
	    {".png", "image/png"},
	    {".jpg", "image/jpeg"},
	    {".jpeg", "image/jpeg"},
	    {".gif", "image/gif"},
	    {".webp", "image/webp"},
	    {".svg", "image/svg+xml"},
	    {".pdf", "application/pdf"},
	    {".zip", "application/zip"},
	    {".gz", "application/gzip"},
	    {".html", "text/html; charset=utf-8"},
	    {".htm", "text/html; charset=utf-8"},
	    {".xml", "application/xml"},
	    {".js", "text/javascript; charset=utf-8"},
	    {".mjs", "text/javascript; charset=utf-8"},
	    {".css", "text/css; charset=utf-8"},
	};
	struct az_str ext = az_path_ext(path);

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (az_str_ieq(ext, az_str_c(t[i].ext)))
			return t[i].mime;
	if (az_str_eqc(az_path_base(path), "Dockerfile"))
		return "text/plain; charset=utf-8";
	return "application/octet-stream";
}
