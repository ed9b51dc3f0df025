/*
 * The other side of a FastCGI process, as nginx would be: connects to a unix
 * socket, sends one request, reads the answer. libc only.
 */
#ifndef FCGI_PEER_H
#define FCGI_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct fcgi_req {
	const char *method; /* NULL = GET */
	const char *path;   /* DOCUMENT_URI */
	const char *query;
	const char *const *params; /* "NAME=value", …, NULL; or NULL */
	const char *body;
	size_t body_n;
	long content_length; /* 0 = body_n when there is a body; -1 = none */
};

struct fcgi_resp {
	int status; /* from the Status header, 200 without one, 0 if none came */
	char *head; /* header lines, NUL-terminated */
	char *body; /* NUL-terminated */
	size_t body_n;
	bool ended;     /* END_REQUEST was seen */
	bool junk;      /* a record nginx would refuse was seen */
	bool on_stderr; /* something came on the FastCGI stderr stream */
};

/* A listening unix socket in a fresh temporary directory; -1 on failure. */
int fcgi_peer_listen(char dir[64], char path[108]);
void fcgi_peer_unlisten(int fd, const char *dir, const char *path);

int fcgi_peer_connect(const char *path);
/* Begin, parameters, stdin. end_stdin false leaves the body open. */
bool fcgi_peer_send(int fd, const struct fcgi_req *q, bool end_stdin);
/* n = 0: its end. */
bool fcgi_peer_stdin(int fd, const void *p, size_t n);
/* Read until END_REQUEST or end of file; release r afterwards. */
bool fcgi_peer_read(int fd, struct fcgi_resp *r);
/* Read until the body so far contains needle; true if it did. Call repeatedly with the
   same r, which starts zeroed. */
bool fcgi_peer_read_until(int fd, struct fcgi_resp *r, const char *needle);
/* All of it; false when the peer could not be reached. */
bool fcgi_peer_call(const char *path, const struct fcgi_req *q, struct fcgi_resp *r);
void fcgi_peer_release(struct fcgi_resp *r);
/* Value of a header of the answer, copied into out; NULL if absent. */
const char *fcgi_peer_header(const struct fcgi_resp *r, const char *name, char *out, size_t n);

#endif
