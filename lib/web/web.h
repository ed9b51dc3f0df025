/*
 * Inside the web room. libfcgi's request stands only here and in loop.c, conn.c, input.c
 * and answer.c. Everything in a struct az_rq lives until its handler returned.
 */
#ifndef AZLON_WEB_ROOM_H
#define AZLON_WEB_ROOM_H

#include <pthread.h>
#include <stdatomic.h>
#include <fcgiapp.h>
#include <azlon/web.h>

#define WEB_PARAMS_MAX 8
#define WEB_QUERY_MAX 64
#define WEB_HEAD_BYTES ((size_t)32 * 1024)
#define WEB_BEGUN_BYTES ((size_t)8 * 1024)

struct web_pair {
	struct az_str name, value;
};

enum web_state {
	WEB_HEAD,  /* nothing has left yet */
	WEB_BODY,  /* status and headers are on their way */
	WEB_BROKEN /* connection broken off, or the client is gone */
};

struct web_count {
	atomic_int_least64_t by_class[6], took[AZ_WEB_BOUNDS + 1], us;
};

struct web_server {
	const struct az_web *w;
	int max_threads, processors;
	int stop_fd;  /* eventfd, readable once a stop was asked */
	int watch_fd; /* eventfd, readable when the watch is to tick */
	atomic_bool stopping;
	atomic_int_least64_t late_until; /* then: who had connected is accepted until */
	atomic_int serving;              /* requests under way */
	atomic_bool failed;              /* the listening socket is unusable */
	struct web_count *counts;        /* one for each route, and one for none */
	size_t n_counts;
	pthread_mutex_t mu;         /* all that follows */
	pthread_cond_t gone;        /* a thread ended */
	struct web_thread *leader;  /* polls and accepts, or carries the lead; or NULL */
	bool carried;               /* the leader serves a request meanwhile */
	bool watched;               /* the watch ticks */
	int quiet;                  /* its ticks without news */
	uint64_t turns, turns_seen; /* requests begun by who carried the lead */
	struct web_thread *idle;    /* the last to go idle is the first to lead */
	struct web_thread **all;
	int n_threads, n_alive;
};

struct az_rq {
	struct web_server *srv;
	FCGX_Request *f;
	struct az_arena *arena;
	struct az_str method, path, query_string, id;
	const struct az_route *route; /* or NULL */
	char id_text[65];
	struct web_pair query[WEB_QUERY_MAX];
	size_t n_query;
	struct web_pair param[WEB_PARAMS_MAX];
	size_t n_param;
	int64_t body_bytes; /* declared, or -1 */
	int64_t body_seen;
	bool body_open; /* az_rq_read_some() has not met its end */
	/* the answer */
	enum web_state state;
	int status;
	bool is_head;        /* HEAD: the body is dropped */
	bool head_bad;       /* a header was refused: the answer becomes a 500 */
	struct az_buf head;  /* header lines */
	struct az_buf begun; /* the answer's first bytes, kept while it can still be another */
	bool out;            /* they went out */
	int64_t sent;        /* body bytes */
};

struct web_thread {
	struct web_server *s;
	pthread_t id;
	pthread_cond_t wake;
	struct web_thread *next_idle;
	bool busy; /* f holds a connection with a request */
	FCGX_Request f;
	struct az_rq rq;
};

/* lead.c: who accepts. README.md has the design. */
/* Become the leader, when another one is after waiting for it; false when told to stop. */
bool web_lead_take(struct web_thread *t);
/* t serves and will not lead meanwhile: if nobody else does, the thread that went idle
   last shall, or a new one. */
void web_lead_pass(struct web_thread *t);
/* t serves what should be short: if nobody else leads, it keeps the lead meanwhile. */
void web_lead_carry(struct web_thread *t);
/* A tick of the watch: take the lead from who carries it for too long. ms until the next
   tick, or -1: not before watch_fd says so. */
int web_lead_watch(struct web_server *s);
/* loop.c: one thread more, told in *out; none, and AZ_OK, when there are max_threads.
   s->mu held */
AZ_MUST_CHECK enum az_code web_thread_add(struct web_server *s, struct web_thread **out);

/* conn.c */
void web_conn_init(FCGX_Request *f);
/* Before the first accept. The flag that keeps accept() from waiting is shared with whoever else
   has the socket, and systemd takes it away when it starts another process on it; the most that
   accept() then waits is the socket's own. False and errno. */
AZ_MUST_CHECK bool web_conn_listen(int fd);
/* A connection or -1 and errno. */
int web_conn_accept(int listen_fd);
/* Read the parameters from fd, which f owns from here on; false if there is no request. */
bool web_conn_open(FCGX_Request *f, int fd);
/* Is nothing left unread? Does not wait for a body that the handler did not want. */
bool web_conn_read_whole(struct az_rq *rq);
/* whole: as said by the one above */
void web_conn_close(FCGX_Request *f, bool whole);

/* input.c: fill method, path, query, id from the parameters; AZ_EINVAL when what
   nginx passed cannot be a request of ours. */
AZ_MUST_CHECK enum az_code web_rq_open(struct az_rq *rq, struct az_err *err);

/* query.c: decode into pairs; text goes to the arena. AZ_EINVAL for a bad escape or
   a NUL, AZ_ETOOBIG past max pairs. */
AZ_MUST_CHECK enum az_code web_query_parse(struct az_str qs, struct az_arena *a,
    struct web_pair *out, size_t max, size_t *n, struct az_err *err);

/* route.c */
AZ_MUST_CHECK enum az_code web_path_ok(struct az_str path, struct az_err *err);
bool web_pattern_match(const char *pattern, struct az_str path, struct web_pair *param, size_t *n);
/* Is method one of these? HEAD goes wherever GET goes. */
bool web_methods_have(const char *methods, struct az_str method);
/* The route, or NULL with err AZ_ENOTFOUND, or AZ_EMETHOD and *allow filled. */
const struct az_route *web_route_find(const struct az_route *routes, struct az_str method,
    struct az_str path, struct web_pair *param, size_t *n, struct az_buf *allow,
    struct az_err *err);

/* answer.c */
void web_answer_reset(struct az_rq *rq);
/* Nothing of the answer went out: it can still become another one. */
bool web_answer_open(const struct az_rq *rq);
/* What was kept of it goes out. */
AZ_MUST_CHECK enum az_code web_answer_out(struct az_rq *rq, struct az_err *err);
bool web_header_set(const struct az_rq *rq, const char *name);
AZ_MUST_CHECK enum az_code web_head_send(struct az_rq *rq, struct az_err *err);
const char *web_reason(int status);

/* count.c */
AZ_MUST_CHECK bool web_counts_open(struct web_server *s);
/* rq has ended and took us. */
void web_count(struct az_rq *rq, int64_t us);

/* serve.c: route, handle, answer, log one request. */
void web_serve(struct az_rq *rq);

#endif
