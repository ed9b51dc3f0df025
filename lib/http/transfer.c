/*
 * A transfer on the multi interface, so that cancel, idle and total time are looked at
 * every POLL_MS whatever the peer does: what comes in, and every way to end.
 */
#include <ctype.h>
#include <azlon/clock.h>
#include "http_room.h"

#define POLL_MS 200
#define IDLE_MS 60000

bool
http_told_to_stop(struct http_transfer *t)
{
	if (!t->q->cancelled || !t->q->cancelled(t->q->arg))
		return false;
	t->rc = az_fail(t->err, AZ_ECANCELLED, "http.call", "cancelled");
	return true;
}

static bool
head_complete(struct http_transfer *t)
{
	t->head_done = true;
	if (t->head)
		t->rc = t->head(t->q->arg, t->r->status, t->err);
	return t->rc == AZ_OK;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	struct az_str line = az_str_n(p, size * n);
	ptrdiff_t colon;

	t->any = true;
	t->last_ms = az_boot_ms();
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (t->head_done) /* trailers */
		return size * n;
	if (az_str_starts(line, AZ_S("HTTP/"))) {
		ptrdiff_t sp = az_str_chr(line, ' ');
		int64_t v = 0;
		if (sp < 0 || !az_str_to_i64(
				  az_str_sub(line, (size_t)sp + 1, (size_t)sp + 4), 100, 999, &v)) {
			t->rc = az_fail(t->err, AZ_EUPSTREAM, "http.call",
			    "%s: malformed status line", t->slot->key);
			return 0;
		}
		t->r->status = (int)v;
		az_buf_reset(&t->r->headers);
		t->n_headers = 0;
		return size * n;
	}
	if (line.n == 0)
		return t->r->status < 200 || head_complete(t) ? size * n : 0;
	if ((colon = az_str_chr(line, ':')) <= 0)
		return size * n;
	for (size_t i = 0; i < (size_t)colon; i++)
		az_buf_addch(&t->r->headers, (char)tolower((unsigned char)line.p[i]));
	az_buf_addc(&t->r->headers, ": ");
	az_buf_adds(&t->r->headers, az_str_trim(az_str_sub(line, (size_t)colon + 1, line.n)));
	az_buf_addch(&t->r->headers, '\n');
	if (t->r->headers.fail == AZ_ENOMEM) {
		t->rc = az_buf_check(&t->r->headers, "http.call", t->err);
		return 0;
	}
	if (++t->n_headers > HTTP_HEADERS_MAX || t->r->headers.fail) {
		t->rc = az_fail(
		    t->err, AZ_ETOOBIG, "http.call", "%s: too many reply headers", t->slot->key);
		return 0;
	}
	return size * n;
}

static size_t
on_data(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = size * n;
	int status = t->r->status;

	t->any = true;
	t->last_ms = az_boot_ms();
	if (http_told_to_stop(t))
		return 0;
	if (t->data && status >= 200 && status < 300)
		return t->data(t, az_str_n(p, len));
	if (t->data && len > t->r->body.max - t->r->body.n) {
		/* an error's text: its beginning is enough */
		len = t->r->body.max - t->r->body.n;
		t->enough = true;
	}
	az_buf_add(&t->r->body, p, len);
	if (t->r->body.fail == AZ_ETOOBIG)
		t->rc = az_fail(t->err, AZ_ETOOBIG, "http.call", "%s: reply larger than %zu bytes",
		    t->slot->key, t->r->body.max);
	else
		t->rc = az_buf_check(&t->r->body, "http.call", t->err);
	return t->rc == AZ_OK && !t->enough ? len : 0;
}

static size_t
on_read(char *p, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t want = size * n, got = 0;

	t->last_ms = az_boot_ms();
	if (http_told_to_stop(t))
		return CURL_READFUNC_ABORT;
	if (t->q->body_bytes >= 0 && (int64_t)want > t->up_left)
		want = (size_t)t->up_left;
	if (want == 0)
		return 0;
	t->rc = t->q->read(t->q->arg, p, want, &got, t->err);
	if (t->rc == AZ_OK && got == 0 && t->q->body_bytes >= 0)
		t->rc = az_fail(t->err, AZ_EIO, "http.call",
		    "%s: %lld bytes of the body are missing", t->slot->key, (long long)t->up_left);
	if (t->rc != AZ_OK)
		return CURL_READFUNC_ABORT;
	t->up_left -= (int64_t)got;
	return got;
}

/* Every result of libcurl that is not success, as one of ours. */
static enum az_code
result_of(struct http_transfer *t, CURLcode cc)
{
	enum az_code code;

	if (t->rc != AZ_OK)
		return t->rc;
	/* libcurl is content with a reply that ends inside its headers */
	if (cc == CURLE_OK && !t->head_done)
		return az_fail(t->err, AZ_EUPSTREAM, "http.call",
		    "%s: reply cut inside its headers", t->slot->key);
	if (cc == CURLE_OK || t->enough)
		return AZ_OK;
		/* the rest of libcurl's codes belong to other protocols */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wswitch-enum"
	switch (cc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_OPERATION_TIMEDOUT: /* only the connect timeout is libcurl's */
	case CURLE_SEND_FAIL_REWIND:
		code = AZ_EUNAVAIL;
		break;
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
		code = t->any ? AZ_EUPSTREAM : AZ_EUNAVAIL;
		break;
	case CURLE_URL_MALFORMAT:
		code = AZ_EINVAL;
		break;
	case CURLE_OUT_OF_MEMORY:
		/* also libcurl's word for an endless header line */
		code = t->any && !t->head_done ? AZ_ETOOBIG : AZ_ENOMEM;
		break;
#if LIBCURL_VERSION_NUM >= 0x080600
	case CURLE_TOO_LARGE: /* the same since then */
		code = AZ_ETOOBIG;
		break;
#endif
	default:
		code = AZ_EUPSTREAM;
	}
#pragma GCC diagnostic pop
	return az_fail(t->err, code, "http.call", "%s: %s", t->slot->key,
	    t->text[0] ? t->text : curl_easy_strerror(cc));
}

/* Time is up, or the caller says stop; else t->wait_ms is how long there is to wait. */
static enum az_code
may_go_on(struct http_transfer *t)
{
	int64_t idle = t->q->idle_ms > 0 ? t->q->idle_ms : IDLE_MS;
	curl_off_t sent = 0;
	int64_t now, left;

	if (http_told_to_stop(t))
		return t->rc;
	now = az_boot_ms();
	/* a body in memory goes out without a word to us */
	if (curl_easy_getinfo(t->slot->easy, CURLINFO_SIZE_UPLOAD_T, &sent) == CURLE_OK &&
	    sent != t->sent) {
		t->sent = sent;
		t->last_ms = now;
	}
	left = t->last_ms + idle - now;
	if (left <= 0)
		return az_fail(t->err, AZ_ETIMEOUT, "http.call", "%s: no byte for %lld ms",
		    t->slot->key, (long long)idle);
	if (t->q->total_ms > 0 && t->start_ms + t->q->total_ms - now < left)
		left = t->start_ms + t->q->total_ms - now;
	if (left <= 0)
		return az_fail(t->err, AZ_ETIMEOUT, "http.call", "%s: not done in %lld ms",
		    t->slot->key, (long long)t->q->total_ms);
	t->wait_ms = (int)(left < POLL_MS ? left : POLL_MS);
	return AZ_OK;
}

enum az_code
http_transfer_perform(struct http_transfer *t)
{
	CURLcode cc = CURLE_OK;
	int running = 0, n;
	CURLMsg *m;

	if (t->held) {
		t->held = false;
		if ((cc = curl_easy_pause(t->slot->easy, CURLPAUSE_CONT)) != CURLE_OK) {
			t->ended = true;
			return result_of(t, cc);
		}
	}
	if (curl_multi_perform(t->slot->multi, &running) != CURLM_OK)
		return az_fail(
		    t->err, AZ_EINTERNAL, "http.call", "%s: transfer failed", t->slot->key);
	if (running)
		return may_go_on(t);
	t->ended = true;
	while ((m = curl_multi_info_read(t->slot->multi, &n)))
		if (m->msg == CURLMSG_DONE)
			return result_of(t, m->data.result);
	return az_fail(t->err, AZ_EINTERNAL, "http.call", "%s: no result", t->slot->key);
}

void
http_transfer_wait(struct http_transfer *t)
{
	(void)curl_multi_poll(t->slot->multi, NULL, 0, t->wait_ms, NULL);
}

static bool
set_callbacks(CURL *e, struct http_transfer *t)
{
	return curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->text) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_HEADERDATA, t) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
	       curl_easy_setopt(e, CURLOPT_READDATA, t) == CURLE_OK;
}

enum az_code
http_transfer_begin(struct http_transfer *t, struct az_http *h)
{
	const struct az_http_req *q = t->q;
	char key[HTTP_KEY_MAX];
	enum az_code rc;

	t->pool = h;
	t->up_left = q->body_bytes;
	t->start_ms = t->last_ms = az_boot_ms();
	az_buf_init(&t->r->headers, HTTP_HEADERS_BYTES);
	az_buf_init(&t->r->body, t->data        ? HTTP_ERROR_BYTES
				 : q->max_bytes ? q->max_bytes
						: HTTP_BODY_BYTES);
	if ((rc = http_key_of(q->url, key, t->err)) != AZ_OK ||
	    (rc = http_headers_of(q, &t->headers, t->err)) != AZ_OK ||
	    (rc = http_slot_take(h, key, &t->slot, t->err)) != AZ_OK)
		return rc;
	if (!http_set_up(t->slot->easy, q, t->headers) || !set_callbacks(t->slot->easy, t))
		return az_fail(t->err, AZ_EINVAL, "http.call", "request refused by libcurl");
	if (curl_multi_add_handle(t->slot->multi, t->slot->easy) != CURLM_OK)
		return az_fail(t->err, AZ_EINTERNAL, "http.call", "libcurl");
	return AZ_OK;
}

void
http_transfer_end(struct http_transfer *t)
{
	if (t->slot) {
		/* ends a transfer under way and closes its connection */
		curl_multi_remove_handle(t->slot->multi, t->slot->easy);
		http_slot_give(t->pool, t->slot);
		t->slot = NULL;
	}
	curl_slist_free_all(t->headers);
	t->headers = NULL;
}
