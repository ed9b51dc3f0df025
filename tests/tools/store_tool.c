/*
 * One store, from the command line, so that clients in other languages can be compared with it:
 *   store_tool STORE USER VERB ARGS…
 * STORE is dir:PATH, or s3:ENDPOINT with the keys in MINIO_ROOT_USER and MINIO_ROOT_PASSWORD
 * (and AZLON_S3_STS=off to sign with them alone). USER names the bucket. Keys are bytes as given.
 *   bucket | put KEY <BODY | get KEY [OFFSET] >BODY | stat KEY | list [PREFIX [one]] | rm KEY
 *   rmprefix PREFIX | rmbucket | copy FROM TO | accel METHOD MIME KEY | link KEY TTL MIME
 *   if KEY WAS|- <BODY | ping | puts PREFIX NUMBER BYTES THREADS
 * Exit 0, or 1 with "CODE REASON: sentence" on stderr.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <azlon/http.h>
#include <azlon/limits.h>
#include <azlon/store.h>

static struct az_store *store;
static struct az_bucket bucket;
static struct az_err err;

static enum az_code
body_in(struct az_buf *b)
{
	char chunk[65536];
	ssize_t n;

	az_buf_init(b, AZ_MIB(16));
	while ((n = read(0, chunk, sizeof chunk)) > 0)
		az_buf_add(b, chunk, (size_t)n);
	return az_buf_check(b, "tool", &err);
}

static enum az_code
put(struct az_str key)
{
	char *chunk = malloc(AZ_KIB(256));
	struct az_put *p = NULL;
	enum az_code rc = az_store_put_open(store, &bucket, key, &p, &err);
	ssize_t n;

	while (!rc && chunk && (n = read(0, chunk, AZ_KIB(256))) > 0)
		rc = az_store_put_write(p, az_str_n(chunk, (size_t)n), &err);
	free(chunk);
	if (!rc)
		return az_store_put_commit(p, &err);
	az_store_put_abort(p);
	return rc;
}

static enum az_code
get(struct az_str key, const char *offset)
{
	char *chunk = malloc(AZ_KIB(256));
	struct az_get *g = NULL;
	size_t got = 1;
	enum az_code rc =
	    az_store_get_open(store, &bucket, key, offset ? atoll(offset) : 0, NULL, &g, &err);

	while (!rc && chunk && got) {
		rc = az_store_get_read(g, chunk, AZ_KIB(256), &got, &err);
		if (!rc && fwrite(chunk, 1, got, stdout) != got)
			rc = az_fail(&err, AZ_EIO, "tool", "stdout");
	}
	free(chunk);
	az_store_get_close(g);
	return rc;
}

/* "BYTES MODIFIED_MS KEY", a line each, as JSON would escape nothing of it: keys end in NUL. */
static enum az_code
list(const char *prefix, bool one)
{
	struct az_store_list q = {.prefix = az_str_c(prefix), .limit = 1000, .one_level = one};
	enum az_code rc;

	do {
		struct az_arena *a = az_arena_new(AZ_MIB(16));
		struct az_store_page page;
		static char after[1100];

		rc = az_store_list(store, &bucket, &q, a, &page, &err);
		for (size_t i = 0; !rc && i < page.n; i++)
			printf("%lld %lld %.*s%c", (long long)page.objs[i].bytes,
			    (long long)page.objs[i].modified_ms, AZ_FMT(page.objs[i].key), '\0');
		q.after = (struct az_str){NULL, 0};
		if (!rc && page.next.n) {
			memcpy(after, page.next.p, page.next.n);
			q.after = az_str_n(after, page.next.n);
		}
		az_arena_free(a);
	} while (!rc && q.after.n);
	return rc;
}

/* ---- many small objects, by several threads ---- */

static struct {
	atomic_int next;
	int n;
	struct az_str prefix, body;
	_Atomic(enum az_code) rc;
} many;

static void *
put_many(void *arg)
{
	int i;

	(void)arg;
	while ((i = atomic_fetch_add(&many.next, 1)) < many.n) {
		struct az_err e;
		struct az_buf key;
		enum az_code rc;

		az_buf_init(&key, 1024);
		az_buf_addf(&key, "%.*s%05d", AZ_FMT(many.prefix), i);
		rc = az_store_put(store, &bucket, az_buf_str(&key), many.body, &e);
		az_buf_release(&key);
		if (rc) {
			fprintf(stderr, "%s\n", e.text);
			many.rc = rc;
			break;
		}
	}
	return NULL;
}

static enum az_code
puts_(char **a)
{
	int threads = atoi(a[3]);
	pthread_t t[64];
	char *body = calloc(1, (size_t)atol(a[2]) + 1);

	many.prefix = az_str_c(a[0]);
	many.n = atoi(a[1]);
	many.body = az_str_n(body, (size_t)atol(a[2]));
	if (!body || threads < 1 || threads > 64)
		return az_fail(&err, AZ_EINVAL, "tool", "1 to 64 threads");
	for (int i = 0; i < threads; i++)
		if (pthread_create(&t[i], NULL, put_many, NULL))
			return az_fail(&err, AZ_ENOMEM, "tool", "thread");
	for (int i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	free(body);
	return many.rc ? az_fail(&err, many.rc, "tool", "a put failed") : AZ_OK;
}

static enum az_code
run(int n, char **a)
{
	struct az_str key = az_str_c(n > 1 ? a[1] : "");
	const char *verb = n ? a[0] : "";
	struct az_buf b, c;
	struct az_obj o;
	enum az_code rc;

#define VERB(name, args) (!strcmp(verb, name) && n > (args))
	if (VERB("bucket", 0))
		return printf("%s\n", bucket.name), AZ_OK;
	if (VERB("put", 1))
		return put(key);
	if (VERB("get", 1))
		return get(key, n > 2 ? a[2] : NULL);
	if (VERB("list", 0))
		return list(n > 1 ? a[1] : "", n > 2);
	if (VERB("rm", 1))
		return az_store_remove(store, &bucket, key, &err);
	if (VERB("rmprefix", 1))
		return az_store_remove_prefix(store, &bucket, key, &err);
	if (VERB("rmbucket", 0))
		return az_store_remove_bucket(store, &bucket, &err);
	if (VERB("copy", 2))
		return az_store_copy(store, &bucket, key, az_str_c(a[2]), &err);
	if (VERB("ping", 0))
		return az_store_ping(store, &err);
	if (VERB("puts", 4))
		return puts_(a + 1);
	if (VERB("stat", 1)) {
		if (!(rc = az_store_stat(store, &bucket, key, &o, &err)))
			printf("%lld %lld\n", (long long)o.bytes, (long long)o.modified_ms);
		return rc;
	}
	if (VERB("if", 2)) {
		struct az_str was = !strcmp(a[2], "-") ? (struct az_str){NULL, 0} : az_str_c(a[2]);

		if (!(rc = body_in(&b)))
			rc = az_store_put_if(store, &bucket, key, was, az_buf_str(&b), &err);
		az_buf_release(&b);
		return rc;
	}
	az_buf_init(&b, AZ_KIB(16));
	az_buf_init(&c, AZ_KIB(16));
	if (VERB("accel", 3)) {
		if (!(rc = az_store_accel(
			  store, &bucket, az_str_c(a[3]), a[1], a[2], &b, &c, &err)))
			printf("%.*s\n%.*s\n", (int)b.n, b.p, (int)c.n, c.n ? c.p : "");
	} else if (VERB("link", 3)) {
		struct az_link l = {
		    .ttl_s = atoi(a[2]), .mime = a[3], .disposition = AZ_S("inline")};

		if (!(rc = az_store_link(store, &bucket, key, &l, &b, &err)))
			printf("%.*s\n", (int)b.n, b.p);
	} else {
		rc = az_fail(&err, AZ_EINVAL, "tool", "no such verb, or too few arguments");
	}
	az_buf_release(&b);
	az_buf_release(&c);
	return rc;
}

int
main(int argc, char **argv)
{
	const char *sts = getenv("AZLON_S3_STS");
	struct az_http *http = NULL;
	enum az_code rc = AZ_EINVAL;

	if (argc < 4) {
		fprintf(stderr, "usage: store_tool dir:PATH|s3:ENDPOINT USER VERB ARGS…\n");
		return 2;
	}
	bucket = az_bucket_of(az_str_c(argv[2]));
	if (!strncmp(argv[1], "dir:", 4)) {
		rc = az_store_dir_open(argv[1] + 4, &store, &err);
	} else if (!strncmp(argv[1], "s3:", 3) && !(rc = az_http_new(&http, &err))) {
		struct az_s3_opts o = {.http = http,
		    .endpoint = argv[1] + 3,
		    .external = argv[1] + 3,
		    .access_key = getenv("MINIO_ROOT_USER"),
		    .secret_key = getenv("MINIO_ROOT_PASSWORD"),
		    .region = getenv("AZLON_S3_REGION"),
		    .sts_off = sts && !strcmp(sts, "off"),
		    .lock_dir = "/tmp"};

		rc = az_store_s3_open(&o, &store, &err);
	}
	if (!rc)
		rc = run(argc - 3, argv + 3);
	if (rc)
		fprintf(stderr, "%s %s: %s\n", az_code_name(rc), err.reason, err.text);
	az_store_close(store);
	az_http_free(http);
	return rc != AZ_OK;
}
