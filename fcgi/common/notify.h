/*
 * Telling systemd (Type=notify) that a process serves, so that `systemctl restart` waits for that
 * and fails with who does not come to it. Elsewhere nobody asks and nothing is done.
 */
#ifndef AZLON_FCGI_NOTIFY_H
#define AZLON_FCGI_NOTIFY_H

/* Remember NOTIFY_SOCKET and take it out of the environment: programs that are started later
   are not to speak for us. Before there are threads. */
void notify_begin(void);
void notify_ready(void);

#endif
