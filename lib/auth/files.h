/*
 * Private to the room: small files of the state directory that several processes read and
 * that are replaced whole.
 */
#ifndef AZ_AUTH_FILES_H
#define AZ_AUTH_FILES_H

#include <sys/stat.h>
#include <azlon/buf.h>

/* Append the file to b; st (may be NULL) is of what was read. AZ_ENOTFOUND when there is none,
   AZ_EPERM when others than its owner may write it. */
AZ_MUST_CHECK enum az_code auth_file_read(
    const char *path, size_t max, struct az_buf *b, struct stat *st, struct az_err *err);
/* Through a temporary name and rename, mode 0640. On disk when this returns. */
AZ_MUST_CHECK enum az_code auth_file_write(
    const char *path, struct az_str text, struct az_err *err);
/* Open and lock a file that is only a lock, waiting while *stop (may be NULL) is unset;
   close() unlocks. -1 with errno. */
int auth_file_lock(const char *path, bool (*stop)(void *), void *arg);

#endif
