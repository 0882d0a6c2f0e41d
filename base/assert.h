/* Assertions that stay on in release builds.
 *
 * They are for our own bugs only. Bytes from disk, peers or clients never
 * reach an assertion unchecked: those get an error code (STYLE 8). */
#ifndef HF_BASE_ASSERT_H
#define HF_BASE_ASSERT_H

/* Print what failed and where, then abort(): a node that has found itself
 * wrong must not go on voting and acknowledging. */
_Noreturn void hf_assert_fail(const char *expr, const char *file, int line);

#define hf_assert(expr) \
    ((expr) ? (void)0 : hf_assert_fail(#expr, __FILE__, __LINE__))

/* From a pointer to @member back to the struct that holds it. */
#define HF_CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
