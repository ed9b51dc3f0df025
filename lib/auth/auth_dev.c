/*
 * Identity for one's own machine: a caller is who it says it is. So it must be certain
 * that only this machine calls.
 */
#include <stdlib.h>
#include <azlon/auth.h>
#include "ops.h"

static const char OP[] = "auth.dev";

static enum az_code
dev_open(const struct az_auth_opts *o, struct az_auth **out, struct az_err *err)
{
	struct az_auth *au;

	if (o->external_url && *o->external_url)
		return az_fail(err, AZ_EINVAL, OP,
		    "EXTERNAL_BACKEND_URL is set: the dev "
		    "identity believes what a caller says it is and serves loopback only");
	if (!(au = calloc(1, sizeof *au)))
		return az_fail(err, AZ_ENOMEM, OP, "no memory");
	au->ops = &auth_dev_ops;
	*out = au;
	return AZ_OK;
}

static enum az_code
dev_identify(struct az_auth *au, const struct az_auth_in *in, struct az_arena *a,
    struct az_caller *out, struct az_err *err)
{
	enum az_code rc = auth_loopback(in, "the dev identity", OP, err);

	(void)au;
	(void)a;
	out->assumed = !in->x_user_id.n && !in->body_user.n;
	if (!rc)
		out->uid = in->x_user_id.n   ? in->x_user_id
			   : in->body_user.n ? in->body_user
					     : AZ_S("anonymous");
	return rc;
}

static void
dev_close(struct az_auth *au)
{
	free(au);
}

const struct az_auth_ops auth_dev_ops = {
    .name = "dev",
    .open = dev_open,
    .identify = dev_identify,
    .close = dev_close,
};
