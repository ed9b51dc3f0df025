/* A call from end to end, and what came of it. */
#include "http_room.h"

void
az_http_resp_release(struct az_http_resp *r)
{
	az_buf_release(&r->headers);
	az_buf_release(&r->body);
}

struct az_str
az_http_header(const struct az_http_resp *r, const char *name)
{
	struct az_str rest = az_buf_str(&r->headers), line;
	size_t n = strlen(name);

	while (az_str_line(&rest, &line))
		if (line.n > n + 1 && line.p[n] == ':' && memcmp(line.p, name, n) == 0)
			return az_str_sub(line, n + 2, line.n);
	return (struct az_str){NULL, 0};
}

static size_t
hand_on(struct http_transfer *t, struct az_str chunk)
{
	t->rc = t->q->data(t->q->arg, chunk, t->err);
	return t->rc == AZ_OK ? chunk.n : 0;
}

enum az_code
az_http_call(
    struct az_http *h, const struct az_http_req *q, struct az_http_resp *r, struct az_err *err)
{
	struct az_err local = AZ_ERR_INIT;
	struct http_transfer t = {.q = q,
	    .r = r,
	    .err = err ? err : &local,
	    .head = q->head,
	    .data = q->data ? hand_on : NULL};
	enum az_code rc = http_transfer_begin(&t, h);

	while (rc == AZ_OK && (rc = http_transfer_perform(&t)) == AZ_OK && !t.ended)
		http_transfer_wait(&t);
	http_transfer_end(&t);
	return rc;
}
