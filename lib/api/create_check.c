/* The body of a create: types, bounds and vocabulary. What is wrong is collected, not
   stopped at; what is unknown is ignored and named in a warning. */
#include <stdarg.h>
#include <stdio.h>
#include <azlon/limits.h>
#include "run.h"

#define TOKENS 400000
#define TOKENS_MAX 100000000
#define WALL_S 3600
#define SANDBOX_S 1800
#define SECONDS_MAX (7 * 86400)
#define METADATA_BYTES ((size_t)8192)
#define ALLOW_MAX 50
#define FALLBACKS_MAX 5
#define WARNINGS_MAX 50

void
create_item(struct create *c, const char *type, const char *msg, const char *loc, ...)
{
	struct az_buf b;
	va_list ap;
	char *text;

	if (c->n_items == CREATE_ITEMS)
		return;
	az_buf_init(&b, 512);
	az_buf_addc(&b, "[");
	va_start(ap, loc);
	az_buf_vaddf(&b, loc, ap);
	va_end(ap);
	az_buf_addc(&b, "]");
	text = az_arena_cstr(c->a, az_buf_str(&b));
	az_buf_release(&b);
	c->items[c->n_items++] =
	    (struct az_problem_item){.loc = text ? text : "[\"body\"]", .msg = msg, .type = type};
}

void
create_warn(struct create *c, struct az_str name, const char *where)
{
	struct az_buf text;
	struct az_jw w;

	if (c->n_warnings == WARNINGS_MAX)
		return;
	az_buf_init(&text, 300);
	az_buf_addf(
	    &text, "unknown member ignored: %s%.*s", where, name.n > 100 ? 100 : AZ_FMT(name));
	if (c->warnings.n)
		az_buf_addc(&c->warnings, ",");
	az_jw_init(&w, &c->warnings);
	az_jw_str(&w, az_buf_str(&text));
	c->n_warnings++;
	az_buf_release(&text);
}

static bool
known(struct az_str key, const char *const *names)
{
	for (; *names; names++)
		if (az_str_eqc(key, *names))
			return true;
	return false;
}

static void
warn_unknown(
    struct create *c, const struct az_json *obj, const char *where, const char *const *names)
{
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	while (az_json_each(obj, &it, &key, &v))
		if (!known(key, names))
			create_warn(c, key, where);
}

static bool
absent(const struct az_json *j)
{
	return az_json_type(j) == AZ_JNULL;
}

static struct az_str
text_of(struct create *c, const char *name, bool required)
{
	const struct az_json *j = az_json_get(c->body, name);

	if (!j && required)
		create_item(c, "missing", "Field required", "\"body\",\"%s\"", name);
	else if (!az_json_is_str(j) && (required || !absent(j)))
		create_item(
		    c, "string_type", "Input should be a valid string", "\"body\",\"%s\"", name);
	else if (az_str_chr(az_json_str(j), '\0') >= 0)
		create_item(c, "string_nul", "A NUL is not text", "\"body\",\"%s\"", name);
	else
		return az_json_str(j);
	return (struct az_str){NULL, 0};
}

/* One of the words of choices, the first of which is the default. */
static struct az_str
choice(struct create *c, const char *name, const char *const *choices, const char *msg)
{
	struct az_str s = text_of(c, name, false);

	if (absent(az_json_get(c->body, name)))
		return az_str_c(choices[0]);
	if (s.p && !known(s, choices))
		create_item(c, "enum", msg, "\"body\",\"%s\"", name);
	return s;
}

static int64_t
limit(struct create *c, const struct az_json *limits, const char *name, int64_t max, int64_t dflt)
{
	const struct az_json *j = az_json_get(limits, name);
	int64_t v = dflt;

	if (absent(j))
		return dflt;
	if (az_json_type(j) != AZ_JINT)
		create_item(c, "int_type", "Input should be a valid integer",
		    "\"body\",\"limits\",\"%s\"", name);
	else if (!az_json_i64(j, 1, max, &v))
		create_item(c, "out_of_range",
		    az_arena_printf(c->a, "Input should be from 1 to %lld", (long long)max),
		    "\"body\",\"limits\",\"%s\"", name);
	return v;
}

void
create_check_limits(struct create *c)
{
	static const char *const names[] = {"iterations", "tokens", "wall_s", "sandbox_s", NULL};
	const struct az_json *l = az_json_get(c->body, "limits");

	if (!absent(l) && az_json_type(l) != AZ_JOBJ)
		create_item(c, "dict_type", "Input should be an object", "\"body\",\"limits\"");
	c->iterations = limit(c, l, "iterations", AZ_LIM_ITERATIONS_MAX, AZ_LIM_ITERATIONS);
	c->tokens = limit(c, l, "tokens", TOKENS_MAX, TOKENS);
	c->wall_s = limit(c, l, "wall_s", SECONDS_MAX, WALL_S);
	c->sandbox_s = limit(c, l, "sandbox_s", SECONDS_MAX, SANDBOX_S);
	warn_unknown(c, l, "limits.", names);
}

/* A host name, or "*." and one; no port, no address tricks. */
static bool
host_ok(struct az_str s)
{
	if (az_str_starts(s, AZ_S("*.")))
		s = az_str_sub(s, 2, s.n);
	if (s.n < 1 || s.n > 253 || s.p[0] == '.' || s.p[s.n - 1] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char ch = s.p[i];
		if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
			(ch >= '0' && ch <= '9') || ch == '-' || (ch == '.' && s.p[i + 1] != '.')))
			return false;
	}
	return true;
}

static void
check_network(struct create *c)
{
	static const char *const names[] = {"default", "allow", NULL};
	static const char *const modes[] = {"install", "deny", "allow", NULL};
	const struct az_json *n = az_json_get(c->body, "network"), *mode, *allow;

	if (absent(n))
		return;
	if (az_json_type(n) != AZ_JOBJ) {
		create_item(c, "dict_type", "Input should be an object", "\"body\",\"network\"");
		return;
	}
	mode = az_json_get(n, "default");
	allow = az_json_get(n, "allow");
	if (!absent(mode) && !known(az_json_str(mode), modes))
		create_item(c, "enum", "Input should be install, deny or allow",
		    "\"body\",\"network\",\"default\"");
	if (!absent(allow) && (az_json_type(allow) != AZ_JARR || az_json_len(allow) > ALLOW_MAX))
		create_item(c, "list_type", "Input should be a list of at most 50 hosts",
		    "\"body\",\"network\",\"allow\"");
	else
		for (size_t i = 0; i < az_json_len(allow); i++)
			if (!host_ok(az_json_str(az_json_at(allow, i))))
				create_item(c, "host", "Input should be a host name",
				    "\"body\",\"network\",\"allow\",%zu", i);
	warn_unknown(c, n, "network.", names);
	c->network = n;
}

static void
check_model_name(struct create *c, struct az_str s, const char *loc)
{
	if (s.n > 200)
		create_item(c, "string_too_long", "At most 200 bytes", "%s", loc);
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 0x21 || s.p[i] == 0x7f) {
			create_item(c, "string_pattern",
			    "Blanks and control bytes cannot be part of a model's name", "%s", loc);
			return;
		}
	if (az_str_starts(s, AZ_S("recording/")) &&
	    (s.n == 10 || az_str_find(s, AZ_S(".."), 0) >= 0 || az_str_find(s, AZ_S("/"), 10) >= 0))
		create_item(c, "string_pattern", "Input should be recording/NAME", "%s", loc);
}

static void
check_models(struct create *c)
{
	const struct az_json *others = az_json_get(c->body, "model_fallbacks");

	c->model = text_of(c, "model", false);
	check_model_name(c, c->model, "\"body\",\"model\"");
	if (absent(others))
		return;
	if (az_json_type(others) != AZ_JARR || az_json_len(others) > FALLBACKS_MAX) {
		create_item(c, "list_type", "Input should be a list of at most 5 models",
		    "\"body\",\"model_fallbacks\"");
		return;
	}
	c->fallbacks = others;
	for (size_t i = 0; i < az_json_len(others); i++) {
		struct az_str s = az_json_str(az_json_at(others, i));
		char loc[64];

		snprintf(loc, sizeof loc, "\"body\",\"model_fallbacks\",%zu", i);
		check_model_name(c, s, loc);
		if (s.n == 0 || az_str_eqc(s, "manual"))
			create_item(
			    c, "string_pattern", "Input should be the name of a model", "%s", loc);
	}
}

static void
check_metadata(struct create *c)
{
	struct az_buf b;
	struct az_jw w;

	c->metadata = az_json_get(c->body, "metadata");
	if (absent(c->metadata)) {
		c->metadata = NULL;
		return;
	}
	if (az_json_type(c->metadata) != AZ_JOBJ) {
		create_item(c, "dict_type", "Input should be an object", "\"body\",\"metadata\"");
		return;
	}
	az_buf_init(&b, METADATA_BYTES);
	az_jw_init(&w, &b);
	az_jw_value(&w, c->metadata);
	if (b.fail)
		create_item(c, "too_long", "At most 8 KiB", "\"body\",\"metadata\"");
	az_buf_release(&b);
}

void
create_check(struct create *c, const struct az_json *body)
{
	static const char *const names[] = {"user_prompt", "test_conditions", "user_id", "mode",
	    "model", "model_fallbacks", "checks", "limits", "inputs", "network", "hitl",
	    "on_disconnect", "webhook", "metadata", NULL};
	static const char *const modes[] = {"sync", "async", NULL};
	static const char *const leave[] = {"continue", "cancel", NULL};
	static const char *const hitl[] = {"off", "each", "plan", NULL};

	c->body = body;
	c->prompt = text_of(c, "user_prompt", true);
	if (c->prompt.p && az_str_trim(c->prompt).n == 0)
		create_item(c, "string_too_short", "String should not be empty",
		    "\"body\",\"user_prompt\"");
	c->conditions = text_of(c, "test_conditions", true);
	(void)text_of(c, "user_id", false);
	c->async = az_str_eqc(choice(c, "mode", modes, "Input should be sync or async"), "async");
	c->on_disconnect = choice(c, "on_disconnect", leave, "Input should be continue or cancel");
	c->hitl = choice(c, "hitl", hitl, "Input should be off, each or plan");
	check_models(c);
	c->checks = az_json_get(body, "checks");
	create_check_checks(c, c->checks);
	if (c->conditions.p && az_str_trim(c->conditions).n == 0 && az_json_len(c->checks) == 0)
		create_item(c, "string_too_short",
		    "String should not be empty when there "
		    "are no checks",
		    "\"body\",\"test_conditions\"");
	create_check_limits(c);
	check_network(c);
	create_check_webhook(c);
	check_metadata(c);
	c->inputs = az_json_get(body, "inputs");
	warn_unknown(c, body, "", names);
}
