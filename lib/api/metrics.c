/*
 * GET /run_workflow/metrics: Prometheus' text exposition 0.0.4, for who asks from this host.
 * What this process answered, what it is, and what the engine has in hand; other processes
 * count for themselves. No labels that a client chooses: their number is fixed.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include <azlon/clock.h>
#include <azlon/limits.h>
#include <azlon/log.h>
#include "run.h"

#define METRICS_BYTES AZ_MIB(1)

static void
family(struct az_buf *b, const char *name, const char *type, const char *help)
{
	az_buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
gauge(struct az_buf *b, const char *name, const char *help, int64_t v)
{
	family(b, name, "gauge", help);
	az_buf_addf(b, "%s %lld\n", name, (long long)v);
}

/* Microseconds as seconds, exactly. */
static void
seconds(struct az_buf *b, int64_t us)
{
	az_buf_addf(b, "%lld.%06lld", (long long)(us / 1000000), (long long)(us % 1000000));
}

/* ---- what was answered ---- */

/* The labels of a row, without their braces. */
static void
row_labels(struct az_buf *b, const struct az_web_count *c)
{
	az_buf_addf(b, "route=\"%s\",method=\"%s\"", c->pattern ? c->pattern : "none",
	    c->methods ? c->methods : "");
}

static void
answered(struct az_rq *rq, struct az_buf *b)
{
	static const char *const classes[6] = {"cut", "1xx", "2xx", "3xx", "4xx", "5xx"};
	struct az_web_count c;

	family(b, "azlon_http_requests_total", "counter",
	    "Answers by route, and first digit of the status; cut: broken off.");
	for (size_t i = 0; az_web_count(rq, i, &c); i++)
		for (size_t k = 0; k < 6; k++) {
			if (c.by_class[k] == 0)
				continue;
			az_buf_addc(b, "azlon_http_requests_total{");
			row_labels(b, &c);
			az_buf_addf(
			    b, ",status=\"%s\"} %lld\n", classes[k], (long long)c.by_class[k]);
		}
	family(b, "azlon_http_request_duration_seconds", "histogram",
	    "From the request's parameters to the end of its answer.");
	for (size_t i = 0; az_web_count(rq, i, &c); i++) {
		if (c.within[AZ_WEB_BOUNDS] == 0)
			continue;
		for (size_t k = 0; k <= AZ_WEB_BOUNDS; k++) {
			az_buf_addc(b, "azlon_http_request_duration_seconds_bucket{");
			row_labels(b, &c);
			az_buf_addc(b, ",le=\"");
			if (k < AZ_WEB_BOUNDS)
				seconds(b, az_web_bounds_us[k]);
			else
				az_buf_addc(b, "+Inf");
			az_buf_addf(b, "\"} %lld\n", (long long)c.within[k]);
		}
		az_buf_addc(b, "azlon_http_request_duration_seconds_sum{");
		row_labels(b, &c);
		az_buf_addc(b, "} ");
		seconds(b, c.us);
		az_buf_addc(b, "\nazlon_http_request_duration_seconds_count{");
		row_labels(b, &c);
		az_buf_addf(b, "} %lld\n", (long long)c.within[AZ_WEB_BOUNDS]);
	}
}

static void
under_way(struct az_rq *rq, struct az_buf *b)
{
	struct az_web_load l = az_web_load(rq);

	gauge(b, "azlon_http_requests_in_flight", "Requests under way.", l.serving);
	gauge(b, "azlon_http_threads", "Threads that serve.", l.threads);
	gauge(b, "azlon_http_threads_max", "Threads there can be.", l.threads_max);
}

/* ---- what the engine has in hand ---- */

static void
engine(const struct az_api *api, struct az_buf *b)
{
	static const char *const states[AZ_RUN_TERMINATED + 1] = {[AZ_RUN_OPEN] = "open",
	    [AZ_RUN_COMPLETED] = "completed",
	    [AZ_RUN_FAILED] = "failed",
	    [AZ_RUN_CANCELED] = "cancelled",
	    [AZ_RUN_TIMED_OUT] = "timed_out",
	    [AZ_RUN_TERMINATED] = "terminated"};
	struct az_err err = AZ_ERR_INIT;
	struct az_engine_load l;
	bool up = az_engine_load(api->engine, az_flow_coding.name, &l, &err) == AZ_OK;

	gauge(b, "azlon_engine_up", "Could the engine be asked.", up);
	if (!up) {
		az_log(AZ_WARN, "api.dependency", AZ_KC("part", "engine"), AZ_KE(&err));
		return;
	}
	family(b, "azlon_engine_runs", "gauge", "Runs that the engine knows, by state.");
	for (int s = AZ_RUN_OPEN; s <= AZ_RUN_TERMINATED; s++)
		az_buf_addf(
		    b, "azlon_engine_runs{state=\"%s\"} %lld\n", states[s], (long long)l.runs[s]);
	if (l.fn_waiting < 0)
		return;
	family(b, "azlon_engine_functions", "gauge",
	    "Functions of runs: due and with no worker, waiting for their next try, leased to "
	    "a worker.");
	az_buf_addf(b,
	    "azlon_engine_functions{state=\"waiting\"} %lld\n"
	    "azlon_engine_functions{state=\"later\"} %lld\n"
	    "azlon_engine_functions{state=\"running\"} %lld\n",
	    (long long)l.fn_waiting, (long long)l.fn_later, (long long)l.fn_running);
	gauge(b, "azlon_engine_timers", "Timers of runs.", l.timers);
}

/* ---- what this process is ---- */

static pthread_once_t start_once = PTHREAD_ONCE_INIT;
static int64_t start_s; /* Unix time */

/* Field n (from 3: what follows the name) of /proc/self/stat, or -1. */
static int64_t
stat_field(int n)
{
	char line[1024];
	FILE *f = fopen("/proc/self/stat", "re");
	size_t got = f ? fread(line, 1, sizeof line - 1, f) : 0;
	struct az_str rest, word = {"", 0};
	int64_t v = -1;
	ptrdiff_t at;

	if (f)
		(void)fclose(f);
	at = az_str_rchr(az_str_n(line, got), ')');
	if (at < 0)
		return -1;
	rest = az_str_sub(az_str_n(line, got), (size_t)at + 2, got);
	for (int i = 3; i <= n; i++)
		if (!az_str_cut(&rest, ' ', &word))
			return -1;
	return az_str_to_i64(word, 0, INT64_MAX, &v) ? v : -1;
}

static void
start_find(void)
{
	int64_t ticks = stat_field(22);

	start_s = (az_wall_ms() - az_boot_ms()) / 1000 + ticks / sysconf(_SC_CLK_TCK);
}

static int64_t
open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	const struct dirent *e;
	int64_t n = -1; /* not the one that looks */

	while (d && (e = readdir(d)))
		n += e->d_name[0] != '.';
	if (d)
		(void)closedir(d);
	return n;
}

static void
process(struct az_buf *b)
{
	int64_t tick = sysconf(_SC_CLK_TCK), ticks;

	az_buf_addc(b, "# HELP azlon_build_info The version, as a label.\n"
		       "# TYPE azlon_build_info gauge\n"
		       "azlon_build_info{version=\"" AZ_VERSION "\"} 1\n");
	/* without /proc there is nothing to tell */
	if (stat_field(24) < 0)
		return;
	ticks = stat_field(14) + stat_field(15);
	pthread_once(&start_once, start_find);
	gauge(b, "process_start_time_seconds", "When this process began, Unix time.", start_s);
	gauge(b, "process_resident_memory_bytes", "Memory that is resident.",
	    stat_field(24) * sysconf(_SC_PAGESIZE));
	gauge(b, "process_open_fds", "Open descriptors.", open_fds());
	family(b, "process_cpu_seconds_total", "counter", "Processor time, user and system.");
	az_buf_addf(b, "process_cpu_seconds_total %lld.%02lld\n", (long long)(ticks / tick),
	    (long long)(ticks % tick * 100 / tick));
}

enum az_code
run_metrics(struct az_rq *rq, void *app, struct az_err *err)
{
	struct az_buf b;
	enum az_code rc;

	/* nothing that others need to know of: also not a page that names this host its own */
	if (!api_from_here(rq) || api_anybody(rq, app, err) != AZ_OK)
		return az_fail(err, AZ_ENOTFOUND, "api.metrics", "not asked from this host");
	az_buf_init(&b, METRICS_BYTES);
	answered(rq, &b);
	under_way(rq, &b);
	engine(app, &b);
	process(&b);
	rc = az_buf_check(&b, "api.metrics", err);
	az_rs_header(rq, "Content-Type", AZ_S("text/plain; version=0.0.4; charset=utf-8"));
	if (!rc)
		rc = az_rs_text(rq, 200, az_buf_str(&b), err);
	az_buf_release(&b);
	return rc;
}
