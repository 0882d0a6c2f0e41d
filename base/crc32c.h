/* CRC-32C (Castagnoli), RFC 3720 appendix B.4; reflected, as in iSCSI, ext4.
 * Uses the SSE4.2 or ARMv8 instruction where the processor has it. */
#ifndef HF_BASE_CRC32C_H
#define HF_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of @n bytes at @p, continuing @crc (0 to start). */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

#endif
