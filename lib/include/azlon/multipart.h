/*
 * multipart/form-data as a push parser: bytes in, in pieces of any size, parts out.
 * Memory does not depend on what comes. The same input gives the same calls however it is
 * split (but for where data is split).
 */
#ifndef AZLON_MULTIPART_H
#define AZLON_MULTIPART_H

#include <azlon/buf.h>

#define AZ_MULTIPART_HEADER_BYTES ((size_t)8 * 1024) /* all headers of one part */
#define AZ_MULTIPART_PARTS 100
#define AZ_MULTIPART_FIELD_BYTES ((int64_t)1024 * 1024) /* a part without a file name */

struct az_multipart_part {
	struct az_str name;     /* of the form's field */
	struct az_str filename; /* .p NULL: a text field; as sent: may be a path */
	struct az_str type;     /* Content-Type, or empty */
};

struct az_multipart_sink {
	enum az_code (*begin)(void *arg, const struct az_multipart_part *p, struct az_err *err);
	enum az_code (*data)(void *arg, struct az_str bytes, struct az_err *err);
	enum az_code (*end)(void *arg, struct az_err *err);
	void *arg;
};

enum az_multipart_state {
	AZ_MULTIPART_PREAMBLE,
	AZ_MULTIPART_AFTER, /* right behind a boundary */
	AZ_MULTIPART_DASH,  /* one '-' seen there */
	AZ_MULTIPART_BLANK, /* blanks before its line end */
	AZ_MULTIPART_LF,    /* its CR seen */
	AZ_MULTIPART_HEADERS,
	AZ_MULTIPART_DATA,
	AZ_MULTIPART_DONE
};

struct az_multipart { /* the parser's own */
	struct az_multipart_sink sink;
	enum az_multipart_state state;
	char delim[4 + 70 + 1];  /* CR LF "--" boundary */
	size_t delim_n, matched; /* matched: how much of delim stands at the end */
	struct az_buf head;
	int parts, max_parts; /* AZ_MULTIPART_PARTS unless changed after the init */
	bool field;
	int64_t field_bytes;
};

/* The boundary of a Content-Type; AZ_ETYPE when it is not multipart/form-data,
   AZ_EINVAL without a usable boundary. */
AZ_API AZ_MUST_CHECK enum az_code az_multipart_init(struct az_multipart *m,
    struct az_str content_type, const struct az_multipart_sink *sink, struct az_err *err);
/* AZ_EINVAL for what is malformed, AZ_ETOOBIG past a limit, or the sink's failure.
   After a failure the parser is of no more use. */
AZ_API AZ_MUST_CHECK enum az_code az_multipart_feed(
    struct az_multipart *m, struct az_str bytes, struct az_err *err);
/* At the end of the body: AZ_EINVAL when the closing boundary never came. */
AZ_API AZ_MUST_CHECK enum az_code az_multipart_finish(struct az_multipart *m, struct az_err *err);
AZ_API void az_multipart_release(struct az_multipart *m);

#endif
