/*
 * multipart/form-data as a push parser: bytes in, in pieces of any size, parts out.
 * Memory does not depend on what comes. The same input gives the same calls however it is
 * split (but for where data is split).
 */
#ifndef AZLON_API_MULTIPART_H
#define AZLON_API_MULTIPART_H

#include <azlon/buf.h>

#define MULTIPART_HEADER_BYTES ((size_t)8 * 1024) /* all headers of one part */
#define MULTIPART_PARTS 100
#define MULTIPART_FIELD_BYTES ((int64_t)1024 * 1024) /* a part without a file name */

struct multipart_part {
	struct az_str name;     /* of the form's field */
	struct az_str filename; /* .p NULL: a text field; the tail of a path */
	struct az_str type;     /* Content-Type, or empty */
};

struct multipart_sink {
	enum az_code (*begin)(void *arg, const struct multipart_part *p, struct az_err *err);
	enum az_code (*data)(void *arg, struct az_str bytes, struct az_err *err);
	enum az_code (*end)(void *arg, struct az_err *err);
	void *arg;
};

enum multipart_state {
	MULTIPART_PREAMBLE,
	MULTIPART_AFTER, /* right behind a boundary */
	MULTIPART_DASH,  /* one '-' seen there */
	MULTIPART_BLANK, /* blanks before its line end */
	MULTIPART_LF,    /* its CR seen */
	MULTIPART_HEADERS,
	MULTIPART_DATA,
	MULTIPART_DONE
};

struct multipart {
	struct multipart_sink sink;
	enum multipart_state state;
	char delim[4 + 70 + 1];  /* CR LF "--" boundary */
	size_t delim_n, matched; /* matched: how much of delim stands at the end */
	struct az_buf head;
	int parts;
	bool field;
	int64_t field_bytes;
};

/* The boundary of a Content-Type; AZ_ETYPE when it is not multipart/form-data,
   AZ_EINVAL without a usable boundary. */
AZ_MUST_CHECK enum az_code multipart_init(struct multipart *m, struct az_str content_type,
    const struct multipart_sink *sink, struct az_err *err);
/* AZ_EINVAL for what is malformed, AZ_ETOOBIG past a limit, or the sink's failure.
   After a failure the parser is of no more use. */
AZ_MUST_CHECK enum az_code multipart_feed(
    struct multipart *m, struct az_str bytes, struct az_err *err);
/* At the end of the body: AZ_EINVAL when the closing boundary never came. */
AZ_MUST_CHECK enum az_code multipart_finish(struct multipart *m, struct az_err *err);
void multipart_release(struct multipart *m);

#endif
