/* The head of a request to a port of a program, as nginx sends it on. Pure. */
#ifndef BOX_PORT_HEAD_H
#define BOX_PORT_HEAD_H

#include <azlon/buf.h>
#include <azlon/limits.h>

#define PORT_HEAD_MAX AZ_KIB(64) /* more than nginx lets through */

struct port_head {
	struct az_str host, token; /* views; the token may be empty */
};

/* The length of a head with its blank line, or 0 when it is not all there. */
size_t port_head_end(struct az_str in);
/* False when it is malformed: no Host, several, several tokens, a line that is folded. */
bool port_head_read(struct az_str head, struct port_head *out);
/* The same head for a program: without the token, Host as mask says ("" as it came;
   "${PORT}" in it stands for port). */
void port_head_write(struct az_buf *b, struct az_str head, struct az_str mask, int port);
/* "<port>-<id>.<domain>", without regard to case: false for any other host. */
bool port_host(struct az_str host, struct az_str domain, int *port, struct az_str *id);
/* Can it be a mask: a host, a port, "${PORT}"? */
bool port_mask_ok(struct az_str mask);

#endif
