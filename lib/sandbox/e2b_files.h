/* What e2b_files.c and e2b_form.c share: bytes of files over /files. */
#ifndef AZ_SANDBOX_E2B_FILES_H
#define AZ_SANDBOX_E2B_FILES_H

#include "e2b.h"

struct e2b_transfer {
	struct e2b *e;
	const struct az_box_ref *ref;
	bool ours;       /* our end failed, not the sandbox */
	int64_t look_ms; /* of e2b_lease_keep() */
};
/* The caller is told to stop; else the sandbox is kept alive. */
bool e2b_transfer_stopped(struct e2b_transfer *t);
/* What a transfer that ended with rc came to. */
enum az_code e2b_transfer_end(struct e2b_transfer *t, enum az_code rc, const struct az_http_resp *r,
    const char *op, struct az_err *err);
/* /files of the sandbox, for path (NULL: the names are in the body); old daemons need the
   user said. */
enum az_code e2b_files_url(const struct e2b *e, const struct az_box_ref *ref, const char *path,
    struct az_buf *url, const char *op, struct az_err *err);

#endif
