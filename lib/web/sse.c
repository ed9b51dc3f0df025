/* Server-sent events. */
#include "web.h"

enum az_code
az_sse_open(struct az_rq *rq, struct az_err *err)
{
	az_rs_status(rq, 200);
	az_rs_header(rq, "Content-Type", AZ_S("text/event-stream"));
	az_rs_header(rq, "Cache-Control", AZ_S("no-store"));
	/* nginx would gather frames until its buffer is full */
	az_rs_header(rq, "X-Accel-Buffering", AZ_S("no"));
	return az_rs_flush(rq, err);
}

enum az_code
az_sse_frame(
    struct az_buf *b, int64_t id, struct az_str event, struct az_str data, struct az_err *err)
{
	/* a line break would end the field: our JSON writer never makes one */
	if (az_str_chr(data, '\n') >= 0 || az_str_chr(data, '\r') >= 0)
		return az_fail(err, AZ_EINTERNAL, "web.sse", "line break in an event");
	if (id >= 0)
		az_buf_addf(b, "id: %lld\n", (long long)id);
	az_buf_addf(b, "event: %.*s\ndata: ", AZ_FMT(event));
	az_buf_adds(b, data);
	az_buf_addc(b, "\n\n");
	return az_buf_check(b, "web.sse", err);
}

enum az_code
az_sse_ping(struct az_rq *rq, struct az_err *err)
{
	enum az_code rc = az_rs_write(rq, AZ_S(": ping\n\n"), err);

	return rc == AZ_OK ? az_rs_flush(rq, err) : rc;
}
