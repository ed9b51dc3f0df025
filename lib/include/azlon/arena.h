/*
 * Arena: scratch memory that dies together (a request, one function call), with
 * closers run in reverse order. One thread at a time.
 */
#ifndef AZLON_ARENA_H
#define AZLON_ARENA_H

#include <azlon/buf.h>

struct az_arena;

/* NULL when out of memory. max_bytes bounds all allocations together. */
AZ_API struct az_arena *az_arena_new(size_t max_bytes);
/* Runs the closers, frees everything; accepts NULL. */
AZ_API void az_arena_free(struct az_arena *a);
/* As free, but keeps the first block for reuse. */
AZ_API void az_arena_reset(struct az_arena *a);
/* Zeroed, aligned for any type; NULL past the ceiling or when out of memory. */
AZ_API void *az_arena_alloc(struct az_arena *a, size_t n);
/* Was anything refused because of the ceiling? Else a NULL meant no memory. */
AZ_API bool az_arena_full(const struct az_arena *a);
/* Copy of s, NUL-terminated; .p is NULL on failure. */
AZ_API struct az_str az_arena_str(struct az_arena *a, struct az_str s);
AZ_API char *az_arena_cstr(struct az_arena *a, struct az_str s);
AZ_API char *az_arena_printf(struct az_arena *a, const char *fmt, ...) AZ_PRINTF(2, 3);
/* Run fn(arg) when the arena is freed or reset; false when out of memory (then
   fn was already run). */
AZ_API bool az_arena_defer(struct az_arena *a, void (*fn)(void *), void *arg);

#endif
