/*
 * Where a Restack engine is and what its conventions call things: settings in, one
 * struct out. Pure: no environment, no network, no clock.
 *
 * Addresses are read with leniency, because the original and people write them in many
 * ways: host, host:port, http(s)://host[:port], blanks around, a slash behind, an IPv6
 * address in brackets. What is wrong is said in a sentence that names the variable and
 * never quotes the value, which may hold a password.
 */
#ifndef AZLON_ENGINE_RESTACK_ADDR_H
#define AZLON_ENGINE_RESTACK_ADDR_H

#include <azlon/arena.h>

/* As configured; NULL or blank is unset. Borrowed. */
struct restack_settings {
	const char *engine_id;      /* RESTACK_ENGINE_ID; unset: local */
	const char *engine_address; /* gRPC; unset: localhost:7233 */
	/* The original's older meaning: when this is set it is the gRPC address, and
	   engine_address the HTTP one (unless api_address is set too). */
	const char *temporal_address;
	const char *api_key;       /* turns TLS on; also unset: "None" */
	const char *api_address;   /* HTTP side; unset: port 6233 of the engine's host */
	const char *codec_address; /* blobs; unset: beside the HTTP side */
	const char *ns;            /* namespace; unset: default */
	const char *queue;         /* task queue without the prefix; unset: restack */
	const char *ca_file;       /* a private CA */
	bool tls;                  /* TLS without a key too */
};

struct restack_addr {
	const char *host; /* of the gRPC side, without brackets */
	int port;
	bool tls;
	const char *authority; /* host:port; an IPv6 address in brackets */
	const char *api_url;   /* http(s)://host[:port][/path], no slash behind */
	const char *codec_url; /* the same */
	const char *engine_id, *ns;
	const char *queue;          /* with the prefix: "local-restack" */
	const char *api_key;        /* NULL: none */
	const char *ca_file;        /* NULL: the system's CAs */
	const char *const *headers; /* "name: value" of every gRPC call, NULL-terminated */
	struct az_arena *mem;       /* holds all of the above */
};

/*
 * AZ_EINVAL names the variable that is wrong; AZ_ENOMEM. On failure *out is zeroed. A key
 * is never sent in clear: it turns TLS on for gRPC, whatever scheme the address has, and
 * a public HTTP side must then be https.
 */
AZ_MUST_CHECK enum az_code restack_addr_init(
    struct restack_addr *out, const struct restack_settings *s, struct az_err *err);
void restack_addr_release(struct restack_addr *r); /* accepts a zeroed one */

/* "{engineId}-{id}", the prefix only if missing; NUL-terminated, NULL when out of memory. */
char *restack_addr_id(const struct restack_addr *r, struct az_arena *a, struct az_str id);
/* The inverse: id without the prefix, if it has it; borrowed from id. */
struct az_str restack_addr_local(const struct restack_addr *r, struct az_str id);
/* "{engineId}-{queue}", always prefixed: so do the SDKs. NULL when out of memory. */
char *restack_addr_queue(struct az_arena *a, struct az_str engine_id, struct az_str queue);
/* Would the SDKs speak https to this host (no port, no brackets)? Not to loopback,
   private addresses, cluster services and names without a dot. */
bool restack_addr_public(struct az_str host);

#endif
