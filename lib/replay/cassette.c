/* Files of recordings: read once into an index, read again when they change. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/log.h>
#include <azlon/path.h>
#include "replay.h"

static const char OP[] = "replay.read";

bool
replay_name_ok(struct az_str name)
{
	if (name.n == 0 || name.n > REPLAY_NAME_BYTES || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];

		if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_' && c != '.')
			return false;
	}
	return true;
}

bool
replay_path(const struct az_replay *r, const char *name, char *out, size_t n)
{
	int len = snprintf(out, n, "%s/%s.jsonl", r->dir, name);

	return len > 0 && (size_t)len < n;
}

bool
replay_kind_ok(struct az_str kind)
{
	static const char *const kinds[] = {
	    "hosted-api", "local-model", "manual", "reference-solution", "synthetic-fault"};

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (az_str_eqc(kind, kinds[i]))
			return true;
	return false;
}

static enum az_code
fault_line(struct replay_cassette *c, const struct az_json *j, struct az_err *err)
{
	struct replay_faulty *f = &c->faults[c->n_faults];

	if (c->n_faults == sizeof c->faults / sizeof *c->faults)
		return az_fail(err, AZ_ETOOBIG, OP, "too many faults");
	if (!replay_fault_parse(az_json_gets(j, "fault"), &f->fault))
		return az_fail(err, AZ_EINVAL, OP, "unknown fault");
	f->times = az_json_geti(j, "times", 1);
	f->retry_after_s = az_json_geti(j, "retry_after_s", 0);
	c->n_faults++;
	return AZ_OK;
}

static enum az_code
add_line(struct replay_cassette *c, struct az_str line, size_t off, struct az_err *err)
{
	const struct az_json *resp;
	struct replay_entry *e = NULL, *more;
	struct az_json *j = NULL;
	char key[65];
	struct az_buf canon;
	enum az_code rc;

	az_buf_init(&canon, REPLAY_LINE_BYTES);
	if ((rc = az_json_parse(line, &replay_limits, &j, err)))
		goto out;
	if (az_json_geti(j, "v", 0) != 1) {
		rc = az_fail(err, AZ_EINVAL, OP, "\"v\" is not 1");
		goto out;
	}
	if (az_json_get(j, "fault")) {
		rc = fault_line(c, j, err);
		goto out;
	}
	resp = az_json_get(j, "response");
	if (!az_json_is_str(az_json_get(resp, "text")) &&
	    az_json_type(az_json_get(resp, "chunks")) != AZ_JARR) {
		rc = az_fail(err, AZ_EINVAL, OP, "no response text");
		goto out;
	}
	if (!replay_kind_ok(az_json_gets(az_json_get(j, "provenance"), "kind"))) {
		rc = az_fail(err, AZ_EINVAL, OP, "no provenance of a known kind");
		goto out;
	}
	/* an edited request would be a reply to something that was never asked */
	if ((rc = replay_canon(az_json_get(j, "request"), &canon, key, err)))
		goto out;
	if (!az_str_eqc(az_json_gets(j, "key"), key)) {
		rc = az_fail(err, AZ_EINVAL, OP, "the key is not that of the request");
		goto out;
	}
	if (c->n == REPLAY_ENTRIES) {
		rc = az_fail(err, AZ_ETOOBIG, OP, "more than %d lines", REPLAY_ENTRIES);
		goto out;
	}
	if (c->n % 64 == 0) {
		if (!(more = realloc(c->entries, (c->n + 64) * sizeof *more))) {
			rc = az_fail(err, AZ_ENOMEM, OP, "no memory");
			goto out;
		}
		c->entries = more;
	}
	e = &c->entries[c->n++];
	*e = (struct replay_entry){
	    .seq = az_json_geti(j, "seq", (int64_t)c->n), .off = off, .len = line.n};
	memcpy(e->key, key, sizeof key);
out:
	az_json_free(j);
	az_buf_release(&canon);
	return rc;
}

static void
cassette_free(struct replay_cassette *c)
{
	free(c->entries);
	free(c);
}

static struct replay_cassette *
read_cassette(const char *path, const char *name, const struct stat *st)
{
	struct replay_cassette *c = calloc(1, sizeof *c);
	struct az_str rest, line;
	struct az_err err = AZ_ERR_INIT;
	enum az_code rc;
	struct az_buf b;
	size_t no = 0;

	if (!c)
		return NULL;
	snprintf(c->name, sizeof c->name, "%s", name);
	c->st = *st;
	az_buf_init(&b, REPLAY_CASSETTE_BYTES);
	rc = az_read_file(path, REPLAY_CASSETTE_BYTES, &b, &err);
	rest = az_buf_str(&b);
	while (!rc && az_str_line(&rest, &line)) {
		no++;
		if (az_str_trim(line).n)
			rc = add_line(c, line, (size_t)(line.p - b.p), &err);
	}
	if (rc) {
		snprintf(c->broken, sizeof c->broken, "line %zu: %.200s", no, err.text);
		az_log(AZ_WARN, "replay.broken", AZ_KC("recording", name), AZ_KC("why", c->broken));
	}
	az_buf_release(&b);
	return c;
}

static bool
same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

struct replay_cassette *
replay_cassette(struct az_replay *r, const char *name)
{
	struct replay_cassette *c = NULL;
	char path[4200];
	struct stat st;
	size_t i;

	for (i = 0; i < r->n; i++)
		if (strcmp(r->list[i]->name, name) == 0)
			break;
	if (!replay_path(r, name, path, sizeof path) || stat(path, &st) || !S_ISREG(st.st_mode)) {
		if (i < r->n) {
			cassette_free(r->list[i]);
			r->list[i] = r->list[--r->n];
		}
		return NULL;
	}
	if (i < r->n && same_file(&r->list[i]->st, &st))
		return r->list[i];
	if (i == REPLAY_CASSETTES || !(c = read_cassette(path, name, &st)))
		return NULL;
	if (i < r->n) {
		/* what was said so far still holds when a line was added */
		c->said = r->list[i]->said;
		cassette_free(r->list[i]);
	} else {
		r->n++;
	}
	r->list[i] = c;
	return c;
}

void
replay_scan(struct az_replay *r)
{
	char name[REPLAY_NAME_BYTES + 1];
	struct dirent *e;
	DIR *d = opendir(r->dir);

	while (d && (e = readdir(d))) {
		struct az_str n = az_str_c(e->d_name);

		if (!az_str_ends(n, AZ_S(".jsonl")))
			continue;
		n = az_str_sub(n, 0, n.n - 6);
		if (!replay_name_ok(n))
			continue;
		memcpy(name, n.p, n.n);
		name[n.n] = '\0';
		(void)replay_cassette(r, name);
	}
	if (d)
		closedir(d);
}

const struct replay_entry *
replay_find(const struct replay_cassette *c, const char *key)
{
	const struct replay_entry *best = NULL;

	for (size_t i = 0; i < c->n; i++)
		if (memcmp(c->entries[i].key, key, 64) == 0 &&
		    (!best || c->entries[i].seq < best->seq))
			best = &c->entries[i];
	return best;
}

enum az_code
replay_load(const struct az_replay *r, const char *name, const struct replay_entry *e,
    struct az_arena *a, const struct az_json **out, struct az_err *err)
{
	char path[4200];
	char *p = az_arena_alloc(a, e->len + 1);
	size_t got = 0;
	int fd = -1;
	enum az_code rc;

	if (!p)
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	if (!replay_path(r, name, path, sizeof path) || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return az_fail_errno(err, AZ_EIO, OP, "%s", name);
	while (got < e->len) {
		ssize_t n = pread(fd, p + got, e->len - got, (off_t)(e->off + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	rc = got < e->len ? AZ_ECONFLICT
			  : az_json_parse_in(a, az_str_n(p, got), &replay_limits, out, err);
	if (rc == AZ_OK && az_str_eqc(az_json_gets(*out, "key"), e->key))
		return AZ_OK;
	return az_fail(err, AZ_ECONFLICT, OP, "%s changed while it was read", name);
}

void
replay_forget(struct az_replay *r)
{
	while (r->n)
		cassette_free(r->list[--r->n]);
}
