/*
 * The vocabulary of "checks". An unknown member here is an error, not a warning: a check
 * with an expectation left out would pass where it should fail.
 */
#include <azlon/limits.h>
#include <azlon/path.h>
#include "run.h"

#define WORDS_MAX 100

enum kind { RUN = 1, FILE_ = 2, HTTP = 4, TEXT = 8 };

/* Which kinds of check have which expectation. */
static const struct {
	const char *name;
	int kinds;
	enum az_json_type type;
} expectations[] = {
    {"exit", RUN, AZ_JINT},
    {"stdout_equals", RUN, AZ_JSTR},
    {"stdout_contains", RUN, AZ_JSTR},
    {"stdout_matches", RUN, AZ_JSTR},
    {"stderr_empty", RUN, AZ_JBOOL},
    {"max_s", RUN, AZ_JDOUBLE},
    {"min_bytes", RUN | FILE_, AZ_JINT},
    {"magic", FILE_, AZ_JSTR},
    {"contains", RUN | FILE_ | HTTP, AZ_JSTR},
    {"status", HTTP, AZ_JINT},
};

/* What the check of a file can tell (lib/work). */
static const char *const magics[] = {"png", "jpg", "jpeg", "gif", "bmp", "webp", "svg", "pdf",
    "zip", "xlsx", "gz", "gzip", "bz2", "xz", "tar", "sqlite", "elf", "wav", "parquet", "csv",
    "text", "txt", "json", "xml", "html", NULL};

static bool
type_ok(const struct az_json *j, enum az_json_type want)
{
	enum az_json_type t = az_json_type(j);

	return t == want || (want == AZ_JDOUBLE && t == AZ_JINT);
}

static void
check_value(struct create *c, size_t i, const char *name, const struct az_json *v)
{
	const char *why = NULL;
	int64_t n;

	if (!strcmp(name, "exit") && !az_json_i64(v, 0, 255, &n))
		why = "Input should be from 0 to 255";
	else if (!strcmp(name, "status") && !az_json_i64(v, 100, 599, &n))
		why = "Input should be from 100 to 599";
	else if (!strcmp(name, "min_bytes") && !az_json_i64(v, 0, INT64_C(1) << 40, &n))
		why = "Input should not be negative";
	else if (!strcmp(name, "max_s") &&
		 !(az_json_num(v, -1) > 0 && az_json_num(v, -1) <= AZ_LIM_CMD_MAX_S))
		why = "Input should be greater than 0 and at most 900";
	else if (!strcmp(name, "stdout_matches") && !create_regex_ok(az_json_str(v)))
		why = "Input should be a POSIX extended regular expression of at most "
		      "1000 bytes, without back references and large repeats";
	else if (!strcmp(name, "magic")) {
		why = "Unknown kind of file";
		for (size_t k = 0; magics[k]; k++)
			if (az_str_ieq(az_json_str(v), az_str_c(magics[k])))
				why = NULL;
	}
	if (why)
		create_item(
		    c, "value_error", why, "\"body\",\"checks\",%zu,\"expect\",\"%s\"", i, name);
}

static void
check_expect(struct create *c, size_t i, int kind, const struct az_json *x)
{
	const size_t n = sizeof expectations / sizeof *expectations;
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	if (az_json_type(x) == AZ_JNULL)
		return;
	if (az_json_type(x) != AZ_JOBJ) {
		create_item(c, "dict_type", "Input should be an object",
		    "\"body\",\"checks\",%zu,\"expect\"", i);
		return;
	}
	while (az_json_each(x, &it, &key, &v)) {
		size_t k = 0;
		while (k < n &&
		       !(az_str_eqc(key, expectations[k].name) && (expectations[k].kinds & kind)))
			k++;
		if (k == n)
			create_item(c, "extra_forbidden",
			    az_arena_printf(c->a,
				"A check of this kind has no "
				"expectation %.*s",
				key.n > 60 ? 60 : AZ_FMT(key)),
			    "\"body\",\"checks\",%zu,\"expect\"", i);
		else if (!type_ok(v, expectations[k].type))
			create_item(c, "type_error", "Input has the wrong type",
			    "\"body\",\"checks\",%zu,\"expect\",\"%s\"", i, expectations[k].name);
		else
			check_value(c, i, expectations[k].name, v);
	}
}

static bool
words_ok(const struct az_json *j)
{
	size_t n = az_json_len(j);

	if (az_json_is_str(j))
		return az_json_str(j).n > 0 && az_str_chr(az_json_str(j), '\0') < 0;
	if (az_json_type(j) != AZ_JARR || n == 0 || n > WORDS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		struct az_str s = az_json_str(az_json_at(j, i));
		if (!az_json_is_str(az_json_at(j, i)) || az_str_chr(s, '\0') >= 0 ||
		    (i == 0 && s.n == 0))
			return false;
	}
	return true;
}

static void
check_http(struct create *c, size_t i, const struct az_json *h)
{
	const struct az_json *v, *path = az_json_get(h, "path");
	struct az_str key;
	void *it = NULL;
	int64_t n;

	if (az_json_type(h) != AZ_JOBJ || !az_json_i64(az_json_get(h, "port"), 1, 65535, &n)) {
		create_item(c, "value_error", "Input should be an object with a port",
		    "\"body\",\"checks\",%zu,\"http\"", i);
		return;
	}
	while (az_json_each(h, &it, &key, &v)) {
		bool ok = az_str_eqc(key, "port") ||
			  (az_str_eqc(key, "status") && az_json_i64(v, 100, 599, &n)) ||
			  (az_str_eqc(key, "contains") && az_json_is_str(v)) ||
			  (az_str_eqc(key, "path") && az_str_starts(az_json_str(path), AZ_S("/")) &&
			      az_json_str(path).n <= 1000);
		for (size_t k = 0; ok && k < az_json_str(path).n; k++)
			ok = (unsigned char)az_json_str(path).p[k] > 0x20;
		if (!ok)
			create_item(c, "value_error",
			    az_arena_printf(c->a,
				"%.*s is not known here, or its value is not possible",
				key.n > 60 ? 60 : AZ_FMT(key)),
			    "\"body\",\"checks\",%zu,\"http\"", i);
	}
}

static int
kind_of(struct create *c, size_t i, const struct az_json *k)
{
	static const char *const names[] = {"run", "file", "http", "text"};
	int kind = 0, n = 0;

	for (int b = 0; b < 4; b++)
		if (az_json_get(k, names[b])) {
			kind = 1 << b;
			n++;
		}
	if (n == 1)
		return kind;
	create_item(c, "value_error", "A check has exactly one of run, file, http, text",
	    "\"body\",\"checks\",%zu", i);
	return 0;
}

static void
check_members(struct create *c, size_t i, int kind, const struct az_json *k)
{
	static const struct {
		const char *name;
		int kinds;
	} members[] = {{"id", 15}, {"hidden", 15}, {"run", RUN}, {"file", FILE_}, {"http", HTTP},
	    {"text", TEXT}, {"stdin", RUN}, {"timeout_s", RUN | HTTP},
	    {"expect", RUN | FILE_ | HTTP}};
	const size_t n = sizeof members / sizeof *members;
	const struct az_json *v;
	struct az_str key;
	void *it = NULL;

	while (az_json_each(k, &it, &key, &v)) {
		size_t m = 0;
		while (m < n && !(az_str_eqc(key, members[m].name) && (members[m].kinds & kind)))
			m++;
		if (m == n)
			create_item(c, "extra_forbidden",
			    az_arena_printf(c->a,
				"A check of this kind has no member "
				"%.*s",
				key.n > 60 ? 60 : AZ_FMT(key)),
			    "\"body\",\"checks\",%zu", i);
	}
}

static bool
id_ok(struct az_str s)
{
	if (s.n < 1 || s.n > 64)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') ||
			(s.p[i] >= '0' && s.p[i] <= '9') || strchr("_.-", s.p[i])))
			return false;
	return true;
}

static void
check_id(struct create *c, const struct az_json *all, size_t i)
{
	const struct az_json *id = az_json_get(az_json_at(all, i), "id");

	if (!id)
		return;
	if (!id_ok(az_json_str(id)))
		create_item(c, "value_error", "Input should be 1 to 64 of A-Z a-z 0-9 _ . -",
		    "\"body\",\"checks\",%zu,\"id\"", i);
	for (size_t k = 0; k < i; k++)
		if (az_str_eq(az_json_str(id), az_json_gets(az_json_at(all, k), "id")))
			create_item(c, "value_error", "Another check has this id",
			    "\"body\",\"checks\",%zu,\"id\"", i);
}

static void
check_one(struct create *c, const struct az_json *all, size_t i)
{
	const struct az_json *k = az_json_at(all, i), *v;
	struct az_err why = AZ_ERR_INIT;
	int64_t n;
	int kind;

	if (az_json_type(k) != AZ_JOBJ) {
		create_item(
		    c, "dict_type", "Input should be an object", "\"body\",\"checks\",%zu", i);
		return;
	}
	if (!(kind = kind_of(c, i, k)))
		return;
	check_id(c, all, i);
	check_members(c, i, kind, k);
	if (kind == RUN && !words_ok(az_json_get(k, "run")))
		create_item(c, "value_error", "Input should be a command line or a list of words",
		    "\"body\",\"checks\",%zu,\"run\"", i);
	if (kind == FILE_ && az_path_ok(az_json_gets(k, "file"), &why) != AZ_OK)
		create_item(c, "value_error", az_arena_cstr(c->a, az_str_c(why.text)),
		    "\"body\",\"checks\",%zu,\"file\"", i);
	if (kind == TEXT && az_str_trim(az_json_gets(k, "text")).n == 0)
		create_item(c, "value_error", "Input should be a sentence",
		    "\"body\",\"checks\",%zu,\"text\"", i);
	if (kind == HTTP)
		check_http(c, i, az_json_get(k, "http"));
	if ((v = az_json_get(k, "stdin")) && !az_json_is_str(v))
		create_item(c, "string_type", "Input should be a valid string",
		    "\"body\",\"checks\",%zu,\"stdin\"", i);
	if ((v = az_json_get(k, "hidden")) && az_json_type(v) != AZ_JBOOL)
		create_item(c, "bool_type", "Input should be true or false",
		    "\"body\",\"checks\",%zu,\"hidden\"", i);
	if ((v = az_json_get(k, "timeout_s")) && !az_json_i64(v, 1, AZ_LIM_CMD_MAX_S, &n))
		create_item(c, "out_of_range", "Input should be from 1 to 900",
		    "\"body\",\"checks\",%zu,\"timeout_s\"", i);
	check_expect(c, i, kind, az_json_get(k, "expect"));
}

void
create_check_checks(struct create *c, const struct az_json *checks)
{
	if (az_json_type(checks) == AZ_JNULL)
		return;
	if (az_json_type(checks) != AZ_JARR || az_json_len(checks) > AZ_LIM_CHECKS) {
		create_item(c, "list_type", "Input should be a list of at most 100 checks",
		    "\"body\",\"checks\"");
		return;
	}
	for (size_t i = 0; i < az_json_len(checks); i++)
		check_one(c, checks, i);
}
