/* The port: what every adapter may rely on is checked here once. */
#include <azlon/llm.h>

static bool
name_ok(const char *s)
{
	size_t n = s ? strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789_-")
		     : 0;

	return n >= 1 && n <= 64 && s[n] == '\0';
}

enum az_code
az_llm_complete(struct az_llm *l, const struct az_llm_req *q, struct az_arena *a,
    struct az_llm_reply *r, struct az_err *err)
{
	static const char op[] = "llm.complete";

	*r = (struct az_llm_reply){0};
	if (q->model.n == 0 || q->model.n > 200)
		return az_fail(err, AZ_EINVAL, op, "the model's name must be 1..200 bytes");
	if (q->n_msgs == 0)
		return az_fail(err, AZ_EINVAL, op, "no messages");
	if (q->schema.n && !name_ok(q->schema_name))
		return az_fail(err, AZ_EINVAL, op, "the schema needs a name");
	if (q->cancelled && q->cancelled(q->arg))
		return az_fail(err, AZ_ECANCELLED, op, "cancelled");
	return l->ops->complete(l, q, a, r, err);
}

enum az_code
az_llm_ping(struct az_llm *l, struct az_err *err)
{
	return l->ops->ping(l, err);
}

void
az_llm_close(struct az_llm *l)
{
	if (l)
		l->ops->close(l);
}
