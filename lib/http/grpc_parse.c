/*
 * What a server said: header lines of all blocks, and the one frame. Pure, fed as it
 * comes. libcurl hands the trailers to the same callback as the headers, after the body;
 * an answer that is all error has its status in the first block.
 */
#include <azlon/crypto.h>
#include "grpc_room.h"

void
grpc_answer_init(struct grpc_answer *a, struct az_buf *msg)
{
	*a = (struct grpc_answer){.msg = msg};
	az_buf_init(&a->details, GRPC_DETAILS_BYTES);
	az_buf_reset(msg);
}

void
grpc_answer_release(struct grpc_answer *a)
{
	az_buf_release(&a->details);
}

void
grpc_message(struct az_str s, char *out, size_t out_n)
{
	struct az_buf b;
	bool utf8;

	/* a byte takes at most three characters on the wire */
	az_buf_init(&b, 3 * out_n);
	for (size_t i = 0; i < s.n && b.n < out_n && !b.fail; i++) {
		struct az_str x = az_str_sub(s, i, i + 3);

		if (x.p[0] == '%' && x.n == 3 && az_pct_decode(&b, x, false))
			i += 2;
		else
			az_buf_addch(&b, s.p[i]);
	}
	if (b.fail)
		az_buf_cut(&b, 0);
	if (b.n >= out_n) {
		az_buf_cut(&b, out_n - 1);
		/* not inside a character */
		for (size_t back = 0; back < 3 && !az_str_utf8_ok(az_buf_str(&b)); back++)
			az_buf_cut(&b, b.n - 1);
	}
	utf8 = az_str_utf8_ok(az_buf_str(&b));
	for (size_t i = 0; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		out[i] = c < 0x20 || c == 0x7f ? ' ' : c >= 0x80 && !utf8 ? '?' : b.p[i];
	}
	out[b.n] = '\0';
	az_buf_release(&b);
}

/* The status line of an answer, or of another after 1xx: all anew. */
static void
status_line(struct grpc_answer *a, struct az_str line)
{
	ptrdiff_t sp = az_str_chr(line, ' ');
	size_t bytes = a->head_bytes;
	struct az_buf *msg = a->msg;
	int64_t v;

	grpc_answer_release(a);
	grpc_answer_init(a, msg);
	a->head_bytes = bytes;
	if (sp >= 0 &&
	    az_str_to_i64(az_str_sub(line, (size_t)sp + 1, (size_t)sp + 4), 100, 999, &v))
		a->http_status = (int)v;
}

bool
grpc_answer_line(struct grpc_answer *a, struct az_str line)
{
	ptrdiff_t colon;
	struct az_str name, v;
	int64_t n;

	a->head_bytes += line.n;
	if (a->head_bytes > HTTP_HEADERS_BYTES)
		return false;
	line = az_str_trim(line);
	if (az_str_starts(line, AZ_S("HTTP/"))) {
		status_line(a, line);
		return true;
	}
	if ((colon = az_str_chr(line, ':')) <= 0)
		return true;
	name = az_str_sub(line, 0, (size_t)colon);
	v = az_str_trim(az_str_sub(line, (size_t)colon + 1, line.n));
	if (az_str_ieq(name, AZ_S("content-type"))) {
		struct az_str type = az_str_sub(v, 0, 16);
		char end = v.n > 16 ? v.p[16] : ';';

		a->grpc_type = az_str_ieq(type, AZ_S("application/grpc")) &&
			       (end == ';' || end == '+' || end == ' ');
	} else if (az_str_ieq(name, AZ_S("grpc-status"))) {
		a->has_status = true;
		a->code = az_str_to_i64(v, 0, AZ_GRPC_CODES - 1, &n) ? (enum az_grpc_code)n
								     : AZ_GRPC_UNKNOWN;
	} else if (az_str_ieq(name, AZ_S("grpc-message"))) {
		grpc_message(v, a->message, sizeof a->message);
	} else if (az_str_ieq(name, AZ_S("grpc-status-details-bin"))) {
		az_buf_reset(&a->details);
		/* they explain; without them the status still stands */
		if (!az_base64_decode(&a->details, v))
			az_buf_reset(&a->details);
	}
	return true;
}

static uint32_t
be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum az_code
grpc_answer_data(struct grpc_answer *a, struct az_str s, const char **why)
{
	*why = NULL;
	/* a web page: its text is nobody's */
	if (!a->grpc_type || a->http_status != 200)
		return AZ_OK;
	while (s.n && a->prefix_n < GRPC_PREFIX) {
		a->prefix[a->prefix_n++] = (unsigned char)s.p[0];
		s = az_str_sub(s, 1, s.n);
		if (a->prefix_n < GRPC_PREFIX)
			continue;
		if (a->prefix[0] != 0) {
			*why = "it compressed its answer, which was not asked for";
			return AZ_EUPSTREAM;
		}
		a->left = be32(a->prefix + 1);
		if (a->left > a->msg->max) {
			*why = "its answer is larger than the limit";
			return AZ_ETOOBIG;
		}
	}
	if (s.n > a->left) {
		*why = "it sent more than the one message it announced";
		return AZ_EUPSTREAM;
	}
	a->left -= s.n;
	az_buf_adds(a->msg, s);
	if (a->msg->fail) {
		*why = "out of memory";
		return a->msg->fail;
	}
	return AZ_OK;
}

bool
grpc_answer_whole(const struct grpc_answer *a)
{
	return a->prefix_n == GRPC_PREFIX && a->left == 0;
}

/* The protocol's table for an HTTP answer that says nothing of gRPC. */
static enum az_grpc_code
of_http(int status)
{
	switch (status) {
	case 400:
		return AZ_GRPC_INTERNAL;
	case 401:
		return AZ_GRPC_UNAUTHENTICATED;
	case 403:
		return AZ_GRPC_PERMISSION_DENIED;
	case 404:
		return AZ_GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return AZ_GRPC_UNAVAILABLE;
	default:
		return AZ_GRPC_UNKNOWN;
	}
}

enum az_grpc_code
grpc_answer_code(const struct grpc_answer *a, const char **why)
{
	*why = NULL;
	if (a->has_status && a->code != AZ_GRPC_OK)
		return a->code;
	if (a->http_status != 200)
		return of_http(a->http_status);
	if (!a->grpc_type && !a->has_status)
		return AZ_GRPC_UNKNOWN;
	if (grpc_answer_whole(a))
		/* also without a status: libcurl 7.88 loses the trailers when the server
		   says goodbye to the connection during the call */
		return AZ_GRPC_OK;
	if (a->prefix_n == 0 && !a->has_status) {
		*why = "it gave neither a message nor a status";
		return AZ_GRPC_UNKNOWN;
	}
	*why = a->prefix_n ? "its message ends early" : "it said OK without a message";
	return AZ_GRPC_INTERNAL;
}

bool
grpc_over_limit(enum az_grpc_code code, const char *message)
{
	return code == AZ_GRPC_RESOURCE_EXHAUSTED &&
	       az_str_find(az_str_c(message), AZ_S("message larger than max"), 0) >= 0;
}
