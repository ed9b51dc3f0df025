/* Between notify.c (who watches what) and notify_dirs.c (the directories). */
#ifndef NOTIFY_H
#define NOTIFY_H

#include <stdbool.h>
#include <stddef.h>

int notify_fd(void); /* of inotify, or -1: nothing is watched */
/* Is path root or something in it? */
bool path_below(const char *path, const char *root);
/* Watch path, with all directories below it if asked; found() hears of what is there.
   False with errno: EMFILE when they are too many. */
bool dirs_add(const char *path, bool below, bool follow, void (*found)(const char *path));
void dirs_forget(bool (*which)(const char *path, const char *arg), const char *arg);
/* The kernel has ended this watch. */
void dirs_ended(int wd);
/* The paths of a watch, one a call, *at from 0; NULL after the last. */
const char *dirs_path(int wd, size_t *at);

#endif
