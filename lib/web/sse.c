/* Server-sent events: each frame leaves at once. */
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
az_sse_send(struct az_rq *rq, int64_t id, const char *event, struct az_str data, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	/* a line break would end the field: our JSON writer never makes one */
	if (az_str_chr(data, '\n') >= 0 || az_str_chr(data, '\r') >= 0)
		return az_fail(err, AZ_EINTERNAL, "web.sse", "line break in an event");
	az_buf_init(&b, data.n + 256);
	if (id >= 0)
		az_buf_addf(&b, "id: %lld\n", (long long)id);
	az_buf_addf(&b, "event: %s\ndata: ", event);
	az_buf_adds(&b, data);
	az_buf_addc(&b, "\n\n");
	if ((rc = az_buf_check(&b, "web.sse", err)) == AZ_OK &&
	    (rc = az_rs_write(rq, az_buf_str(&b), err)) == AZ_OK)
		rc = az_rs_flush(rq, err);
	az_buf_release(&b);
	return rc;
}

enum az_code
az_sse_ping(struct az_rq *rq, struct az_err *err)
{
	enum az_code rc = az_rs_write(rq, AZ_S(": ping\n\n"), err);

	return rc == AZ_OK ? az_rs_flush(rq, err) : rc;
}
