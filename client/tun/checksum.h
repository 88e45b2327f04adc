/* checksum: the Internet checksum (RFC 1071), eight bytes at a time. Sums are unfolded and in memory order: what
 * csum_fold gives is stored with memcpy as it is. */
#pragma once

#include "common/base/bytes.h"

/* Adds n bytes that begin at an even offset of what is summed. */
uint64_t csum_add(uint64_t sum, const uint8_t *p, size_t n);
/* The same, and copies them to dst on the way. */
uint64_t csum_copy(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t n);
uint16_t csum_fold(uint64_t sum);

/* The sum of the pseudo header: addresses (4 + 4 or 16 + 16 bytes as they lie in the header), length, protocol. */
uint64_t csum_pseudo(const uint8_t *addresses, size_t n, uint32_t len, uint8_t protocol);
