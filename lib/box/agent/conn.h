/* A connection between a program of the box and the server: bytes change hands. */
#ifndef AGENT_CONN_H
#define AGENT_CONN_H

#include "agent.h"

#define CONN_IN (64u * 1024u)
#define CONN_SPARE 512u /* what the proxy may say, beyond a window */

/* DIALLED: by us to a program, not connected yet; HEAD: a wish of a program is read */
enum stage { FREE, DIALLED, HEAD, ASKED, OPEN };
struct conn {
	enum stage stage;
	uint32_t id, credit; /* what we may still send to the server */
	int fd, at;          /* its place in the poll set */
	int port;            /* dialled */
	bool v6;
	bool tunnel;          /* CONNECT: answer 200 ourselves */
	bool told;            /* the server knows that the program's bytes ended */
	bool in_end, out_end; /* program -> server ended; server -> program ended */
	unsigned char *in;    /* from the program, CONN_IN */
	size_t in_n;
	unsigned char *out; /* to the program, AW_NET_WINDOW + CONN_SPARE */
	size_t out_n, out_at;
};

/* Takes fd, closes it without room: NULL. Of n places, from the first on. */
struct conn *conn_new(int fd, enum stage stage, size_t first, size_t n);
void conn_drop(struct conn *c, bool tell);

/* ---- proxy.c: connections that programs ask for ---- */
/* Once more of the head is there. */
void proxy_head(struct conn *c);
/* The server's answer to its wish. */
void proxy_opened(struct conn *c, bool ok, const char *why);
void proxy_watch(bool room);
void proxy_ready(void);

#endif
