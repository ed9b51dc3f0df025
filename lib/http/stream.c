/*
 * A reply that is pulled. The reader's thread drives the transfer, and only while there is
 * nothing for it here: a peer that is faster fills what one round brings, then the sockets.
 */
#include <stdlib.h>
#include <azlon/clock.h>
#include "http_room.h"

struct az_http_stream {
	struct http_transfer t;
	struct az_buf buf; /* came and was not read yet, */
	size_t at;         /* from here */
	/* the reader's memory while it waits in az_http_read() */
	char *p;
	size_t room, got;
	/* how the transfer failed: told once all that came before is read */
	enum az_code late;
	struct az_err err;
};

static size_t
take(struct http_transfer *t, struct az_str chunk)
{
	struct az_http_stream *s = (struct az_http_stream *)t;
	size_t direct = chunk.n < s->room ? chunk.n : s->room;

	/* all or nothing: libcurl keeps what we refuse, whole */
	if (s->buf.n && s->buf.n + chunk.n - direct > t->pool->hold_bytes) {
		t->held = true;
		return CURL_WRITEFUNC_PAUSE;
	}
	az_buf_add(&s->buf, chunk.p + direct, chunk.n - direct);
	if (s->buf.fail) {
		t->rc = az_buf_check(&s->buf, "http.call", t->err);
		return 0;
	}
	if (direct) {
		memcpy(s->p + s->got, chunk.p, direct);
		s->got += direct;
		s->room -= direct;
	}
	return chunk.n;
}

/* One round. A transfer that is over gives its connection back at once, however long the
   reader still takes. */
static void
drive(struct az_http_stream *s)
{
	s->late = http_transfer_perform(&s->t);
	if (s->late != AZ_OK || s->t.ended) {
		s->t.ended = true;
		http_transfer_end(&s->t);
	}
}

static bool
streams(const struct az_http_resp *r)
{
	return r->status >= 200 && r->status < 300;
}

enum az_code
az_http_open(struct az_http *h, const struct az_http_req *q, struct az_http_resp *r,
    struct az_http_stream **out, struct az_err *err)
{
	struct az_http_stream *s = calloc(1, sizeof *s);

	*out = NULL;
	if (!s)
		return az_fail(err, AZ_ENOMEM, "http.call", "out of memory");
	az_buf_init(&s->buf, HTTP_STREAM_BYTES);
	s->t.q = q;
	s->t.r = r;
	s->t.err = &s->err;
	s->t.data = take;
	if ((s->late = http_transfer_begin(&s->t, h)) == AZ_OK)
		drive(s);
	while (s->late == AZ_OK && !s->t.ended && !(s->t.head_done && streams(r))) {
		http_transfer_wait(&s->t);
		drive(s);
	}
	if (s->late != AZ_OK && !(s->t.head_done && streams(r))) {
		enum az_code rc = s->late;
		if (err)
			*err = s->err;
		az_http_close(s);
		return rc;
	}
	*out = s;
	return AZ_OK;
}

static size_t
from_buffer(struct az_http_stream *s, char *p, size_t n)
{
	if (n > s->buf.n - s->at)
		n = s->buf.n - s->at;
	if (n)
		memcpy(p, s->buf.p + s->at, n);
	s->at += n;
	if (s->at == s->buf.n) {
		az_buf_reset(&s->buf);
		s->at = 0;
	}
	return n;
}

enum az_code
az_http_read(struct az_http_stream *s, char *p, size_t n, size_t *got, struct az_err *err)
{
	*got = 0;
	if (s->late == AZ_OK && http_told_to_stop(&s->t)) {
		s->late = s->t.rc;
		s->t.ended = true;
		az_buf_reset(&s->buf);
		s->at = 0;
		http_transfer_end(&s->t);
	}
	if ((*got = from_buffer(s, p, n)) > 0)
		return AZ_OK;
	s->p = p;
	s->room = n;
	s->got = 0;
	/* the peer is not to blame for the time that the reader was away */
	s->t.last_ms = az_boot_ms();
	while (!s->t.ended) {
		drive(s);
		if (s->got || s->t.ended)
			break;
		http_transfer_wait(&s->t);
	}
	s->room = 0;
	if ((*got = s->got) > 0 || s->late == AZ_OK)
		return AZ_OK;
	if (err)
		*err = s->err;
	return s->late;
}

void
az_http_close(struct az_http_stream *s)
{
	if (!s)
		return;
	http_transfer_end(&s->t);
	az_buf_release(&s->buf);
	free(s);
}
