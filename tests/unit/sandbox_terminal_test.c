/* Commands that somebody types to, against a scripted peer: terminals and pipes. */
#include "e2b_fixture.h"

#define START "POST /process.Process/Start"
#define INPUT "POST /process.Process/SendInput"
#define UPDATE "POST /process.Process/Update"
#define CLOSE "POST /process.Process/CloseStdin"

struct person {
	struct fix *f;
	int calls;       /* of typed() */
	const char *all; /* until then nothing ends the command: the last call to be seen */
	struct az_buf out;
	struct route routes[5]; /* as long as the peer */
};

static void
typed(void *arg, struct az_sb_typed *t)
{
	struct person *p = arg;

	switch (p->calls++) {
	case 0:
		memcpy(t->p, "keys", 4);
		t->n = 4;
		break;
	case 1:
		t->size = (struct az_sb_size){100, 40};
		break;
	case 2:
		memcpy(t->p, "last", 4);
		t->n = 4;
		t->end = true;
		break;
	default:
		fail_msg("asked after the end");
	}
}

static enum az_code
shown(void *arg, int stream, struct az_str bytes, struct az_err *err)
{
	struct person *p = arg;

	(void)err;
	assert_int_equal(stream, 1);
	az_buf_adds(&p->out, bytes);
	return AZ_OK;
}

static bool
seen_all(void *arg)
{
	struct person *p = arg;

	return asked(p->f, INPUT) == 2 && asked(p->f, p->all) == 1;
}

/* The command is silent; it is ended when all that was to be sent has been. */
static void
run_it(struct fix *f, struct person *p, const char *stream, const struct az_sb_size *pty)
{
	const char *argv[] = {"sh", NULL};
	struct az_sb_result r;
	static const char *const asks[] = {
	    START, INPUT, UPDATE, CLOSE, "POST /process.Process/SendSignal"};
	struct az_buf *b = fix_buf(f);

	for (int i = 0; i < 5; i++)
		p->routes[i] = (struct route){.prefix = asks[i], .n = 1};
	frame(b, 0, START_EVENT);
	data_frame(b, stream, "hello", 5);
	p->routes[0].step[0] = stream_of(f, b, true);
	p->routes[0].step[0].then = HTTP_THEN_STALL;
	for (int i = 1; i < 5; i++)
		p->routes[i].step[0] = answer(f, 200, "", "{}");
	fix_start(f, p->routes, 5);
	e2b_of(f->sb)->kills_trees = true;
	az_buf_init(&p->out, 100);
	p->f = f;
	assert_int_equal(az_sandbox_run(f->sb, &f->ref,
			     &(struct az_sb_cmd){.argv = argv,
				 .pty = pty,
				 .input = typed,
				 .output = shown,
				 .cancelled = seen_all,
				 .timeout_s = 100000,
				 .arg = p},
			     &r, &f->err),
	    AZ_OK);
	assert_int_equal(r.end, AZ_END_CANCELLED);
	assert_true(az_str_eqc(az_buf_str(&p->out), "hello"));
	/* for as long as somebody types, but a day at most */
	assert_true(sent(f, nth(f, START, 0), "Connect-Timeout-Ms: 863") ||
		    sent(f, nth(f, START, 0), "Connect-Timeout-Ms: 864"));
	az_buf_release(&p->out);
}

static void
a_terminal_gets_keys_and_sizes(void **state)
{
	struct az_sb_size size = {91, 33};
	struct person p = {.all = UPDATE};
	struct fix f = {0};

	(void)state;
	run_it(&f, &p, "pty", &size);
	assert_true(sent(&f, nth(&f, START, 0), "\"pty\":{\"size\":{\"cols\":91,\"rows\":33}}"));
	assert_false(sent(&f, nth(&f, START, 0), "\"stdin\":"));
	assert_true(sent(
	    &f, nth(&f, INPUT, 0), "{\"process\":{\"pid\":42},\"input\":{\"pty\":\"a2V5cw==\"}}"));
	assert_true(sent(&f, nth(&f, UPDATE, 0),
	    "{\"process\":{\"pid\":42},\"pty\":{\"size\":{\"cols\":100,\"rows\":40}}}"));
	assert_true(nth(&f, INPUT, 0) < nth(&f, UPDATE, 0));
	assert_true(sent(&f, nth(&f, INPUT, 1), "\"pty\":\"bGFzdA==\""));
	/* a terminal's input has no end to tell of */
	assert_int_equal(asked(&f, CLOSE), 0);
	fix_stop(&f);
}

static void
a_pipe_gets_bytes_and_their_end(void **state)
{
	struct person p = {.all = CLOSE};
	struct fix f = {0};

	(void)state;
	run_it(&f, &p, "stdout", NULL);
	assert_true(sent(&f, nth(&f, START, 0), "\"stdin\":true"));
	assert_true(sent(&f, nth(&f, INPUT, 0), "\"input\":{\"stdin\":\"a2V5cw==\"}"));
	assert_int_equal(asked(&f, UPDATE), 0);
	assert_true(nth(&f, INPUT, 1) < nth(&f, CLOSE, 0));
	fix_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_terminal_gets_keys_and_sizes),
	    cmocka_unit_test(a_pipe_gets_bytes_and_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
