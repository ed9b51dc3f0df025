/*
 * Out of memory between a sandbox and its clients: answers of the agent, envelopes and
 * the output of programs come whole, or it is said that they did not. A program's output
 * with a piece missing would be judged as if it were all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>
#include "box/box.h"
#include "box/control.h"
#include "torture.h"

static struct az_box_server srv;

struct rig {
	struct box b;
	struct proc p;
	int agent; /* its end */
};

static void
rig_init(struct rig *r)
{
	int sv[2];

	memset(r, 0, sizeof *r);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	r->agent = sv[1];
	r->b.srv = &srv;
	r->b.sock = sv[0];
	r->b.wake = r->b.init_fd = -1;
	r->b.next_id = 10;
	pthread_mutex_init(&r->b.mu, NULL);
	az_cond_init(&r->b.cond);
	az_buf_init(&r->b.out, AZ_MIB(8));
	r->p.id = 1;
	r->p.refs = 1;
	az_buf_init(&r->p.ring, 2 * PROC_RING);
	az_cond_init(&r->p.cond);
	r->b.procs = &r->p;
	r->b.nprocs = 1;
}

static void
rig_release(struct rig *r)
{
	az_buf_release(&r->p.ring);
	az_buf_release(&r->b.out);
	journal_free(&r->b.journal);
	pthread_cond_destroy(&r->p.cond);
	pthread_cond_destroy(&r->b.cond);
	pthread_mutex_destroy(&r->b.mu);
	close(r->b.sock);
	close(r->agent);
}

/* As the box's thread does with what the agent sent. */
static void
feed(struct rig *r, uint32_t id, enum aw_type type, struct az_str body)
{
	struct aw_frame f = {id, (uint8_t)type, {(const unsigned char *)body.p, body.n, false}};

	pthread_mutex_lock(&r->b.mu);
	assert_true(link_frame(&r->b, &f));
	pthread_mutex_unlock(&r->b.mu);
}

/* A box that could not be told something is dead of that, and says so. */
static enum az_code
reported(const struct rig *r, enum az_code rc, struct az_err *err)
{
	if (rc != AZ_EUNAVAIL || !r->b.dead)
		return rc;
	assert_string_equal(r->b.why, "out of memory");
	return az_fail(err, AZ_ENOMEM, "test", "the box died of it");
}

static void
put_entry(struct az_buf *b, const char *path)
{
	static const char zero[1 + 3 * 4 + 2 * 8];

	az_buf_reset(b);
	az_buf_addch(b, AK_FILE);
	az_buf_add(b, zero, sizeof zero);
	put_text(b, az_str_c(path));
	put_text(b, AZ_S(""));
	put_u32(b, 0);
}

static enum az_code
answers(struct az_err *err)
{
	static const char *const paths[] = {
	    "/home/user/a", "/home/user/long/er/path", "/home/user/x"};
	struct rig r;
	struct call c;
	struct aw_frame f;
	struct az_buf made, entry;
	struct entry e;
	enum az_code rc;

	rig_init(&r);
	az_buf_init(&made, AZ_KIB(64));
	az_buf_init(&entry, AZ_KIB(4));
	rc = call_open(&r.b, &c, AW_LIST, AZ_S("a path"), err);
	if (rc)
		goto out;
	for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
		torture_pause();
		put_entry(&entry, paths[i]);
		torture_resume();
		feed(&r, c.id, AW_ENTRY, az_buf_str(&entry));
	}
	feed(&r, c.id, AW_OK, AZ_S(""));
	while (!(rc = call_next(&r.b, &c, az_boot_ms() + 1000, &f, err)) && f.type == AW_ENTRY) {
		assert_true(entry_parse(f.body, &e));
		torture_pause();
		az_buf_addf(&made, "%.*s\n", AZ_FMT(e.path));
		torture_resume();
	}
	if (!rc)
		assert_int_equal(f.type, AW_OK);
	call_close(&r.b, &c, false);
	if (!rc)
		torture_made(az_buf_str(&made));
out:
	rc = reported(&r, rc, err);
	az_buf_release(&made);
	az_buf_release(&entry);
	rig_release(&r);
	return rc;
}

static void
write_output(struct rig *r, char c)
{
	static char body[1 + AW_CHUNK / 2];

	memset(body, c, sizeof body);
	for (int i = 0; i < 6; i++) {
		body[0] = (char)(1 + i % 2);
		feed(r, 1, AW_OUT, az_str_n(body, sizeof body));
	}
}

/* Take what there is, until the end or until nothing is left. */
static enum az_code
hear(struct rig *r, struct sub *s, bool to_end, struct az_buf *made, struct az_err *err)
{
	struct az_str rest, bytes;
	struct az_buf got;
	enum az_code rc;
	bool ended = false;
	int stream;

	az_buf_init(&got, AZ_MIB(1));
	do {
		az_buf_reset(&got);
		rc = proc_wait(&r->b, &r->p, s, az_boot_ms() + 1000, &got, &ended, err);
		rest = az_buf_str(&got);
		torture_pause();
		while (!rc && record_next(&rest, &stream, &bytes))
			az_buf_addf(made, "%d%.*s", stream, AZ_FMT(bytes));
		torture_resume();
	} while (!rc && to_end && !ended);
	az_buf_release(&got);
	return rc;
}

/* Written before anybody follows, to one who leaves with some of it unread, to the next. */
static enum az_code
output(struct az_err *err)
{
	static const char started[4] = {7}, ended[9] = {0, 3};
	struct sub first = {0}, second = {0};
	struct az_buf made;
	struct rig r;
	enum az_code rc;

	rig_init(&r);
	az_buf_init(&made, AZ_MIB(1));
	feed(&r, 1, AW_STARTED, az_str_n(started, sizeof started));
	write_output(&r, 'a');
	pthread_mutex_lock(&r.b.mu);
	proc_follow(&r.b, &r.p, &first);
	pthread_mutex_unlock(&r.b.mu);
	rc = hear(&r, &first, false, &made, err);
	write_output(&r, 'b');
	pthread_mutex_lock(&r.b.mu);
	proc_leave(&r.b, &r.p, &first);
	pthread_mutex_unlock(&r.b.mu);
	if (!rc) {
		pthread_mutex_lock(&r.b.mu);
		proc_follow(&r.b, &r.p, &second);
		pthread_mutex_unlock(&r.b.mu);
		write_output(&r, 'c');
		feed(&r, 1, AW_EXIT, az_str_n(ended, sizeof ended));
		rc = hear(&r, &second, true, &made, err);
		pthread_mutex_lock(&r.b.mu);
		proc_leave(&r.b, &r.p, &second);
		pthread_mutex_unlock(&r.b.mu);
	}
	if (!rc) {
		assert_int_equal(r.p.code, 3);
		torture_made(az_buf_str(&made));
	}
	rc = reported(&r, rc, err);
	torture_pause();
	az_buf_release(&made);
	torture_resume();
	rig_release(&r);
	return rc;
}

static enum az_code
envelopes(struct az_err *err)
{
	static const char *const msgs[] = {"{}", "{\"event\":{\"start\":{\"pid\":7}}}",
	    "{\"event\":{\"data\":{\"stdout\":\"a longer one, so that it has to grow\"}}}"};
	struct az_buf wire, made;
	struct az_str rest, msg;
	enum az_code rc;
	unsigned flags;
	size_t used;

	az_buf_init(&wire, AZ_KIB(64));
	az_buf_init(&made, AZ_KIB(64));
	for (size_t i = 0; i < sizeof msgs / sizeof *msgs; i++)
		envelope_add(&wire, i == 2 ? 2 : 0, az_str_c(msgs[i]));
	if ((rc = az_buf_check(&wire, "test", err)))
		goto out;
	rest = az_buf_str(&wire);
	while (envelope_next(rest, &flags, &msg, &used) == 1) {
		struct az_json *j = NULL;

		if ((rc = az_json_parse(msg, &connect_limits, &j, err)))
			goto out;
		az_json_free(j);
		az_buf_addf(&made, "%u %.*s\n", flags, AZ_FMT(msg));
		rest = az_str_sub(rest, used, rest.n);
	}
	assert_int_equal(rest.n, 0);
	if (!(rc = az_buf_check(&made, "test", err)))
		torture_made(az_buf_str(&made));
out:
	az_buf_release(&wire);
	az_buf_release(&made);
	return rc;
}

static enum az_code
metadata(struct az_err *err)
{
	struct az_arena *a = az_arena_new(AZ_KIB(64));
	struct az_str out = {0};
	enum az_code rc;

	if (!a)
		return az_fail(err, AZ_ENOMEM, "test", "out of memory");
	rc = list_decode(a, AZ_S("a%3Db+c"), &out, err);
	if (!rc)
		torture_made(out);
	az_arena_free(a);
	return rc;
}

static void
metadata_is_not_called_malformed_for_want_of_memory(void **state)
{
	struct az_arena *a = az_arena_new(AZ_KIB(64));
	struct az_err err = AZ_ERR_INIT;
	struct az_str out;

	(void)state;
	torture("metadata", metadata);
	assert_int_equal(list_decode(a, AZ_S("a%3"), &out, &err), AZ_EINVAL);
	az_arena_free(a);
}

static void
answers_are_whole_or_refused(void **state)
{
	(void)state;
	torture("answers", answers);
}

static void
output_is_never_lost_in_silence(void **state)
{
	(void)state;
	torture("output", output);
}

static void
envelopes_are_whole_or_refused(void **state)
{
	(void)state;
	torture("envelopes", envelopes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_are_whole_or_refused),
	    cmocka_unit_test(output_is_never_lost_in_silence),
	    cmocka_unit_test(envelopes_are_whole_or_refused),
	    cmocka_unit_test(metadata_is_not_called_malformed_for_want_of_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
