/*
 * What a gRPC server sends is foreign: header lines up to an empty one, body, and after the
 * last empty line the trailers. However it is cut into pieces it means the same; OK needs
 * a whole message; a message text is one line of UTF-8.
 */
#include <stdlib.h>
#include "http/grpc_room.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MAX 4096

struct outcome {
	enum az_code data;
	enum az_grpc_code code;
	bool lines;
};

static bool
feed_lines(struct grpc_answer *a, struct az_str s)
{
	struct az_str line;
	bool ok = true;

	while (ok && az_str_line(&s, &line))
		ok = grpc_answer_line(a, line);
	return ok;
}

static void
check(const struct grpc_answer *a, const struct outcome *o)
{
	struct az_str m = az_str_c(a->message);

	if ((int)o->code < 0 || o->code >= AZ_GRPC_CODES || m.n >= sizeof a->message ||
	    !az_str_utf8_ok(m) || a->msg->n > MAX || a->details.n > GRPC_DETAILS_BYTES)
		abort();
	for (size_t i = 0; i < m.n; i++)
		if ((unsigned char)m.p[i] < 0x20 || m.p[i] == 0x7f)
			abort();
	if (o->code == AZ_GRPC_OK && (!grpc_answer_whole(a) || a->http_status != 200))
		abort();
	if (grpc_over_limit(o->code, a->message) && o->code != AZ_GRPC_RESOURCE_EXHAUSTED)
		abort();
}

static struct outcome
one(struct grpc_answer *a, struct az_buf *msg, const struct az_str part[3], size_t piece)
{
	struct outcome o = {.data = AZ_OK};
	const char *why;

	grpc_answer_init(a, msg);
	o.lines = feed_lines(a, part[0]);
	for (size_t at = 0; o.lines && o.data == AZ_OK && at < part[1].n; at += piece) {
		o.data = grpc_answer_data(a, az_str_sub(part[1], at, at + piece), &why);
		if ((o.data == AZ_OK) != !why)
			abort();
	}
	if (o.lines && o.data == AZ_OK)
		o.lines = feed_lines(a, part[2]);
	o.code = grpc_answer_code(a, &why);
	if (o.code == AZ_GRPC_OK && why)
		abort();
	check(a, &o);
	return o;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct az_str s = az_str_n(data, n), part[3] = {s, {NULL, 0}, {NULL, 0}};
	struct grpc_answer whole, cut;
	struct az_buf msg, msg_cut;
	struct outcome o, o_cut;
	ptrdiff_t first = az_str_find(s, AZ_S("\n\n"), 0), last = first;

	for (ptrdiff_t at = first; at >= 0; at = az_str_find(s, AZ_S("\n\n"), (size_t)at + 1))
		last = at;
	if (first >= 0) {
		part[0] = az_str_sub(s, 0, (size_t)first);
		part[1] = az_str_sub(s, (size_t)first + 2, last > first + 1 ? (size_t)last : n);
		if (last > first + 1)
			part[2] = az_str_sub(s, (size_t)last + 2, n);
	}
	az_buf_init(&msg, MAX);
	az_buf_init(&msg_cut, MAX);
	o = one(&whole, &msg, part, n + 1);
	o_cut = one(&cut, &msg_cut, part, 1);
	/* what is refused may be noticed later in pieces, but is refused */
	if (o.data != o_cut.data || o.lines != o_cut.lines || whole.has_status != cut.has_status)
		abort();
	if (o.data == AZ_OK &&
	    (o.code != o_cut.code || !az_str_eq(az_buf_str(&msg), az_buf_str(&msg_cut))))
		abort();
	grpc_answer_release(&whole);
	grpc_answer_release(&cut);
	az_buf_release(&msg);
	az_buf_release(&msg_cut);
	return 0;
}
