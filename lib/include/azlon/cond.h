/*
 * Condition variables with deadlines: on a clock that nobody sets.
 */
#ifndef AZLON_COND_H
#define AZLON_COND_H

#include <pthread.h>
#include <azlon/err.h>

/* As pthread_cond_init(), for az_cond_wait(). */
AZ_API void az_cond_init(pthread_cond_t *c);
/*
 * Wait with m held until signalled, or until az_boot_ms() has reached deadline_ms (< 0:
 * no deadline). False when the deadline had passed before; else the caller looks at its
 * condition and comes again, whatever woke it.
 */
AZ_API bool az_cond_wait(pthread_cond_t *c, pthread_mutex_t *m, int64_t deadline_ms);

#endif
