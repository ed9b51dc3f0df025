/*
 * Time and randomness. The only places that read a clock or the kernel's random
 * source. Wall time is for display and deadlines of people; durations and leases
 * use the boot clock, which no one can set.
 */
#ifndef AZLON_CLOCK_H
#define AZLON_CLOCK_H

#include <azlon/buf.h>

/* Unix time, ms. */
AZ_API int64_t az_wall_ms(void);
/* CLOCK_BOOTTIME, ms; comparable between processes of one boot. */
AZ_API int64_t az_boot_ms(void);
AZ_API int64_t az_boot_us(void);
/* Identity of this boot (text of 36 bytes, static, never empty). */
AZ_API const char *az_boot_id(void);
/* "2026-01-31T12:00:00.123Z" appended to b. */
AZ_API void az_rfc3339(struct az_buf *b, int64_t wall_ms);
/* The inverse (UTC 'Z' or an offset, up to 9 decimals); false if malformed. */
AZ_API AZ_MUST_CHECK bool az_rfc3339_parse(struct az_str s, int64_t *wall_ms);

/* n bytes from the kernel; never fails once the system has booted. */
AZ_API void az_random(void *p, size_t n);
/* n characters of lower-case base32 (a-z2-7), 5 random bits each, appended. */
AZ_API void az_random_id(struct az_buf *b, size_t n);
/* Uniform in [0, below). */
AZ_API uint64_t az_random_below(uint64_t below);

#endif
