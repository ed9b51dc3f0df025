/* One call of the API, and how its failures are told to a person. */
#include <signal.h>
#include <stdarg.h>
#include <time.h>
#include <azlon/clock.h>
#include <azlon/crypto.h>
#include "client.h"

enum {
	BUSY_MS = 10000, /* a limit that is longer is not one of how often */
	BUSY_TRIES = 20
};

static volatile sig_atomic_t interrupted;

static void
on_int(int sig)
{
	(void)sig;
	interrupted = 1;
}

bool
cl_interrupted(void *arg)
{
	static bool armed;

	(void)arg;
	if (!armed) {
		struct sigaction sa = {.sa_handler = on_int, .sa_flags = (int)SA_RESETHAND};

		sigaction(SIGINT, &sa, NULL); /* a second Ctrl-C ends at once */
		armed = true;
	}
	return interrupted != 0;
}

void
cl_pause_ms(int64_t ms)
{
	int64_t end = az_boot_ms() + ms;

	while (!interrupted && (ms = end - az_boot_ms()) > 0) {
		struct timespec t = {ms / 1000, (ms % 1000) * 1000000};

		nanosleep(&t, NULL);
	}
}

const char *
cl_enc(struct cl *cl, const char *s, const char *keep)
{
	struct az_buf b;
	const char *out;

	az_buf_init(&b, strlen(s) * 3 + 1);
	az_pct_encode(&b, az_str_c(s), keep);
	out = az_arena_cstr(cl->a, az_buf_str(&b));
	az_buf_release(&b);
	return out ? out : "";
}

enum az_code
cl_http(struct cl *cl, const struct cl_call *c, struct az_http_resp *r, struct az_err *err)
{
	struct az_http_req q = c->more;
	const char *h[12];
	size_t n = 0;

	q.method = c->method;
	q.url = az_arena_printf(cl->a, "%s%s", cl->url, c->path);
	h[n++] = "User-Agent: azlon/" AZ_VERSION;
	if (c->type)
		h[n++] = az_arena_printf(cl->a, "Content-Type: %s", c->type);
	if (cl->token)
		h[n++] = az_arena_printf(cl->a, "Authorization: Bearer %s", cl->token);
	if (cl->user)
		h[n++] = az_arena_printf(cl->a, "X-User-ID: %s", cl->user);
	for (size_t i = 0; i < 4 && c->header[i]; i++)
		h[n++] = c->header[i];
	h[n] = NULL;
	for (size_t i = 0; i < n; i++)
		if (!h[i])
			return az_fail(err, AZ_ENOMEM, "client", "no memory");
	if (!q.url)
		return az_fail(err, AZ_ENOMEM, "client", "no memory");
	q.headers = h;
	q.body = c->body;
	q.ca_file = cl->ca;
	if (!q.cancelled)
		q.cancelled = cl_interrupted;
	if (!q.max_bytes)
		q.max_bytes = AZ_MIB(16);
	/* many files one after the other are sooner or later too many: as often as it is told so */
	for (int tries = 0;; tries++) {
		enum az_code rc = az_http_call(cl->http, &q, r, err);
		int64_t ms = !rc && r->status == 429 ? az_http_retry_after_ms(r) : 0;

		if (ms <= 0 || ms > BUSY_MS || q.read || tries == BUSY_TRIES || interrupted)
			return rc;
		az_http_resp_release(r);
		*r = (struct az_http_resp){0};
		cl_pause_ms(ms);
	}
}

int
cl_explain(const struct az_http_resp *r, const struct az_err *err)
{
	struct az_json *j = NULL;
	struct az_str detail;
	int rc = CL_FAILED;

	if (err) {
		if (err->code == AZ_ECANCELLED)
			return CL_INTERRUPTED;
		fprintf(stderr, "azlon: ");
		cl_put(stderr, az_str_c(err->text), 400);
		fprintf(stderr, "\n");
		return err->code == AZ_EUNAVAIL || err->code == AZ_ETIMEOUT ||
			       err->code == AZ_EUPSTREAM
			   ? CL_UNREACHED
			   : CL_FAILED;
	}
	/* what a proxy answers for a server that is away */
	if (r->status == 502 || r->status == 503 || r->status == 504)
		rc = CL_UNREACHED;
	if (az_json_parse(az_buf_str(&r->body), &az_json_own_limits, &j, NULL))
		j = NULL;
	detail = az_json_gets(j, "detail");
	if (!detail.n)
		detail = az_json_gets(j, "title");
	fprintf(stderr, "azlon: the server answered %d", r->status);
	if (detail.n) {
		fprintf(stderr, ": ");
		cl_put(stderr, detail, 400);
	}
	fprintf(stderr, "\n");
	for (size_t i = 0; i < az_json_len(az_json_get(j, "errors")) && i < 20; i++) {
		const struct az_json *e = az_json_at(az_json_get(j, "errors"), i);
		const struct az_json *loc = az_json_get(e, "loc");

		fprintf(stderr, "  ");
		for (size_t k = 0; k < az_json_len(loc) && k < 10; k++) {
			int64_t at;

			if (k)
				fputc('.', stderr);
			if (az_json_i64(az_json_at(loc, k), 0, INT64_MAX, &at))
				fprintf(stderr, "%lld", (long long)at);
			else
				cl_put(stderr, az_json_str(az_json_at(loc, k)), 60);
		}
		fprintf(stderr, ": ");
		cl_put(stderr, az_json_gets(e, "msg"), 200);
		fprintf(stderr, "\n");
	}
	az_json_free(j);
	return rc;
}

int
cl_json(struct cl *cl, const struct cl_call *c, const struct az_json **out)
{
	struct az_http_resp r = {0};
	struct az_err err = AZ_ERR_INIT;
	int rc = CL_OK;

	*out = NULL;
	if (cl_http(cl, c, &r, &err))
		rc = cl_explain(&r, &err);
	else if (r.status < 200 || r.status > 299)
		rc = cl_explain(&r, NULL);
	else if (az_json_parse_in(cl->a, az_buf_str(&r.body), &az_json_own_limits, out, &err)) {
		fprintf(stderr, "azlon: the answer is not the JSON it should be (%s)\n", err.text);
		rc = CL_FAILED;
	}
	az_http_resp_release(&r);
	return rc;
}

int
cl_usage(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "azlon: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, " (azlon --help)\n");
	return CL_USAGE;
}
