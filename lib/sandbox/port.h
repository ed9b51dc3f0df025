/* What the files of the port itself share: sandbox.c and tree.c. */
#ifndef AZ_SANDBOX_PORT_H
#define AZ_SANDBOX_PORT_H

#include <azlon/sandbox.h>

enum az_code sandbox_ref_ok(const struct az_box_ref *b, const char *op, struct az_err *err);

#endif
