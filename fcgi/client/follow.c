/*
 * Follow a run to its end. The event stream is resumed where it was cut (Last-Event-ID),
 * so nothing is missed or told twice; where a stream cannot be had, long polls do.
 */
#include <azlon/clock.h>
#include "client.h"

enum { GIVE_UP_MS = 60000, STREAM_IDLE_MS = 45000, POLL_S = 20 };

struct follow {
	struct cl *cl;
	const char *id;
	struct cl_view v;
	struct az_buf line; /* of the stream, not yet ended */
	struct az_buf data; /* of the event, so far */
	char type[32], last_id[32];
	char event_id[32];
	int64_t drawn_ms;
	bool news; /* this connection brought something */
};

/* The blank line: an event is whole. */
static void
dispatch(struct follow *f)
{
	struct az_json *j = NULL;

	if (f->data.n && f->type[0] &&
	    !az_json_parse(az_buf_str(&f->data), &az_json_own_limits, &j, NULL)) {
		f->news = true;
		cl_view_event(f->cl, &f->v, f->type, j);
		if (f->event_id[0])
			memcpy(f->last_id, f->event_id, sizeof f->last_id);
	}
	az_json_free(j);
	az_buf_reset(&f->data);
	f->type[0] = f->event_id[0] = 0;
}

static void
keep(char *to, size_t size, struct az_str s)
{
	/* a number that does not fit, or could end a header line, is none */
	if (s.n >= size || az_str_chr(s, '\r') >= 0 || az_str_chr(s, '\0') >= 0)
		s.n = 0;
	if (s.n)
		memcpy(to, s.p, s.n);
	to[s.n] = 0;
}

static void
field(struct follow *f, struct az_str l)
{
	ptrdiff_t colon = az_str_chr(l, ':');
	struct az_str name = l, value = {NULL, 0};

	if (l.n == 0) {
		dispatch(f);
		return;
	}
	if (colon >= 0) {
		name = az_str_sub(l, 0, (size_t)colon);
		value = az_str_sub(l, (size_t)colon + 1, l.n);
		if (value.n && value.p[0] == ' ')
			value = az_str_sub(value, 1, value.n);
	}
	if (az_str_eqc(name, "event")) {
		keep(f->type, sizeof f->type, value);
	} else if (az_str_eqc(name, "id")) {
		keep(f->event_id, sizeof f->event_id, value);
	} else if (az_str_eqc(name, "data")) {
		if (f->data.n)
			az_buf_addch(&f->data, '\n');
		az_buf_adds(&f->data, value);
	}
}

static enum az_code
on_data(void *arg, struct az_str chunk, struct az_err *err)
{
	struct follow *f = arg;
	ptrdiff_t nl;
	struct az_str l;

	while ((nl = az_str_chr(chunk, '\n')) >= 0) {
		az_buf_adds(&f->line, az_str_sub(chunk, 0, (size_t)nl));
		chunk = az_str_sub(chunk, (size_t)nl + 1, chunk.n);
		l = az_buf_str(&f->line);
		if (l.n && l.p[l.n - 1] == '\r')
			l.n--;
		field(f, l);
		if (f->line.fail)
			break;
		az_buf_reset(&f->line);
	}
	az_buf_adds(&f->line, chunk);
	return az_buf_check(&f->line, "client.events", err);
}

static bool
on_tick(void *arg)
{
	struct follow *f = arg;
	int64_t now = az_boot_ms();

	if (now - f->drawn_ms >= 500) {
		f->drawn_ms = now;
		cl_view_draw(f->cl, &f->v);
	}
	return cl_interrupted(NULL);
}

/* One connection. *status is the answer's, 0 when there was none. */
static enum az_code
stream(struct follow *f, int *status, struct az_http_resp *r, struct az_err *err)
{
	struct cl_call c = {.method = "GET",
	    .header = {"Accept: text/event-stream"},
	    .more = {.data = on_data, .cancelled = on_tick, .arg = f, .idle_ms = STREAM_IDLE_MS}};
	enum az_code rc;

	c.path = az_arena_printf(f->cl->a, "/run_workflow/%s/events", f->id);
	if (f->last_id[0])
		c.header[1] = az_arena_printf(f->cl->a, "Last-Event-ID: %s", f->last_id);
	if (!c.path)
		return az_fail(err, AZ_ENOMEM, "client", "no memory");
	f->news = false;
	f->type[0] = f->event_id[0] = 0;
	az_buf_reset(&f->line);
	az_buf_reset(&f->data);
	rc = cl_http(f->cl, &c, r, err);
	*status = r->status;
	return rc;
}

/* The run object; with wait > 0 the server answers when something changes. */
static int
fetch(struct follow *f, int wait, const struct az_json **run)
{
	struct cl_call c = {.method = "GET",
	    .more = {.cancelled = on_tick, .arg = f, .idle_ms = (wait + 30) * 1000}};

	c.path = wait ? az_arena_printf(f->cl->a, "/run_workflow/%s?wait=%d", f->id, wait)
		      : az_arena_printf(f->cl->a, "/run_workflow/%s", f->id);
	return c.path ? cl_json(f->cl, &c, run) : CL_FAILED;
}

static int
poll_to_end(struct follow *f)
{
	const struct az_json *run = NULL;
	int64_t t0;
	int rc;

	do {
		t0 = az_boot_ms();
		if ((rc = fetch(f, POLL_S, &run)))
			return rc;
		cl_view_run(f->cl, &f->v, run);
		/* a server that answers at once all the time shall not be flooded */
		if (!f->v.ended && az_boot_ms() - t0 < 200)
			cl_pause_ms(500);
	} while (!f->v.ended && !cl_interrupted(NULL));
	return cl_interrupted(NULL) ? CL_INTERRUPTED : CL_OK;
}

/* 0: the run is over. */
static int
stream_to_end(struct follow *f)
{
	int64_t last_ok = az_boot_ms();
	int barren = 0, tries = 0, status = 0, rc;

	while (!f->v.ended) {
		struct az_http_resp r = {0};
		struct az_err err = AZ_ERR_INIT;
		enum az_code code = stream(f, &status, &r, &err);

		rc = CL_OK;
		if (code == AZ_ECANCELLED)
			rc = CL_INTERRUPTED;
		else if (status == 204)
			f->v.ended = true;
		else if (status == 401 || status == 403 || status == 404)
			rc = cl_explain(&r, NULL);
		if (f->news || (status >= 200 && status < 300))
			last_ok = az_boot_ms();
		else if (status == 0 && code && az_boot_ms() - last_ok > GIVE_UP_MS)
			rc = cl_explain(&r, &err);
		az_http_resp_release(&r);
		if (rc || f->v.ended)
			return rc;
		barren = status && !f->news ? barren + 1 : 0;
		if (barren == 3 || (status >= 400 && status < 500))
			return poll_to_end(f); /* no stream to be had here */
		tries = f->news ? 0 : tries + 1;
		cl_pause_ms(az_backoff_ms(tries + 1, 200, 5000, 0));
	}
	return CL_OK;
}

int
cl_follow(struct cl *cl, const char *id)
{
	struct follow f = {.cl = cl, .id = cl_enc(cl, id, NULL)};
	const struct az_json *run = NULL, *files = NULL;
	int rc;

	f.v.since_ms = az_boot_ms();
	az_buf_init(&f.line, AZ_MIB(1));
	az_buf_init(&f.data, AZ_MIB(1));
	/* also tells an id that does not exist, and a server that does not answer */
	if ((rc = fetch(&f, 0, &run)))
		goto out;
	cl_view_run(cl, &f.v, run);
	if (!f.v.ended && (rc = stream_to_end(&f)))
		goto out;
	f.v.ended = true;
	cl_view_clear(cl, &f.v);
	if ((rc = fetch(&f, 0, &run)))
		goto out;
	if (cl->json) {
		cl_print_json(run);
	} else {
		(void)cl_files(cl, id, &files);
		cl_report(cl, run, files);
	}
	rc = az_str_eqc(az_json_gets(run, "status"), "succeeded") ? CL_OK : CL_FAILED;
out:
	cl_view_clear(cl, &f.v);
	if (rc == CL_INTERRUPTED || rc == CL_UNREACHED)
		fprintf(stderr, "azlon: the run itself goes on; azlon watch %s\n", id);
	az_buf_release(&f.line);
	az_buf_release(&f.data);
	return rc;
}

int
cl_watch(struct cl *cl, const struct cl_opt *o)
{
	if (o->narg != 1)
		return cl_usage("watch takes one run id");
	return cl_follow(cl, o->arg[0]);
}
