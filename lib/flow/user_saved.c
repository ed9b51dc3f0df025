/* What is in hand, as the input of a history that begins anew. */
#include "user.h"

static enum az_code
read_run(struct user_state *st, struct user_list *l, const struct az_json *j, struct az_err *err)
{
	struct user_run r = {.wid = user_text_at(j, 0), .begun = l == &st->running};
	int64_t v = 0;

	for (int i = 0; i < AZ_MEASURES; i++)
		if (az_json_i64(az_json_at(j, (size_t)i + 1), 0, USER_MEASURE_MAX, &v))
			r.want[i] = v;
	r.hook = az_json_bool(az_json_at(j, AZ_MEASURES + 1), false);
	if (az_json_i64(az_json_at(j, AZ_MEASURES + 2), 0, INT32_MAX, &v))
		r.told = (int)v;
	r.again = az_json_bool(az_json_at(j, AZ_MEASURES + 3), false);
	return user_push(st, l, &r, err);
}

static void
write_run(struct az_jw *w, const struct user_run *r)
{
	az_jw_arr(w);
	az_jw_str(w, r->wid);
	for (int i = 0; i < AZ_MEASURES; i++)
		az_jw_int(w, r->want[i]);
	az_jw_bool(w, r->hook);
	az_jw_int(w, r->told);
	az_jw_bool(w, r->again);
	az_jw_end(w, ']');
}

static enum az_code
read_hooks(struct user_state *st, const struct az_json *l, struct az_err *err)
{
	enum az_code rc = AZ_OK;

	for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++) {
		const struct az_json *j = az_json_at(l, i);
		struct user_hook h = {.wid = user_text_at(j, 0)};
		int64_t tries = 0;

		if (az_json_i64(az_json_at(j, 1), 0, 1000, &tries))
			h.tries = (int)tries;
		if (!az_json_i64(az_json_at(j, 2), 0, INT64_MAX, &h.first_ms) ||
		    !az_json_i64(az_json_at(j, 3), 0, INT64_MAX, &h.next_ms))
			h.first_ms = h.next_ms = st->now_ms;
		rc = user_push_hook(st, &h, err);
	}
	return rc;
}

enum az_code
user_take_start(struct user_state *st, const struct az_event *e, struct az_err *err)
{
	static const char *const names[] = {"running", "waiting", "refused"};
	struct user_list *const lists[] = {&st->running, &st->waiting, &st->refused};
	const struct az_json *in = NULL;
	enum az_code rc;

	st->started = e;
	st->check_ms = st->now_ms;
	st->day = st->now_ms / USER_DAY_MS;
	rc = az_json_parse_in(st->a, e->payload, &az_json_own_limits, &in, err);
	if (rc == AZ_ENOMEM)
		return rc;
	user_read_caps(st, az_json_get(in, "caps"));
	st->day = az_json_geti(in, "day", st->day);
	user_read_measures(az_json_get(in, "used"), st->used);
	st->check_ms = az_json_geti(in, "check_ms", st->check_ms);
	rc = AZ_OK;
	for (size_t k = 0; k < 3; k++) {
		const struct az_json *l = az_json_get(in, names[k]);

		for (size_t i = 0; i < az_json_len(l) && rc == AZ_OK; i++)
			rc = read_run(st, lists[k], az_json_at(l, i), err);
	}
	return rc == AZ_OK ? read_hooks(st, az_json_get(in, "hooks"), err) : rc;
}

void
user_write(const struct user_state *st, struct az_jw *w)
{
	static const char *const names[] = {"running", "waiting", "refused"};
	const struct user_list *const lists[] = {&st->running, &st->waiting, &st->refused};

	az_jw_obj(w);
	az_jw_ki(w, "v", 1);
	az_jw_key(w, "caps");
	az_jw_obj(w);
	az_jw_ki(w, "runs", st->places);
	for (int i = 0; i < AZ_MEASURES; i++)
		az_jw_ki(w, az_measure_names[i], st->caps[i]);
	az_jw_end(w, '}');
	az_jw_ki(w, "day", st->day);
	az_jw_key(w, "used");
	user_write_measures(w, st->used);
	az_jw_ki(w, "check_ms", st->check_ms);
	for (size_t k = 0; k < 3; k++) {
		az_jw_key(w, names[k]);
		az_jw_arr(w);
		for (size_t i = 0; i < lists[k]->n; i++)
			write_run(w, &lists[k]->v[i]);
		az_jw_end(w, ']');
	}
	az_jw_key(w, "hooks");
	az_jw_arr(w);
	for (size_t i = 0; i < st->n_hooks; i++) {
		az_jw_arr(w);
		az_jw_str(w, st->hooks[i].wid);
		az_jw_int(w, st->hooks[i].tries);
		az_jw_int(w, st->hooks[i].first_ms);
		az_jw_int(w, st->hooks[i].next_ms);
		az_jw_end(w, ']');
	}
	az_jw_end(w, ']');
	az_jw_end(w, '}');
}
