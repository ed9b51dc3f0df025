/*
 * The frames between the `sandbox` process and the agent, PID 1 of a box, over one
 * stream socket pair. Both sides are on one host: integers are little endian.
 *
 *   u32 payload length (<= AW_MAX) | u32 id | u8 type | payload
 *
 * Ids name an exchange. The server picks ids below AW_NET; the agent picks ids from
 * AW_NET up, for connections that programs in the box ask for (NET_OPEN). Those that the
 * server dials to a port of a program go by its own ids. Text is u32 length and
 * bytes. Nothing here may be trusted by the server: the agent's neighbours are hostile.
 *
 * Flow control: whoever receives bulk bytes grants credit in bytes first (process
 * output, file reads, events of a watch, stdin, both directions of a connection). A sender
 * without credit waits; so no side ever buffers more than a window per exchange.
 */
#ifndef AGENT_WIRE_H
#define AGENT_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AW_VERSION 1u
#define AW_HEAD 9u
#define AW_MAX (256u * 1024u)
#define AW_NET 0x80000000u
#define AW_CHUNK (32u * 1024u) /* bulk bytes in one frame */
#define AW_STDIN_WINDOW (256u * 1024u)
#define AW_NET_WINDOW (256u * 1024u)
#define AW_META_KEY 246u    /* a key of metadata, of an xattr's 255 with its prefix */
#define AW_META_BYTES 4096u /* keys and values of a file */
#define AW_META_MAX 256u
#define AW_PROXY_PORT 3128 /* on the box's own loopback */

enum aw_type {
	/* server -> agent */
	AW_START = 1, /* u8 flags, u16 cols, u16 rows, u32 nproc, str cwd,
			 u32 argc, str…, u32 envc, str… -> STARTED or FAIL,
			 then OUT…, EXIT */
	AW_STDIN,     /* bytes -> CREDIT as they are consumed */
	AW_STDIN_END,
	AW_SIGNAL,   /* u32 signal, to the whole tree */
	AW_RESIZE,   /* u16 cols, u16 rows */
	AW_GRANT,    /* u32 bytes more may be sent on this id */
	AW_KILL_ALL, /* -> OK */
	AW_STAT,     /* str path -> ENTRY, OK */
	AW_LIST,     /* str path, u32 depth -> ENTRY…, OK */
	AW_MKDIR,    /* str path -> ENTRY, OK */
	AW_MOVE,     /* str from, str to -> ENTRY, OK */
	AW_REMOVE,   /* str path, str keep: unless both are one file -> OK */
	AW_READ,     /* str path -> ENTRY, DATA…, OK; wants GRANT */
	AW_WRITE,    /* str path, metadata -> OK (str path, resolved) when open; then
			BYTES…, COMMIT -> ENTRY, OK */
	AW_BYTES,    /* bytes of a write */
	AW_COMMIT,
	AW_ABORT,      /* give up a read, a write or a watch; no answer */
	AW_PROXY,      /* listen on AW_PROXY_PORT -> OK */
	AW_NET_OPENED, /* u8 ok, str why; from the agent in answer to a DIAL */
	AW_NET_BYTES,  /* to the program */
	AW_NET_END,    /* no more bytes that way */
	AW_NET_CLOSE,
	AW_USAGE,  /* -> USED */
	AW_FREEZE, /* u8 on: everybody stops, or goes on -> OK */
	AW_SEEK,   /* u64 offset: where a read begins; before its first GRANT */
	AW_WATCH,  /* u8 flags, str path -> OK; then EVENT… as far as GRANTed, until
		      FAIL (events were lost) or ABORT */
	AW_DIAL,   /* u16 port that a program listens on -> NET_OPENED, then as below */
	/* agent -> server */
	AW_HELLO = 64, /* u32 version, u32 environment entries, u32 stray fds */
	AW_STARTED,    /* u32 pid */
	AW_OUT,        /* u8 stream (1, 2, 3 = pty), bytes */
	AW_CREDIT,     /* u32 bytes of stdin or of the connection were consumed */
	AW_EXIT,       /* u8 signalled, u32 code or signal, u32 tasks alive then */
	AW_FAIL,       /* u8 enum aw_fail, str text: ends the exchange */
	AW_OK,         /* ends the exchange (or opens a write) */
	AW_ENTRY,      /* see aw_entry */
	AW_DATA,       /* bytes of a file */
	AW_NET_OPEN,   /* u16 port, str host */
	AW_USED,       /* u64 CPU us, u64 bytes of memory, u64 bytes used at home */
	AW_EVENT,      /* u8 enum aw_event, str name, then nothing or an entry; what
			  takes the last of the credit may be longer than it */
};

enum aw_fail {
	AF_INVAL = 1,
	AF_NOTFOUND,
	AF_EXISTS,
	AF_PERM,
	AF_SPACE,
	AF_NOTDIR,
	AF_ISDIR,
	AF_LOOP,
	AF_LIMIT,
	AF_IO,
	AF_UNSUPPORTED
};

enum aw_event { AE_CREATE = 1, AE_WRITE, AE_REMOVE, AE_RENAME, AE_CHMOD };

#define AW_FLAG_STDIN 1u
#define AW_FLAG_PTY 2u
#define AW_WATCH_RECURSIVE 1u
#define AW_WATCH_ENTRY 2u /* with what the name now stands for */

/* u8 kind, u8 link, u32 mode, u32 uid, u32 gid, u64 size, u64 mtime ns, str path,
   str link target, metadata: u32 count, then str key, str value of each */
enum aw_kind { AK_OTHER, AK_FILE, AK_DIR };

/* A bounds-checked cursor: after the first short read everything is zero and bad. */
struct aw_rd {
	const unsigned char *p;
	size_t n;
	bool bad;
};

static inline const unsigned char *
aw_take(struct aw_rd *r, size_t n)
{
	const unsigned char *p = r->p;

	if (r->bad || r->n < n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static inline uint64_t
aw_uint(struct aw_rd *r, size_t bytes)
{
	const unsigned char *p = aw_take(r, bytes);
	uint64_t v = 0;

	for (size_t i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static inline uint8_t
aw_u8(struct aw_rd *r)
{
	return (uint8_t)aw_uint(r, 1);
}

static inline uint16_t
aw_u16(struct aw_rd *r)
{
	return (uint16_t)aw_uint(r, 2);
}

static inline uint32_t
aw_u32(struct aw_rd *r)
{
	return (uint32_t)aw_uint(r, 4);
}

static inline uint64_t
aw_u64(struct aw_rd *r)
{
	return aw_uint(r, 8);
}

/* The bytes of a text, not terminated; "" of length 0 when cut. */
static inline const char *
aw_text(struct aw_rd *r, size_t *n)
{
	size_t want = aw_u32(r);
	const unsigned char *p = aw_take(r, want);

	*n = p ? want : 0;
	return p ? (const char *)p : "";
}

static inline void
aw_store(unsigned char *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

static inline void
aw_head(unsigned char out[AW_HEAD], uint32_t len, uint32_t id, enum aw_type type)
{
	aw_store(out, len, 4);
	aw_store(out + 4, id, 4);
	out[8] = (unsigned char)type;
}

struct aw_frame {
	uint32_t id;
	uint8_t type;
	struct aw_rd body;
};

/* One frame from the front of p. 1: *f and *used set; 0: more bytes needed; -1: the
   peer broke the protocol. */
static inline int
aw_next(const unsigned char *p, size_t n, struct aw_frame *f, size_t *used)
{
	struct aw_rd r = {p, n, false};
	uint32_t len;

	if (n < 4)
		return 0;
	len = aw_u32(&r);
	if (len > AW_MAX)
		return -1;
	if (n < AW_HEAD + (size_t)len)
		return 0;
	f->id = aw_u32(&r);
	f->type = aw_u8(&r);
	f->body = (struct aw_rd){r.p, len, false};
	*used = AW_HEAD + len;
	return 1;
}

#endif
