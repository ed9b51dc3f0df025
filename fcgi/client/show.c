/* What a person sees: a bar that is redrawn in place on a terminal, plain lines
   elsewhere, and the report at the end. All text comes from afar and is defused. */
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <azlon/clock.h>
#include "client.h"

/* Bytes of the character at p that is fit for a terminal, 0 if it is not. */
static size_t
printable(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0], d = n > 1 ? (unsigned char)p[1] : 0;
	size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (c < 0x20 || c == 0x7f || len > n || !az_str_utf8_ok(az_str_n(p, len)))
		return 0;
	if (c == 0xc2 && d < 0xa0) /* C1 controls */
		return 0;
	if (c == 0xe2 && len == 3) { /* direction marks and overrides, line separators */
		unsigned char e = (unsigned char)p[2];

		if ((d == 0x80 && ((e >= 0x8b && e <= 0x8f) || (e >= 0xa8 && e <= 0xae))) ||
		    (d == 0x81 && e >= 0xa0 && e <= 0xaf))
			return 0;
	}
	return len;
}

void
cl_put(FILE *f, struct az_str s, size_t max_chars)
{
	for (size_t i = 0, n; i < s.n && max_chars--; i += n ? n : 1) {
		n = printable(s.p + i, s.n - i);
		if (n)
			fwrite(s.p + i, 1, n, f);
		else
			fputc(s.p[i] == '\t' || s.p[i] == '\n' ? ' ' : '.', f);
	}
}

void
cl_put_size(FILE *f, int64_t bytes)
{
	static const char unit[] = "kMGT";
	double v = (double)bytes;
	int u = -1;

	while (v >= 1000 && u < 3) {
		v /= 1024;
		u++;
	}
	if (u < 0)
		fprintf(f, "%7lld  ", (long long)bytes);
	else
		fprintf(f, "%6.1f %c ", v, unit[u]);
}

void
cl_print_json(const struct az_json *j)
{
	struct az_buf b;
	struct az_jw w;

	az_buf_init(&b, AZ_MIB(64));
	az_jw_init(&w, &b);
	az_jw_value(&w, j);
	az_buf_addch(&b, '\n');
	if (!b.fail)
		fwrite(b.p, 1, b.n, stdout);
	fflush(stdout);
	az_buf_release(&b);
}

bool
cl_over(struct az_str status)
{
	static const char *const over[] = {"succeeded", "failed", "cancelled", "timed_out"};

	for (size_t i = 0; i < sizeof over / sizeof *over; i++)
		if (az_str_eqc(status, over[i]))
			return true;
	return false;
}

static void
copy(char *to, size_t size, struct az_str s)
{
	if (s.n)
		snprintf(to, size, "%.*s", (int)(s.n < size ? s.n : size - 1), s.p);
}

/* The last line that is not blank. */
static void
take_tail(struct cl_view *v, struct az_str text)
{
	struct az_str rest = text, line, last = {NULL, 0};

	while (az_str_line(&rest, &line))
		if (az_str_trim(line).n)
			last = az_str_trim(line);
	copy(v->tail, sizeof v->tail, last);
}

void
cl_view_clear(struct cl *cl, struct cl_view *v)
{
	(void)cl;
	if (v->drawn)
		fputs("\033[1A\r\033[J", stderr);
	v->drawn = false;
}

void
cl_view_draw(struct cl *cl, struct cl_view *v)
{
	struct winsize ws;
	int64_t s = (az_boot_ms() - v->since_ms) / 1000;
	int width = 80, full;
	enum { BAR = 24 };

	if (!cl->tty || v->ended)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0)
		width = ws.ws_col;
	cl_view_clear(cl, v);
	full = (int)(v->percent * BAR / 100);
	fputc('[', stderr);
	for (int i = 0; i < BAR; i++)
		fputc(i < full ? '#' : '-', stderr);
	fprintf(stderr, "] %3lld%%  %lld:%02lld  ", (long long)v->percent, (long long)(s / 60),
	    (long long)(s % 60));
	if (v->iteration)
		fprintf(stderr, "iteration %lld/%lld  ", (long long)v->iteration,
		    (long long)v->max_iterations);
	cl_put(stderr, az_str_c(v->phase[0] ? v->phase : v->status), 24);
	/* a line must not wrap, or redrawing would leave pieces */
	fputs("\n  ", stderr);
	cl_put(stderr, az_str_c(v->tail), width > 8 ? (size_t)width - 4 : 4);
	fflush(stderr);
	v->drawn = true;
}

/* One line that stays, above the bar. */
static void
line(struct cl *cl, struct cl_view *v, const char *what, struct az_str a, struct az_str b)
{
	if (cl->json)
		return;
	cl_view_clear(cl, v);
	if (v->iteration)
		fprintf(
		    stderr, "[%lld/%lld] ", (long long)v->iteration, (long long)v->max_iterations);
	fprintf(stderr, "%s", what);
	if (a.n) {
		fputc(' ', stderr);
		cl_put(stderr, a, 120);
	}
	if (b.n) {
		fputs(": ", stderr);
		cl_put(stderr, b, 160);
	}
	fputc('\n', stderr);
	cl_view_draw(cl, v);
}

void
cl_view_run(struct cl *cl, struct cl_view *v, const struct az_json *run)
{
	const struct az_json *p = az_json_get(run, "progress");
	struct az_str status = az_json_gets(run, "status"), phase = az_json_gets(run, "phase");
	int64_t it = az_json_geti(p, "iteration", v->iteration);
	bool news = !az_str_eqc(status, v->status) || it != v->iteration ||
		    (phase.n && !az_str_eqc(phase, v->phase));

	copy(v->status, sizeof v->status, status);
	copy(v->phase, sizeof v->phase, phase);
	v->iteration = it;
	v->max_iterations = az_json_geti(p, "max_iterations", v->max_iterations);
	v->percent = az_json_geti(p, "percent", v->percent);
	take_tail(v, az_json_gets(p, "tail"));
	v->ended = cl_over(status);
	if (news && !cl->tty)
		line(cl, v, "run is", status, phase);
	cl_view_draw(cl, v);
}

/* The share of an iteration that is behind us when a phase begins, as the server
   counts it. */
static void
advance(struct cl_view *v, const char *phase, int done)
{
	int64_t pct = v->percent;

	copy(v->phase, sizeof v->phase, az_str_c(phase));
	if (v->max_iterations > 0 && v->iteration > 0)
		pct = 2 + 96 * (100 * (v->iteration - 1) + done) / (100 * v->max_iterations);
	if (pct > v->percent && pct <= 100)
		v->percent = pct;
}

static void
check_line(struct cl *cl, struct cl_view *v, const struct az_json *d)
{
	struct az_str status = az_json_gets(d, "status"), id = az_json_gets(d, "id");
	char what[40];

	snprintf(what, sizeof what, "check %.*s", (int)(status.n < 16 ? status.n : 16),
	    status.n ? status.p : "");
	for (char *p = what; *p; p++)
		if (!printable(p, 1))
			*p = '.';
	line(cl, v, what, id, az_json_gets(d, "message"));
}

void
cl_view_event(struct cl *cl, struct cl_view *v, const char *type, const struct az_json *d)
{
	struct az_str none = {NULL, 0};
	char place[32];

	if (strcmp(type, "run.finished") != 0)
		v->iteration = az_json_geti(d, "iteration", v->iteration);
	v->max_iterations = az_json_geti(d, "max_iterations", v->max_iterations);
	if (!strcmp(type, "run.status")) {
		copy(v->status, sizeof v->status, az_json_gets(d, "status"));
		snprintf(place, sizeof place, "place %lld",
		    (long long)az_json_geti(d, "queue_position", 0));
		line(cl, v, "run is", az_json_gets(d, "status"),
		    az_json_get(d, "queue_position") ? az_str_c(place) : none);
	} else if (!strcmp(type, "iteration.start")) {
		advance(v, "generate", 0);
		v->tail[0] = 0;
		line(cl, v, "the model writes code", none, none);
	} else if (!strcmp(type, "llm.done")) {
		advance(v, "execute", 35);
		line(cl, v, "the model answered", az_json_gets(d, "model"), none);
	} else if (!strcmp(type, "sandbox.start")) {
		advance(v, "execute", 35);
		line(cl, v, "the code runs in a sandbox", none, none);
	} else if (!strcmp(type, "check")) {
		advance(v, "check", 70);
		check_line(cl, v, d);
	} else if (!strcmp(type, "verdict")) {
		bool pass = az_json_getb(d, "result", az_json_getb(d, "pass", false));

		line(cl, v, pass ? "verdict: passed" : "verdict: not yet", none,
		    az_json_gets(d, az_json_gets(d, "reason").n ? "reason" : "message"));
	} else if (!strcmp(type, "warning")) {
		line(cl, v, "warning", az_json_gets(d, "code"), az_json_gets(d, "message"));
	} else if (!strcmp(type, "input.needed")) {
		line(cl, v,
		    "the run waits for a person (azlon signal ID):", az_json_gets(d, "kind"), none);
	} else if (!strcmp(type, "progress")) {
		copy(v->phase, sizeof v->phase, az_json_gets(d, "phase"));
		v->percent = az_json_geti(d, "percent", v->percent);
		take_tail(v, az_json_gets(d, "tail"));
	} else if (!strcmp(type, "run.finished")) {
		cl_view_clear(cl, v);
		v->ended = true;
	}
	cl_view_draw(cl, v);
}

static void
row(const char *name)
{
	printf("%-9s", name);
}

static void
report_checks(struct cl *cl, const struct az_json *checks)
{
	for (size_t i = 0; i < az_json_len(checks); i++) {
		const struct az_json *c = az_json_at(checks, i);
		struct az_str status = az_json_gets(c, "status");
		struct az_str message = az_json_gets(c, "message");
		bool pass = az_str_eqc(status, "pass");

		row(i ? "" : "checks");
		printf("%s", cl->color ? (pass ? "\033[32m" : "\033[31m") : "");
		cl_put(stdout, status, 16);
		printf("%s  ", cl->color ? "\033[0m" : "");
		cl_put(stdout, az_json_gets(c, "id"), 60);
		if (az_json_get(c, "ms"))
			printf("  %lld ms", (long long)az_json_geti(c, "ms", 0));
		if (message.n) {
			printf("  ");
			cl_put(stdout, message, 160);
		}
		printf("\n");
	}
}

/* An address as the server gave it, made absolute. */
static void
address(struct cl *cl, const char *name, struct az_str path)
{
	if (!path.n)
		return;
	row(name);
	if (path.p[0] == '/')
		printf("%s", cl->url);
	cl_put(stdout, path, 600);
	printf("\n");
}

void
cl_report(struct cl *cl, const struct az_json *run, const struct az_json *files)
{
	const struct az_json *u = az_json_get(run, "usage"), *m = az_json_get(run, "model");
	const struct az_json *f = az_json_get(files, "files"), *l = az_json_get(run, "links");
	struct az_str status = az_json_gets(run, "status");
	bool good = az_str_eqc(status, "succeeded"), over = cl_over(status);
	struct az_str reason = az_json_gets(run, "reason");

	row("run");
	cl_put(stdout, az_json_gets(run, "workflow_id"), 200);
	printf("\n");
	row(over ? "verdict" : "status");
	printf("%s", cl->color && over ? (good ? "\033[1;32m" : "\033[1;31m") : "");
	cl_put(stdout, status, 24);
	printf("%s\n", cl->color && over ? "\033[0m" : "");
	if (reason.n) {
		row("reason");
		cl_put(stdout, reason, 60);
		if (az_json_gets(run, "message").n) {
			printf(": ");
			cl_put(stdout, az_json_gets(run, "message"), 240);
		}
		printf("\n");
	}
	if (az_json_gets(m, "name").n) {
		row("model");
		cl_put(stdout, az_json_gets(m, "name"), 100);
		if (az_str_eqc(az_json_gets(m, "provenance"), "recording")) {
			printf(" (REPLAY of recorded replies; code execution is live)\n");
		} else {
			printf(" (");
			cl_put(stdout, az_json_gets(m, "provenance"), 20);
			printf(")\n");
		}
	}
	if (u) {
		row("usage");
		printf("iteration %lld, %lld model calls, %lld + %lld tokens, %lld s in the "
		       "sandbox\n",
		    (long long)az_json_geti(az_json_get(run, "progress"), "iteration", 0),
		    (long long)az_json_geti(u, "llm_calls", 0),
		    (long long)az_json_geti(u, "tokens_in", 0),
		    (long long)az_json_geti(u, "tokens_out", 0),
		    (long long)az_json_geti(u, "sandbox_s", 0));
	}
	report_checks(cl, az_json_get(run, "checks"));
	for (size_t i = 0; i < az_json_len(f); i++) {
		row(i ? "" : "files");
		cl_put_size(stdout, az_json_geti(az_json_at(f, i), "size", 0));
		cl_put(stdout, az_json_gets(az_json_at(f, i), "path"), 900);
		printf("\n");
	}
	address(cl, "files at", az_json_gets(l, "files"));
	address(cl, "zip at", az_json_gets(l, "zip"));
	row("page");
	printf("%s/#", cl->url);
	cl_put(stdout, az_json_gets(run, "workflow_id"), 200);
	printf("\n");
	fflush(stdout);
}
