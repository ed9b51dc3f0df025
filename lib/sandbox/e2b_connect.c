/*
 * Connect RPC, JSON only. A frame is one flag byte, a length of four bytes, big-endian,
 * and that many bytes; the frame with flag 2 ends the stream and carries its error.
 */
#include "e2b.h"

#define FLAG_COMPRESSED 0x01
#define FLAG_END 0x02

static const struct az_json_limits unary_limits = {E2B_REPLY_BYTES, 32, 1000000};

void
e2b_frames_init(struct e2b_frames *f, size_t max_bytes,
    enum az_code (*frame)(void *arg, bool end, struct az_str payload, struct az_err *err),
    void *arg)
{
	*f = (struct e2b_frames){.max = max_bytes, .frame = frame, .arg = arg};
	az_buf_init(&f->body, max_bytes);
}

void
e2b_frames_release(struct e2b_frames *f)
{
	az_buf_release(&f->body);
}

static enum az_code
head_done(struct e2b_frames *f, struct az_err *err)
{
	const unsigned char *h = f->head;

	f->need = (uint32_t)h[1] << 24 | (uint32_t)h[2] << 16 | (uint32_t)h[3] << 8 | h[4];
	if (h[0] & FLAG_COMPRESSED)
		return az_fail(
		    err, AZ_EUPSTREAM, "sandbox.stream", "a compressed frame, not asked for");
	if (h[0] & ~FLAG_END)
		return az_fail(
		    err, AZ_EUPSTREAM, "sandbox.stream", "unknown frame flags 0x%02x", h[0]);
	if (f->need > f->max)
		return az_fail(err, AZ_EUPSTREAM, "sandbox.stream", "a frame of %lu bytes",
		    (unsigned long)f->need);
	return AZ_OK;
}

enum az_code
e2b_frames_push(struct e2b_frames *f, struct az_str in, struct az_err *err)
{
	enum az_code rc;

	while (in.n > 0) {
		struct az_str payload;
		size_t k;

		if (f->ended)
			return az_fail(err, AZ_EUPSTREAM, "sandbox.stream",
			    "bytes after the end of the stream");
		if (f->head_n < sizeof f->head) {
			f->head[f->head_n++] = (unsigned char)*in.p++;
			in.n--;
			if (f->head_n < sizeof f->head)
				continue;
			if ((rc = head_done(f, err)) != AZ_OK)
				return rc;
		}
		k = f->need - f->body.n;
		if (k > in.n)
			k = in.n;
		if (f->body.n == 0 && k == f->need) {
			payload = az_str_n(in.p, k); /* whole: no copy */
		} else {
			az_buf_add(&f->body, in.p, k);
			if ((rc = az_buf_check(&f->body, "sandbox.stream", err)) != AZ_OK)
				return rc;
			if (f->body.n < f->need)
				return AZ_OK;
			payload = az_buf_str(&f->body);
		}
		in.p += k;
		in.n -= k;
		f->head_n = 0;
		f->ended = (f->head[0] & FLAG_END) != 0;
		if ((rc = f->frame(f->arg, f->ended, payload, err)) != AZ_OK)
			return rc;
		az_buf_reset(&f->body);
	}
	return AZ_OK;
}

enum az_code
e2b_frames_done(const struct e2b_frames *f, struct az_err *err)
{
	if (f->ended)
		return AZ_OK;
	return az_fail(err, AZ_EUPSTREAM, "sandbox.stream",
	    f->head_n ? "the stream was cut inside a frame" : "the stream has no end frame");
}

void
e2b_frame_wrap(struct az_buf *b, struct az_str payload)
{
	unsigned char h[5] = {0, (unsigned char)(payload.n >> 24), (unsigned char)(payload.n >> 16),
	    (unsigned char)(payload.n >> 8), (unsigned char)payload.n};

	az_buf_add(b, h, sizeof h);
	az_buf_adds(b, payload);
}

enum az_code
e2b_unary(struct e2b *e, const struct az_box_ref *ref, const struct e2b_call *c,
    struct az_json **reply, struct az_err *err)
{
	struct az_http_resp r = {0};
	struct e2b_head h;
	struct az_buf url;
	enum az_code rc;

	if (reply)
		*reply = NULL;
	az_buf_init(&url, 4096);
	e2b_envd_url(e, ref, &url);
	az_buf_addf(&url, "/%s", c->method);
	if ((rc = az_buf_check(&url, "sandbox.rpc", err)) != AZ_OK ||
	    (rc = e2b_head_init(&h, ref, c->user, err)) != AZ_OK)
		goto out;
	e2b_head_add(&h, "Content-Type: application/json");
	e2b_head_add(&h, "Accept-Encoding: identity");
	e2b_head_add(&h, "Connect-Protocol-Version: 1");
	rc = az_http_call(e->http,
	    &(struct az_http_req){.method = "POST",
		.url = url.p,
		.headers = h.line,
		.body = c->body,
		.cancelled = c->always      ? NULL
			     : c->cancelled ? c->cancelled
					    : e2b_stopped,
		.arg = c->cancelled ? c->arg : e,
		.total_ms = c->total_ms ? c->total_ms : E2B_CALL_MS,
		.max_bytes = c->max_bytes},
	    &r, err);
	if (e2b_transport(rc) && !c->no_probe)
		rc = e2b_explain(e, ref, "sandbox.rpc", NULL, err);
	if (rc != AZ_OK)
		goto out;
	if (r.status != 200) {
		rc = e2b_envd_fail(&r, "sandbox.rpc", err);
		goto out;
	}
	if (reply && az_json_parse(az_buf_str(&r.body), &unary_limits, reply, NULL) != AZ_OK)
		rc = az_fail(
		    err, AZ_EUPSTREAM, "sandbox.rpc", "%s: the answer is not JSON", c->method);
out:
	if (rc == AZ_ENOTFOUND)
		e2b_cause(e, ref->id, err);
	az_http_resp_release(&r);
	az_buf_release(&url);
	return rc;
}
