/*
 * The runs of one user on the local engine, with the workflow that serves them: one at a time
 * and in order, and the end of each told to whom it names.
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <azlon/crypto.h>
#include <azlon/path.h>

#include "work_rig.h"

#define WID(x) "user-alice-1790000000000-abcdefghijklmnopqrstuvwxy" x
#define REQ                                                                                        \
	"{\"v\":1,\"uid\":\"alice\",\"user\":{\"runs\":1},\"request\":{\"user_prompt\":\"p\","     \
	"\"test_conditions\":\"\",\"model\":\"recording/x\",\"limits\":{\"iterations\":3},"        \
	"\"webhook\":{\"url\":\"https://hooks.example/a\"},\"metadata\":{\"k\":\"v\"},"            \
	"\"checks\":[{\"id\":\"c1\",\"run\":\"python3 main.py\",\"expect\":{\"stdout_equals\":"    \
	"\"hello\\n\"}}]}}"
#define PROG                                                                                       \
	"1\n### FILE: main.py\n~~~~~\nout hello\n~~~~~\n### FILE: Dockerfile\n~~~~~\n"             \
	"FROM python:3\nWORKDIR /app\nCOPY . .\nCMD [\"python3\", \"main.py\"]\n~~~~~\n### END\n"

static struct rig R;
static struct az_engine *E;
static char dir[64];
static pthread_t thread;

/* What was posted, in order; the first one is answered 503 where a test wants it. */
static struct {
	pthread_mutex_t mu;
	int n, refuse;
	char body[8][4000], signature[8][200], delivery[8][100], url[8][100];
} P = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void
keep(char *out, size_t n, const char *const *headers, const char *name)
{
	for (; *headers; headers++)
		if (strncmp(*headers, name, strlen(name)) == 0)
			snprintf(out, n, "%s", *headers + strlen(name));
}

static enum az_code
post(void *arg, struct az_post *p, struct az_err *err)
{
	int i;

	(void)arg;
	pthread_mutex_lock(&P.mu);
	i = P.n++;
	snprintf(P.body[i], sizeof P.body[i], "%.*s", AZ_FMT(p->body));
	snprintf(P.url[i], sizeof P.url[i], "%s", p->url);
	keep(P.signature[i], sizeof P.signature[i], p->headers, "Azlon-Signature: ");
	keep(P.delivery[i], sizeof P.delivery[i], p->headers, "Azlon-Delivery: ");
	pthread_mutex_unlock(&P.mu);
	p->status = 200;
	if (P.refuse)
		return az_fail(err, AZ_EPERM, "test", "not on the public internet");
	return AZ_OK;
}

static void *
work(void *arg)
{
	static struct az_workflow flows[3];
	struct az_err err = AZ_ERR_INIT;

	flows[0] = az_flow_coding;
	flows[1] = az_flow_user;
	return az_engine_work(E,
		   &(struct az_worker){
		       .workflows = flows, .functions = az_work_functions, .app = arg, .slots = 4},
		   &err) != AZ_OK
		   ? (void *)1
		   : NULL;
}

static int
setup(void **state)
{
	static const struct fake_answer a[] = {{.text = PROG}, {.text = PROG}, {.text = PROG}};
	struct az_err err = AZ_ERR_INIT;

	(void)state;
	P.n = P.refuse = 0;
	rig_open(&R, a, 3, "{}");
	R.box->exec = rig_exec;
	snprintf(dir, sizeof(dir), "/tmp/azuser.XXXXXX");
	assert_non_null(mkdtemp(dir));
	if (az_engine_local_open(&(struct az_engine_local_opts){.dir = dir}, &E, &err) != AZ_OK)
		fail_msg("engine: %s", err.text);
	R.app.engine = E;
	R.app.post = post;
	/* as while it is being changed */
	R.app.secrets.n = 2;
	for (int i = 0; i < 2; i++)
		memset(R.app.secrets.key[i], 7 + i, AZ_SECRET_BYTES);
	assert_int_equal(pthread_create(&thread, NULL, work, &R.app), 0);
	return 0;
}

static int
teardown(void **state)
{
	int tmp = open("/tmp", O_DIRECTORY | O_CLOEXEC);
	int removed;
	void *end;

	(void)state;
	az_engine_stop(E);
	pthread_join(thread, &end);
	az_engine_close(E);
	rig_close(&R);
	removed = az_remove_tree(tmp, strrchr(dir, '/') + 1);
	close(tmp);
	return end != NULL || removed != 0;
}

static void
start(const char *wid)
{
	struct az_err err = AZ_ERR_INIT;
	bool existed = true;

	if (az_engine_start(E,
		&(struct az_start){.workflow_id = az_str_c(wid),
		    .type = az_flow_coding.name,
		    .uid = AZ_S("alice"),
		    .input = AZ_S(REQ),
		    .memo = AZ_S("{}")},
		&existed, &err) != AZ_OK)
		fail_msg("start: %s", err.text);
	assert_false(existed);
}

/* Was it given a place, or told which number it has? */
static bool
placed(struct az_str wid)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_history h;

	assert_int_equal(az_engine_history(E, wid, 0, 10000, R.a, &h, &err), AZ_OK);
	for (size_t i = 0; i < h.n; i++)
		if (h.ev[i].type == AZ_EV_SIGNALED && (az_str_eqc(h.ev[i].name, AZ_SIG_ADMITTED) ||
							  az_str_eqc(h.ev[i].name, AZ_SIG_QUEUE)))
			return true;
	return false;
}

/* Until the user's workflow knows of it: runs come in the order in which they arrive there. */
static void
arrived(const char *wid)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_run_info info;
	int64_t now;

	for (int i = 0; i < 400 && !placed(az_str_c(wid)); i++) {
		assert_int_equal(az_engine_describe(E, az_str_c(wid), R.a, &info, &err), AZ_OK);
		assert_int_equal(
		    az_engine_wait(E, az_str_c(wid), info.version, 50, NULL, &now, &err), AZ_OK);
	}
	assert_true(placed(az_str_c(wid)));
}

/* Until it is over, 20 s at most. */
static struct az_history
ended(struct az_str wid)
{
	struct az_err err = AZ_ERR_INIT;
	struct az_run_info info = {.version = -1};
	struct az_history h;
	int64_t now;

	for (int i = 0; i < 400; i++) {
		assert_int_equal(az_engine_describe(E, wid, R.a, &info, &err), AZ_OK);
		if (info.state != AZ_RUN_OPEN)
			break;
		assert_int_equal(az_engine_wait(E, wid, info.version, 50, NULL, &now, &err), AZ_OK);
	}
	if (info.state == AZ_RUN_OPEN)
		fail_msg("%.*s goes on", AZ_FMT(wid));
	assert_int_equal(az_engine_history(E, wid, 0, 10000, R.a, &h, &err), AZ_OK);
	return h;
}

static struct az_flow_view
view(const char *wid)
{
	struct az_history h = ended(az_str_c(wid));
	struct az_err err = AZ_ERR_INIT;
	struct az_flow_view v;

	if (az_flow_view(&h, R.a, &v, &err) != AZ_OK)
		fail_msg("view: %s", err.text);
	return v;
}

/* The user's workflow has nothing left to do. */
static void
served(void)
{
	struct az_buf id;

	az_buf_init(&id, 100);
	az_wid_user(&id, AZ_S("alice"));
	(void)ended(az_buf_str(&id));
	az_buf_release(&id);
}

/* Takes "v1=HEX" off a signature: that of time and body by alice's key under this secret. */
static void
signed_by(const unsigned char secret[AZ_SECRET_BYTES], struct az_str time, const char *body,
    struct az_str *signature)
{
	char key[65], hex[65], text[4100];
	unsigned char mac[32];
	struct az_str one;

	assert_int_equal(az_user_key(secret, AZ_S("alice"), AZ_KEY_WEBHOOK, key, NULL), AZ_OK);
	snprintf(text, sizeof text, "%.*s.%s", AZ_FMT(time), body);
	az_hmac_sha256(az_str_c(key), az_str_c(text), mac);
	az_hex(mac, 32, hex);
	if (!az_str_cut(signature, ',', &one)) {
		one = *signature;
		signature->n = 0;
	}
	assert_true(az_str_starts(one, AZ_S("v1=")));
	assert_true(az_str_eqc(az_str_sub(one, 3, one.n), hex));
}

static void
runs_of_a_user_take_turns_and_their_ends_are_told(void **state)
{
	static const char *const wids[] = {WID("a"), WID("b"), WID("c")};
	int64_t before = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		start(wids[i]);
		arrived(wids[i]);
	}
	for (int i = 0; i < 3; i++) {
		struct az_flow_view v = view(wids[i]);

		assert_string_equal(v.status, "succeeded");
		/* it began after the one before had settled, which is before that one's end */
		assert_true(v.started_ms >= before);
		before = v.started_ms;
	}
	served();
	assert_int_equal(P.n, 3);
	for (int i = 0; i < 3; i++) {
		const struct az_json *j;
		struct az_str s = az_str_c(P.signature[i]), t;

		assert_string_equal(P.url[i], "https://hooks.example/a");
		assert_int_equal(
		    az_json_parse_in(R.a, az_str_c(P.body[i]), &az_json_own_limits, &j, NULL),
		    AZ_OK);
		assert_true(az_str_eqc(az_json_gets(j, "workflow_id"), wids[i]));
		assert_true(az_str_eqc(az_json_gets(j, "status"), "succeeded"));
		assert_true(az_str_eqc(az_json_gets(az_json_get(j, "metadata"), "k"), "v"));
		assert_true(az_str_eqc(az_json_gets(j, "delivery"), P.delivery[i]));
		assert_true(az_str_cut(&s, ',', &t));
		assert_true(az_str_starts(t, AZ_S("t=")));
		for (int k = 0; k < 2; k++)
			signed_by(R.app.secrets.key[k], az_str_sub(t, 2, t.n), P.body[i], &s);
		assert_int_equal(s.n, 0);
	}
}

static void
an_address_that_may_not_be_reached_is_tried_once(void **state)
{
	struct az_buf key, b;
	const struct az_json *j;

	(void)state;
	P.refuse = 1;
	start(WID("a"));
	assert_string_equal(view(WID("a")).status, "succeeded");
	served();
	assert_int_equal(P.n, 1);
	az_buf_init(&key, 200);
	az_buf_init(&b, 4096);
	az_key_meta(&key, AZ_S(WID("a")), "webhook");
	assert_int_equal(az_store_get(R.store, &R.bkt, az_buf_str(&key), &b, NULL), AZ_OK);
	assert_int_equal(
	    az_json_parse_in(R.a, az_buf_str(&b), &az_json_own_limits, &j, NULL), AZ_OK);
	assert_true(az_str_eqc(az_json_gets(j, "state"), "refused"));
	assert_true(az_str_eqc(az_json_gets(j, "error"), "not on the public internet"));
	az_buf_release(&key);
	az_buf_release(&b);
}

/* A sandbox that cannot be ended keeps neither a place nor a budget, and one that nobody made
   need not be ended. */
static void
what_was_used_is_told_before_the_sandbox_is_gone(void **state)
{
	static const char in[] =
	    "{\"v\":1,\"iteration\":0,\"best\":0,\"status\":\"failed\",\"reason\":\"stuck\",%s"
	    "\"leave\":{\"used\":{\"tokens\":7},\"hook\":false},\"request\":{\"user_prompt\":\"p\"}"
	    "}";
	struct az_err err = AZ_ERR_INIT;
	struct az_buf out, text, id;

	(void)state;
	az_buf_init(&out, AZ_LIM_PAYLOAD_BYTES);
	az_buf_init(&text, 1000);
	az_buf_init(&id, 100);
	az_wid_user(&id, AZ_S("alice"));
	__atomic_store_n(&R.box->down, AZ_EUNAVAIL, __ATOMIC_SEQ_CST);
	for (int sandbox = 1; sandbox >= 0; sandbox--) {
		struct az_history h;
		const struct az_json *j;

		az_buf_reset(&text);
		az_buf_addf(&text, in, sandbox ? "" : "\"sandbox\":false,");
		az_buf_reset(&out);
		assert_int_equal(
		    rig_call(&R, AZ_S(AZ_FN_FINALIZE), 9, 1, az_buf_str(&text), &out, &err),
		    sandbox ? AZ_EUNAVAIL : AZ_OK);
		h = ended(az_buf_str(&id));
		assert_int_equal(h.ev[1].type, AZ_EV_SIGNALED);
		assert_true(az_str_eqc(h.ev[1].name, AZ_SIG_DONE));
		assert_int_equal(
		    az_json_parse_in(R.a, h.ev[1].payload, &az_json_own_limits, &j, NULL), AZ_OK);
		assert_int_equal(az_json_geti(az_json_get(j, "used"), "tokens", 0), 7);
	}
	az_buf_release(&out);
	az_buf_release(&text);
	az_buf_release(&id);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
		runs_of_a_user_take_turns_and_their_ends_are_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		an_address_that_may_not_be_reached_is_tried_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		what_was_used_is_told_before_the_sandbox_is_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
