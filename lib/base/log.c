#include <stdio.h>
#include <syslog.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/log.h>
#include <azlon/path.h>
#include <azlon/trace.h>

static const char *program = "azlon";
/* silent until a program opens the log: a library does not print by itself */
static enum az_level lowest = (enum az_level)(AZ_ERROR + 1);
static bool to_syslog;
static _Thread_local char ctx_req[64], ctx_run[128], ctx_trace[AZ_TRACE_BYTES];

static const char *const level_name[] = {"debug", "info", "warn", "error"};

void
az_log_open(const char *name, const char *target, enum az_level min)
{
	program = name;
	lowest = min;
	to_syslog = target && strcmp(target, "syslog") == 0;
	if (to_syslog)
		openlog(program, LOG_PID, LOG_DAEMON);
}

void
az_log_context(struct az_str request_id, struct az_str workflow_id)
{
	snprintf(ctx_req, sizeof ctx_req, "%.*s", AZ_FMT(request_id));
	snprintf(ctx_run, sizeof ctx_run, "%.*s", AZ_FMT(workflow_id));
	if (!request_id.n && !workflow_id.n)
		ctx_trace[0] = '\0';
}

void
az_log_trace(struct az_str traceparent)
{
	ctx_trace[0] = '\0';
	if (az_trace_ok(traceparent))
		snprintf(ctx_trace, sizeof ctx_trace, "%.*s", AZ_FMT(traceparent));
}

struct az_str
az_log_traceparent(void)
{
	return az_str_c(ctx_trace);
}

struct az_str
az_log_request_id(void)
{
	return az_str_c(ctx_req);
}

/* What follows one of these up to a delimiter is a secret. */
static const struct {
	const char *mark;
	size_t n;
} secrets[] = {
    {"Bearer ", 7},
    {"bearer ", 7},
    {"X-Amz-Signature=", 16},
    {"X-Amz-Credential=", 17},
    {"X-Amz-Security-Token=", 21},
    {"signature=", 10},
    {"sig=", 4},
    {"sk-", 3},
    {"e2b_", 4},
    {"azk_", 4},
    {"AKIA", 4},
};

static bool
token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~+/=%", c));
}

/* Length of the secret that starts at s, 0 if none; *keep is what is shown. */
static size_t
secret_at(struct az_str s, size_t *keep)
{
	for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
		struct az_str mark = {secrets[i].mark, secrets[i].n};
		size_t n = mark.n;

		if (!az_str_starts(s, mark))
			continue;
		while (n < s.n && token_char(s.p[n]))
			n++;
		if (n < mark.n + 8) /* too short to be one: ordinary text */
			continue;
		*keep = mark.n;
		return n;
	}
	return 0;
}

static bool
plain(struct az_str s)
{
	if (!s.n)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!token_char(s.p[i]) && s.p[i] != ':')
			return false;
	return true;
}

static void
value(struct az_buf *b, struct az_str s)
{
	bool quote = !plain(s);

	if (s.n > 2048)
		s.n = 2048;
	if (quote)
		az_buf_addch(b, '"');
	for (size_t i = 0; i < s.n;) {
		struct az_str rest = az_str_sub(s, i, s.n);
		size_t keep, n = 0;
		unsigned char c = (unsigned char)s.p[i];

		if (i == 0 || !token_char(s.p[i - 1]) || s.p[i - 1] == '=')
			n = secret_at(rest, &keep);
		if (n) {
			az_buf_add(b, rest.p, keep);
			az_buf_addc(b, "***");
			i += n;
			continue;
		}
		if (c == '"' || c == '\\')
			az_buf_addf(b, "\\%c", c);
		else if (c == '\n')
			az_buf_addc(b, "\\n");
		else if (c < 0x20 || c >= 0x7f)
			az_buf_addf(b, "\\x%02x", c);
		else
			az_buf_addch(b, (char)c);
		i++;
	}
	if (quote)
		az_buf_addch(b, '"');
}

void
az_log_format(struct az_buf *b, enum az_level level, const char *ev, const struct az_kv *kv)
{
	az_buf_addf(b, "level=%s ev=%s", level_name[level & 3], ev);
	if (ctx_req[0]) {
		az_buf_addc(b, " req=");
		value(b, az_str_c(ctx_req));
	}
	if (ctx_run[0]) {
		az_buf_addc(b, " run=");
		value(b, az_str_c(ctx_run));
	}
	if (ctx_trace[0] && !az_str_eqc(az_trace_id(az_str_c(ctx_trace)), ctx_req)) {
		az_buf_addc(b, " trace=");
		value(b, az_trace_id(az_str_c(ctx_trace)));
	}
	for (; kv->kind; kv++) {
		if (kv->kind == 's' && !kv->s.n)
			continue;
		az_buf_addf(b, " %s=", kv->k);
		if (kv->kind == 'n')
			az_buf_addf(b, "%lld", (long long)kv->i);
		else
			value(b, kv->s);
	}
}

void
az_log_kv(enum az_level level, const char *ev, const struct az_kv *kv)
{
	static const int prio[] = {LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERR};
	struct az_buf b;

	if (level < lowest)
		return;
	az_buf_init(&b, 16384);
	if (!to_syslog) {
		az_buf_addc(&b, "t=");
		az_rfc3339(&b, az_wall_ms());
		az_buf_addf(&b, " prog=%s ", program);
	}
	az_log_format(&b, level, ev, kv);
	if (to_syslog) {
		syslog(prio[level & 3], "%s", b.p ? b.p : "");
	} else {
		az_buf_addch(&b, '\n');
		/* one write, so that lines of threads do not mix; a full disk
		   must not stop the service */
		if (az_write_all(STDERR_FILENO, b.p, b.n) < 0) {
			az_buf_release(&b);
			return;
		}
	}
	az_buf_release(&b);
}
