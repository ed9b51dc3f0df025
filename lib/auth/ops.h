/* Private to the room: what an identity adapter fills in. */
#ifndef AZ_AUTH_OPS_H
#define AZ_AUTH_OPS_H

#include <azlon/auth.h>

struct az_auth_ops {      /* every slot is filled; none may be NULL */
	const char *name; /* value of AZLON_IDENTITY that selects it */
	enum az_code (*open)(
	    const struct az_auth_opts *o, struct az_auth **out, struct az_err *err);
	/* The uid as it came, borrowed from in; az_auth_identify() checks its form. */
	enum az_code (*identify)(struct az_auth *au, const struct az_auth_in *in,
	    struct az_str *uid, struct az_err *err);
	void (*close)(struct az_auth *au);
};

struct az_auth { /* first member of each adapter's own struct */
	const struct az_auth_ops *ops;
};

extern const struct az_auth_ops auth_dev_ops;

#endif
