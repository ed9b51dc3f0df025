/*
 * The content coding "gzip" (RFC 9110, RFC 1952) as a push filter: bytes in, in pieces
 * of any size, bytes out to a sink. Memory does not depend on what comes; how much comes
 * out is for the sink to bound.
 */
#ifndef AZLON_GZIP_H
#define AZLON_GZIP_H

#include <azlon/str.h>

struct az_gzip;

typedef enum az_code az_gzip_sink(void *arg, struct az_str bytes, struct az_err *err);

/* pack: compress, quickly rather than well; else unpack. arg is borrowed until the close. */
AZ_API AZ_MUST_CHECK enum az_code az_gzip_open(
    bool pack, az_gzip_sink *sink, void *arg, struct az_gzip **out, struct az_err *err);
/* AZ_EINVAL for what is not gzip, or the sink's failure; the filter is of no more use then. */
AZ_API AZ_MUST_CHECK enum az_code az_gzip_feed(
    struct az_gzip *g, struct az_str bytes, struct az_err *err);
/* At the end: the rest of what was packed; AZ_EINVAL when what was unpacked is cut short. */
AZ_API AZ_MUST_CHECK enum az_code az_gzip_finish(struct az_gzip *g, struct az_err *err);
AZ_API void az_gzip_close(struct az_gzip *g); /* accepts NULL */

#endif
