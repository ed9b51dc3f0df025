/* Status, headers, body. One function lets headers out. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include "web.h"

const char *
web_reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} t[] = {{200, "OK"}, {201, "Created"}, {202, "Accepted"}, {204, "No Content"},
	    {206, "Partial Content"}, {304, "Not Modified"}, {307, "Temporary Redirect"},
	    {400, "Bad Request"}, {401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"},
	    {405, "Method Not Allowed"}, {409, "Conflict"}, {410, "Gone"},
	    {412, "Precondition Failed"}, {413, "Content Too Large"},
	    {415, "Unsupported Media Type"}, {416, "Range Not Satisfiable"},
	    {422, "Unprocessable Content"}, {429, "Too Many Requests"},
	    {499, "Client Closed Request"}, {500, "Internal Server Error"},
	    {501, "Not Implemented"}, {502, "Bad Gateway"}, {503, "Service Unavailable"},
	    {504, "Gateway Timeout"}};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (t[i].status == status)
			return t[i].text;
	return status < 400 ? "OK" : "Error";
}

void
web_answer_reset(struct az_rq *rq)
{
	rq->status = 200;
	rq->head_bad = false;
	rq->state = WEB_HEAD;
	rq->sent = 0;
	az_buf_reset(&rq->head);
	az_buf_reset(&rq->begun);
}

bool
web_answer_open(const struct az_rq *rq)
{
	return rq->state == WEB_HEAD || (rq->state == WEB_BODY && !rq->out);
}

void
az_rs_status(struct az_rq *rq, int status)
{
	if (status < 200 || status > 599)
		rq->head_bad = true;
	else
		rq->status = status;
}

static bool
clean(struct az_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

void
az_rs_header(struct az_rq *rq, const char *name, struct az_str value)
{
	struct az_str n = az_str_c(name);

	/* after the body began a header cannot be sent: our bug */
	if (rq->state != WEB_HEAD || n.n == 0 || !clean(n) || !clean(value) ||
	    az_str_chr(n, ':') >= 0 || az_str_chr(n, ' ') >= 0) {
		rq->head_bad = true;
		return;
	}
	az_buf_adds(&rq->head, n);
	az_buf_addc(&rq->head, ": ");
	az_buf_adds(&rq->head, value);
	az_buf_addc(&rq->head, "\r\n");
}

void
az_rs_headerf(struct az_rq *rq, const char *name, const char *fmt, ...)
{
	struct az_buf b;
	va_list ap;

	az_buf_init(&b, WEB_HEAD_BYTES);
	va_start(ap, fmt);
	az_buf_vaddf(&b, fmt, ap);
	va_end(ap);
	if (b.fail)
		rq->head_bad = true;
	else
		az_rs_header(rq, name, az_buf_str(&b));
	az_buf_release(&b);
}

bool
web_header_set(const struct az_rq *rq, const char *name)
{
	struct az_str rest = az_buf_str(&rq->head), line;

	while (az_str_line(&rest, &line)) {
		ptrdiff_t at = az_str_chr(line, ':');
		if (at > 0 && az_str_ieq(az_str_sub(line, 0, (size_t)at), az_str_c(name)))
			return true;
	}
	return false;
}

static enum az_code
put_out(struct az_rq *rq, const char *p, size_t n, struct az_err *err)
{
	while (n) {
		int part = n > INT_MAX ? INT_MAX : (int)n;
		if (FCGX_PutStr(p, part, rq->f->out) != part)
			goto gone;
		p += part;
		n -= (size_t)part;
	}
	return AZ_OK;
gone:
	rq->state = WEB_BROKEN;
	return az_fail(err, AZ_ECANCELLED, "web.write", "the client left");
}

enum az_code
web_answer_out(struct az_rq *rq, struct az_err *err)
{
	if (rq->state != WEB_BODY || rq->out)
		return AZ_OK;
	rq->out = true;
	return put_out(rq, rq->begun.p, rq->begun.n, err);
}

static enum az_code
put(struct az_rq *rq, const char *p, size_t n, struct az_err *err)
{
	enum az_code rc;

	if (!rq->out && n <= WEB_BEGUN_BYTES - rq->begun.n) {
		az_buf_add(&rq->begun, p, n);
		return az_buf_check(&rq->begun, "web.write", err);
	}
	rc = web_answer_out(rq, err);
	return rc ? rc : put_out(rq, p, n, err);
}

enum az_code
web_head_send(struct az_rq *rq, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	if (rq->state == WEB_BROKEN)
		return az_fail(err, AZ_ECANCELLED, "web.write", "the client left");
	if (rq->state == WEB_BODY)
		return AZ_OK;
	if (rq->head_bad || rq->head.fail) {
		rq->head_bad = true;
		return az_fail(err, AZ_EINTERNAL, "web.header", "a header was refused");
	}
	az_buf_init(&b, WEB_HEAD_BYTES + 256);
	az_buf_addf(&b, "Status: %d %s\r\nX-Request-Id: %s\r\n", rq->status, web_reason(rq->status),
	    rq->id_text);
	az_buf_adds(&b, az_buf_str(&rq->head));
	az_buf_addc(&b, "\r\n");
	if ((rc = az_buf_check(&b, "web.header", err)) == AZ_OK) {
		rq->state = WEB_BODY;
		rc = put(rq, b.p, b.n, err);
	}
	az_buf_release(&b);
	return rc;
}

enum az_code
az_rs_write(struct az_rq *rq, struct az_str s, struct az_err *err)
{
	enum az_code rc = web_head_send(rq, err);

	if (rc != AZ_OK || rq->is_head || rq->status == 204 || rq->status == 304)
		return rc;
	if ((rc = put(rq, s.p, s.n, err)) == AZ_OK)
		rq->sent += (int64_t)s.n;
	return rc;
}

enum az_code
az_rs_flush(struct az_rq *rq, struct az_err *err)
{
	enum az_code rc = web_head_send(rq, err);

	if (rc == AZ_OK)
		rc = web_answer_out(rq, err);
	if (rc != AZ_OK)
		return rc;
	if (FCGX_FFlush(rq->f->out) != 0) {
		rq->state = WEB_BROKEN;
		return az_fail(err, AZ_ECANCELLED, "web.flush", "the client left");
	}
	return AZ_OK;
}

void
az_rs_abort(struct az_rq *rq)
{
	/*
	 * nginx takes a plain end of the connection for the end of the answer (with
	 * fastcgi_keep_conn off). A record of no known version makes it drop the
	 * client's connection instead, so a cut answer is seen as cut. It waits for room as
	 * any other bytes do: without it a slow reader's answer would end well.
	 */
	static const char junk[8] = {0x7f, 0x7f, 0x7f, 0x7f, 0, 0, 0, 0};

	if (rq->f->ipcFd >= 0) {
		size_t sent = 0;
		ssize_t n = 1;

		while (sent < sizeof junk && (n > 0 || errno == EINTR)) {
			n = send(rq->f->ipcFd, junk + sent, sizeof junk - sent, MSG_NOSIGNAL);
			sent += n > 0 ? (size_t)n : 0;
		}
		(void)shutdown(rq->f->ipcFd, SHUT_RDWR);
	}
	rq->state = WEB_BROKEN;
}

bool
az_rq_connected(struct az_rq *rq)
{
	struct pollfd p = {.fd = rq->f->ipcFd, .events = POLLRDHUP};

	if (rq->state == WEB_BROKEN || p.fd < 0)
		return false;
	if (poll(&p, 1, 0) < 0)
		return true;
	return (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) == 0;
}

static enum az_code
whole(struct az_rq *rq, int status, const char *type, struct az_str body, struct az_err *err)
{
	az_rs_status(rq, status);
	if (!web_header_set(rq, "Content-Type"))
		az_rs_header(rq, "Content-Type", az_str_c(type));
	if (!web_header_set(rq, "Cache-Control"))
		az_rs_header(rq, "Cache-Control", AZ_S("no-store"));
	if (status != 204 && status != 304)
		az_rs_headerf(rq, "Content-Length", "%zu", body.n);
	return az_rs_write(rq, body, err);
}

enum az_code
az_rs_json(struct az_rq *rq, int status, struct az_str json, struct az_err *err)
{
	return whole(rq, status, "application/json", json, err);
}

enum az_code
az_rs_text(struct az_rq *rq, int status, struct az_str text, struct az_err *err)
{
	return whole(rq, status, "text/plain; charset=utf-8", text, err);
}
