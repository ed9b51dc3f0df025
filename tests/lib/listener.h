/*
 * Listens on loopback (port chosen by the kernel) and has each connection served in a
 * thread of its own: what the scripted servers stand on. libc only.
 */
#ifndef LISTENER_H
#define LISTENER_H

struct listener;

/* serve talks on fd, which is closed when it returns; it has to when stop_fd becomes
   readable. What arg points to must be complete before. */
struct listener *listener_start(void (*serve)(void *arg, int fd, int stop_fd), void *arg);
int listener_port(const struct listener *l);
int listener_connections(struct listener *l); /* that there were */
/* Waits for all that is served. */
void listener_stop(struct listener *l);

#endif
