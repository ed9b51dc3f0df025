/*
 * The beginning and the end of something long: logs for prompts, heartbeats, events.
 *
 * struct az_tail collects a stream in bounded memory: its first H and last T bytes and
 * how many there were. az_tail_render() makes text fit for a prompt: no escape
 * sequences, no overwritten progress lines, repeats counted, valid UTF-8, and a mark
 * where something was left out.
 */
#ifndef AZ_WORK_TAIL_H
#define AZ_WORK_TAIL_H

#include <azlon/buf.h>
#include <azlon/limits.h>

/* What facts of other agents suggest for a prompt. */
#define AZ_TAIL_HEAD_BYTES AZ_KIB(4)
#define AZ_TAIL_TAIL_BYTES AZ_KIB(12)

struct az_tail {
	char *head, *ring;
	size_t head_max, head_n;
	size_t ring_max, ring_n, ring_at; /* ring_at: where the next byte goes */
	int64_t total;                    /* bytes seen */
};

/* Either size may be 0. Release in any case. */
AZ_MUST_CHECK enum az_code az_tail_init(
    struct az_tail *t, size_t head, size_t tail, struct az_err *err);
void az_tail_release(struct az_tail *t);
void az_tail_reset(struct az_tail *t);
void az_tail_add(struct az_tail *t, struct az_str chunk);
/* Bytes that were let go. */
int64_t az_tail_lost(const struct az_tail *t);
/* What was kept, as it came; a mark stands where bytes were lost. */
void az_tail_raw(const struct az_tail *t, struct az_buf *out);
/* The last n bytes or fewer of what was kept, as it came, whole characters. */
void az_tail_last(const struct az_tail *t, size_t n, struct az_buf *out);
/* As az_tail_render() of the whole stream, as far as it was kept. */
void az_tail_show(const struct az_tail *t, struct az_buf *out, size_t head, size_t tail);

/*
 * Append text cleaned, cut to head bytes of its beginning and tail bytes of its end
 * (plus the mark between them, under 80 bytes). Any bytes; linear time.
 */
void az_tail_render(struct az_buf *out, struct az_str text, size_t head, size_t tail);

#endif
