/*
 * Connections of a box with the outside: those that its programs ask for through the
 * agent's proxy (net_open.c), and those from outside to a port that a program listens
 * on (ports.c). net.c carries the bytes, on the box's thread. net_…() and conns: with
 * b->mu held.
 */
#ifndef BOX_NET_H
#define BOX_NET_H

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include "box.h"

#define CONNS_MAX 32 /* that a program asked for, at once */
#define DIALS_MAX 64 /* to ports of programs, at once: what an agent has room for */

struct conn {
	struct conn *next;
	uint32_t id;
	int fd, at;            /* -1 while resolving; place in the poll set */
	bool dialled;          /* by us to a program */
	bool answered, failed; /* by the connecting thread, or by the agent */
	bool refused;          /* dialled in vain: the answer is out, fd is emptied */
	int port;              /* dialled */
	char why[96];
	bool up_end, up_shut, down_end;
	struct az_buf up;   /* from the program, not yet sent on */
	struct az_buf head; /* dialled: read before, goes first */
	uint32_t credit;    /* what the agent still takes */
};

bool net_frame(struct box *b, struct aw_frame *f);
/* Poll set of the connections: at most room entries are added. */
size_t net_watch(struct box *b, struct pollfd *v, size_t room);
void net_ready(struct box *b, const struct pollfd *v, size_t n);
void net_close_all(struct box *b);
/* Change the policy; allow is a JSON array of domains or NULL. With b->mu held. */
enum az_code net_policy(
    struct box *b, bool internet, const struct az_json *allow, struct az_err *err);

/* ---- ports.c: a socket at path ("" or NULL: none), where nginx asks for ports of programs ---- */
enum az_code ports_open(struct az_box_server *s, const char *path, struct az_err *err);
void ports_close(struct az_box_server *s); /* s->stopping is set */
/* What a create says of them: open to everybody, and what Host programs hear. */
enum az_code ports_wish(
    const struct az_json *net, bool *open, struct az_str *mask, struct az_err *err);

/* ---- vet.c ---- */
bool vet_public(const struct sockaddr *sa, int port);
bool vet_domain(struct az_str host, char *const *allow, size_t n);
bool vet_domain_ok(struct az_str pattern);

/* ---- among these files ---- */
struct conn *net_conn_add(struct box *b, uint32_t id, int fd);
struct conn *net_conn_by_id(struct box *b, uint32_t id);
void net_conn_free(struct box *b, struct conn *c);
/* Tells the agent. */
void net_conn_close(struct box *b, struct conn *c);
/* The agent's wish is granted or not. */
void net_conn_opened(struct box *b, uint32_t id, bool ok, const char *why);
void net_open(struct box *b, uint32_t id, const char *host, int port);
/* Have the agent connect to port and carry bytes between that and fd, head before all of
   them. Takes fd, and leaves head empty, when AZ_OK; AZ_EQUOTA: too many. */
enum az_code net_dial(struct box *b, int fd, int port, struct az_buf *head, struct az_err *err);
/* fd hears that the sandbox runs and the port is not open. */
void port_closed(const struct box *b, int fd, int port, const char *why);

#endif
