/* Paths and the route table. nginx decoded the path once; it is not decoded again. */
#include "web.h"

enum az_code
web_path_ok(struct az_str path, struct az_err *err)
{
	struct az_str rest, seg;

	if (path.n == 0 || path.p[0] != '/' || path.n > 4096)
		return az_fail(err, AZ_EINVAL, "web.path", "path: not usable");
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		if (c < 0x20 || c == 0x7f)
			return az_fail(err, AZ_EINVAL, "web.path", "path: control byte");
		if (c == '\\')
			return az_fail(err, AZ_EINVAL, "web.path", "path: backslash");
	}
	rest = path;
	while (az_str_cut(&rest, '/', &seg))
		if (az_str_eqc(seg, "..") || az_str_eqc(seg, "."))
			return az_fail(err, AZ_EINVAL, "web.path", "path: dot segment");
	return AZ_OK;
}

bool
web_pattern_match(const char *pattern, struct az_str path, struct web_pair *param, size_t *n)
{
	struct az_str pat = az_str_c(pattern), seg, want;

	*n = 0;
	while (az_str_cut(&pat, '/', &want)) {
		bool var = want.n > 2 && want.p[0] == '{';
		if (var && want.p[want.n - 2] == '*') {
			/* {rest*}: whatever is left, slashes included */
			if (path.n == 0 || *n == WEB_PARAMS_MAX)
				return false;
			param[*n].name = az_str_sub(want, 1, want.n - 2);
			param[(*n)++].value = path;
			return true;
		}
		if (!az_str_cut(&path, '/', &seg))
			return false;
		if (!var) {
			if (!az_str_eq(want, seg))
				return false;
			continue;
		}
		if (seg.n == 0 || *n == WEB_PARAMS_MAX)
			return false;
		param[*n].name = az_str_sub(want, 1, want.n - 1);
		param[(*n)++].value = seg;
	}
	return path.p == NULL;
}

bool
web_methods_have(const char *methods, struct az_str method)
{
	struct az_str rest = az_str_c(methods), m;

	if (method.n == 0)
		return false;
	while (az_str_cut(&rest, ' ', &m))
		if (az_str_eq(m, method) || (az_str_eqc(m, "GET") && az_str_eqc(method, "HEAD")))
			return true;
	return false;
}

static void
allow_add(struct az_buf *allow, struct az_str method)
{
	if (allow->n)
		az_buf_addc(allow, ", ");
	az_buf_adds(allow, method);
	if (az_str_eqc(method, "GET"))
		az_buf_addc(allow, ", HEAD");
}

const struct az_route *
web_route_find(const struct az_route *routes, struct az_str method, struct az_str path,
    struct web_pair *param, size_t *n, struct az_buf *allow, struct az_err *err)
{
	const struct az_route *r;
	const char *pattern = NULL;

	/* the first pattern that fits decides; further rows of the same pattern
	   may serve other methods */
	for (r = routes; r->methods; r++) {
		if (pattern ? strcmp(pattern, r->pattern) != 0
			    : !web_pattern_match(r->pattern, path, param, n))
			continue;
		pattern = r->pattern;
		if (web_methods_have(r->methods, method))
			return r;
		for (struct az_str rest = az_str_c(r->methods), m; az_str_cut(&rest, ' ', &m);)
			if (!az_str_eqc(m, "HEAD"))
				allow_add(allow, m);
	}
	*n = 0;
	if (pattern)
		az_fail(err, AZ_EMETHOD, "web.route", "method not allowed");
	else
		az_fail(err, AZ_ENOTFOUND, "web.route", "no such route");
	return NULL;
}
