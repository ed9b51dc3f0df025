/*
 * Histories of any shape: the fold, the view and the log agree on which ones are
 * possible, and none is read past its end.
 */
#include <stdint.h>
#include <stdlib.h>

#include <azlon/flow.h>
#include <azlon/limits.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char *const names[] = {
    AZ_FN_PREFLIGHT, AZ_FN_GENERATE, AZ_FN_RUN, AZ_FN_VALIDATE, AZ_FN_FINALIZE, "other"};
static const char *const payloads[] = {
    "{\"request\":{\"user_prompt\":\"p\",\"limits\":{\"iterations\":2}}}",
    "{\"request\":{\"user_prompt\":\"p\",\"inputs\":[\"default\"]},\"warnings\":[1,\"w\"]}",
    "{\"passed\":true,\"n_passed\":1}", "{\"passed\":false,\"error_sig\":\"a\",\"tree\":\"b\"}",
    "{\"events\":[{\"type\":\"check\",\"a\":[1]},3,{\"type\":7}],\"tokens_in\":-5}", "{}", "[", "",
    "{\"explicit\":1,\"passed\":1,\"unjudged\":0,\"iteration\":99999999999}"};

static bool
seen(void *arg, const struct az_flow_event *e)
{
	int64_t *last = arg;

	if (e->seq != *last + 1)
		abort();
	*last = e->seq;
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct az_arena *a = az_arena_new(AZ_MIB(64));
	struct az_event ev[64] = {{.id = 0}};
	struct az_history h = {ev, 0};
	struct az_flow_view v;
	enum az_code folded, viewed, logged;
	struct az_cmds cmds = {.n = 0};
	struct az_err err = AZ_ERR_INIT;
	int64_t last = 0;

	if (!a)
		return 0;
	for (; n >= 4 && h.n < 64; p += 4, n -= 4, h.n++) {
		struct az_event *e = &ev[h.n];

		e->type = (enum az_ev_type)(1 + p[0] % (AZ_EV_TYPES - 1));
		e->id = (int64_t)h.n + 1;
		e->ref = p[1];
		e->t_ms = 1790000000000 + p[1];
		e->name = az_str_c(names[p[2] % (sizeof(names) / sizeof(names[0]))]);
		e->payload = az_str_c(payloads[p[3] % (sizeof(payloads) / sizeof(payloads[0]))]);
		e->reason = p[3] & 1 ? AZ_S("timeout") : AZ_S("");
	}
	folded = az_flow_coding.fold(&h, a, &cmds, &err);
	viewed = az_flow_view(&h, a, &v, &err);
	logged = az_flow_events(&h, 0, a, seen, &last, &err);
	if ((folded == AZ_OK) != (logged == AZ_OK) ||
	    (h.n > 0 && (folded == AZ_OK) != (viewed == AZ_OK)))
		abort();
	if (viewed == AZ_OK && (v.last_event != last || v.percent < 0 || v.percent > 100))
		abort();
	az_arena_free(a);
	return 0;
}
