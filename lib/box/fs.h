/* Private to fs*.c: names in a box. */
#ifndef BOX_FS_H
#define BOX_FS_H

#include "box.h"

/* E2B's EntryInfo. */
void entry_json(struct az_jw *w, const struct entry *e);
/* An AW_EVENT as a FilesystemEvent. */
enum az_code event_json(struct az_jw *w, struct aw_frame *f, struct az_err *err);

#endif
