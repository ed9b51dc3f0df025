/*
 * sandbox-agent: PID 1 inside a box. One thread, one poll loop over the socket to the
 * server, children, files under way and proxy connections. It runs with the rights of
 * the code it starts and keeps no secret; what it must keep is its own integrity, so
 * nothing here follows a magic link of /proc.
 */
#ifndef AGENT_H
#define AGENT_H

#include "../agent_wire.h"

#define AG_HOME "/home/user"
#define AG_USER 1000 /* programs, and all files */
#define AG_UID 1001  /* ours, where there are two */
#define AG_GID 1001
#define AG_PATH 4096
#define AG_PROCS 128
#define AG_FILES 64
#define AG_CONNS 64                /* of each kind */
#define AG_OUT_SOFT (512u * 1024u) /* above it nobody produces more */
#define AG_OUT_HARD (24u * 1024u * 1024u)
#define AG_LIST_MAX 20000
/* Names of files under way. A watch takes such a file's rename for the write that it is,
   onto a file that was there or was not. */
#define AG_TEMP ".azlon-"
#define AG_TEMP_OLD ".part"
#define AG_TEMP_NEW ".new.part"
#define AG_ENTRY_SIZE 14 /* where the size stands in it */
#define AG_ENTRY (34 + 2 * (4 + AG_PATH) + 4 + AW_META_BYTES + 8 * AW_META_MAX)

/* ---- main.c: frames out, poll set ---- */
void out_frame(uint32_t id, enum aw_type type, const void *p, size_t n);
/* a frame in two parts: a short head and bulk bytes */
void out_frame2(uint32_t id, enum aw_type type, const void *a, size_t an, const void *b, size_t bn);
void out_u32(uint32_t id, enum aw_type type, uint32_t v);
bool out_room(void);
void fail(uint32_t id, enum aw_fail kind, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* fail() with a kind that fits errno */
void fail_errno(uint32_t id, const char *what);
/* the server broke the protocol: nothing sane can follow */
void broken(void) __attribute__((noreturn));
int64_t now_ms(void);
/* add to this round's poll set; the index is for fired() */
int watch(int fd, short events);
short fired(int index);

/* ---- user.c ---- */
/* At the start: become the agent. In a child that is about to exec: become the user. */
bool user_pair(void);
bool user_drop(void);
/* Before that: when memory ends, this child goes before the agent or bwrap's monitor. */
void user_goes_first(void);

/* ---- path.c ---- */
/* Absolute and lexically clean from what a client named; false after fail(). */
bool path_resolve(uint32_t id, struct aw_rd *r, char out[AG_PATH]);
int open_safe(const char *path, int flags);
int make_parents(const char *path);
int make_path(const char *path);

/* ---- proc.c, tree.c ---- */
void proc_start(uint32_t id, struct aw_rd *r);
void proc_stdin(uint32_t id, struct aw_rd *r);
void proc_stdin_end(uint32_t id);
void proc_signal(uint32_t id, struct aw_rd *r);
void proc_resize(uint32_t id, struct aw_rd *r);
bool proc_grant(uint32_t id, uint32_t n);
void proc_reap(void);
void proc_watch(void);
void proc_ready(void);
int proc_timeout_ms(void);
/* Signal pid, its group, its session and all descendants. */
void tree_signal(int pid, int sig);
/* Tasks of the box, threads counted. */
uint32_t tree_count(void);
/* Everybody stops, or goes on; who had been stopped before stays so. */
void tree_freeze(bool on);
/* -> USED */
void usage_send(uint32_t id);

/* ---- meta.c: metadata of a file, its extended attributes user.e2b.* ---- */
/* What r says into the file that is being made; false after fail(). */
bool meta_write(uint32_t id, int fd, struct aw_rd *r);
/* As in an AW_ENTRY; the bytes used. */
size_t meta_pack(unsigned char *b, const char *path);

/* ---- files.c, entry.c ---- */
void file_read(uint32_t id, struct aw_rd *r);
void file_write(uint32_t id, struct aw_rd *r);
void file_bytes(uint32_t id, struct aw_rd *r);
void file_commit(uint32_t id);
void file_seek(uint32_t id, struct aw_rd *r);
bool file_abort(uint32_t id);
bool file_grant(uint32_t id, uint32_t n);
bool file_pending(void); /* a read could go on now */
void file_ready(void);
void entry_stat(uint32_t id, struct aw_rd *r);
void entry_list(uint32_t id, struct aw_rd *r);
void entry_mkdir(uint32_t id, struct aw_rd *r);
void entry_move(uint32_t id, struct aw_rd *r);
void entry_remove(uint32_t id, struct aw_rd *r);
/* The payload of an AW_ENTRY in b of AG_ENTRY bytes; 0 when path is not there. */
size_t entry_pack(unsigned char *b, const char *path);
/* false when path is not there */
bool entry_send(uint32_t id, const char *path);

/* ---- notify.c, notify_dirs.c ---- */
void notify_open(uint32_t id, struct aw_rd *r);
bool notify_close(uint32_t id);
bool notify_grant(uint32_t id, uint32_t n);
void notify_watch(void);
void notify_ready(void);

/* ---- conn.c, proxy.c ---- */
void proxy_listen(uint32_t id);
/* To a port that a program of the box listens on -> NET_OPENED */
void conn_dial(uint32_t id, struct aw_rd *r);
void conn_frame(const struct aw_frame *f);
bool conn_grant(uint32_t id, uint32_t n);
void conn_watch(void);
void conn_ready(void);

/* ---- canary.c ---- */
int canary(int argc, char **argv);

#endif
