/* Runs, webhooks and numbers of a user's workflow. */
#include "user.h"

#define OP "flow.user"

const char *const az_measure_names[AZ_MEASURES] = {"iterations", "tokens", "wall_s", "sandbox_s"};

enum az_code
user_no_memory(struct az_err *err)
{
	return az_fail(err, AZ_ENOMEM, OP, "no memory for what is in hand");
}

/* v with room for element n; the old array stays behind in the arena. */
void *
user_room(struct az_arena *a, void *v, size_t n, size_t *cap, size_t size)
{
	size_t want = *cap ? *cap * 2 : 16;
	void *p;

	if (n < *cap)
		return v;
	p = az_arena_alloc(a, want * size);
	if (!p)
		return NULL;
	if (n)
		memcpy(p, v, n * size);
	*cap = want;
	return p;
}

/* ---- lists of runs ---- */

ptrdiff_t
user_find(const struct user_list *l, struct az_str wid)
{
	for (size_t i = 0; i < l->n; i++)
		if (az_str_eq(l->v[i].wid, wid))
			return (ptrdiff_t)i;
	return -1;
}

enum az_code
user_push(struct user_state *st, struct user_list *l, const struct user_run *r, struct az_err *err)
{
	struct user_run *v = user_room(st->a, l->v, l->n, &l->cap, sizeof *v);

	if (!v)
		return user_no_memory(err);
	l->v = v;
	l->v[l->n++] = *r;
	return AZ_OK;
}

bool
user_take_out(struct user_list *l, struct az_str wid, struct user_run *out)
{
	ptrdiff_t i = user_find(l, wid);

	if (i < 0)
		return false;
	*out = l->v[i];
	l->n--;
	memmove(&l->v[i], &l->v[i + 1], (l->n - (size_t)i) * sizeof *l->v);
	return true;
}

/* ---- webhooks ---- */

/* Before the next try, tries after the first. */
static int64_t
hook_delay(int tries)
{
	int64_t s = 5;

	for (int i = 1; i < tries && s < 3600; i++)
		s *= 3;
	return 1000 * (s < 3600 ? s : 3600);
}

enum az_code
user_push_hook(struct user_state *st, const struct user_hook *h, struct az_err *err)
{
	struct user_hook *v;

	if (st->n_hooks == USER_HOOKS_HARD)
		memmove(st->hooks, st->hooks + 1, --st->n_hooks * sizeof *v);
	v = user_room(st->a, st->hooks, st->n_hooks, &st->cap_hooks, sizeof *v);
	if (!v)
		return user_no_memory(err);
	st->hooks = v;
	v[st->n_hooks++] = *h;
	return AZ_OK;
}

/* Where too many wait the oldest is tried now and given up then, so that its run says so. Those
   that are given up began at 0. */
static void
give_up_oldest(struct user_state *st)
{
	struct user_hook *oldest = NULL;
	size_t n = 0;

	for (size_t i = 0; i < st->n_hooks; i++) {
		if (!st->hooks[i].first_ms)
			continue;
		n++;
		if (!oldest)
			oldest = &st->hooks[i];
	}
	if (n < USER_HOOKS_MAX || !oldest)
		return;
	oldest->first_ms = 0;
	oldest->next_ms = st->now_ms;
}

enum az_code
user_add_hook(struct user_state *st, struct az_str wid, struct az_err *err)
{
	const struct user_hook h = {.wid = wid, .first_ms = st->now_ms, .next_ms = st->now_ms};

	for (size_t i = 0; i < st->n_hooks; i++)
		if (az_str_eq(st->hooks[i].wid, wid))
			return AZ_OK;
	give_up_oldest(st);
	return user_push_hook(st, &h, err);
}

/* One try came to its end; over: no other follows. */
void
user_tried(struct user_state *st, struct az_str wid, bool over)
{
	size_t i = 0;

	while (i < st->n_hooks && !az_str_eq(st->hooks[i].wid, wid))
		i++;
	if (i == st->n_hooks)
		return;
	if (over) {
		st->n_hooks--;
		memmove(&st->hooks[i], &st->hooks[i + 1], (st->n_hooks - i) * sizeof *st->hooks);
		return;
	}
	st->hooks[i].tries++;
	st->hooks[i].next_ms = st->now_ms + hook_delay(st->hooks[i].tries);
}

/* ---- numbers ---- */

int64_t
user_clamp(int64_t v)
{
	return v < 0 ? 0 : v > USER_MEASURE_MAX ? USER_MEASURE_MAX : v;
}

struct az_str
user_text_at(const struct az_json *arr, size_t i)
{
	return az_json_str(az_json_at(arr, i));
}

void
user_read_measures(const struct az_json *j, int64_t out[AZ_MEASURES])
{
	for (int i = 0; i < AZ_MEASURES; i++)
		out[i] = user_clamp(az_json_geti(j, az_measure_names[i], 0));
}

void
user_read_caps(struct user_state *st, const struct az_json *caps)
{
	if (az_json_type(caps) != AZ_JOBJ)
		return;
	st->places = user_clamp(az_json_geti(caps, "runs", 0));
	user_read_measures(caps, st->caps);
}

void
user_write_measures(struct az_jw *w, const int64_t m[AZ_MEASURES])
{
	az_jw_obj(w);
	for (int i = 0; i < AZ_MEASURES; i++)
		az_jw_ki(w, az_measure_names[i], m[i]);
	az_jw_end(w, '}');
}
