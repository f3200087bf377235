/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Numbers that are small more often than not: seven bits a byte, the lowest first, the top bit
 * says that another byte follows. Each number has one encoding, the shortest; others turn the
 * cursor bad.
 */
#ifndef WEIR_WIRE_VARINT_H
#define WEIR_WIRE_VARINT_H

#include "base/bytes.h"

#define WEIR_VARINT_BYTES_MAX 10

static inline size_t weir_varint_bytes(uint64_t value)
{
	return (size_t)(63 - __builtin_clzll(value | 1)) / 7 + 1;
}

/** Writes a number where there is room for it. @return what follows it */
static inline uint8_t *weir_varint_put(uint8_t *at, uint64_t value)
{
	for (; value > 0x7f; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

static inline void weir_out_varint(struct weir_out *out, uint64_t value)
{
	uint8_t *at = (uint8_t *)weir_out_bytes(out, weir_varint_bytes(value));

	if (at != NULL)
		weir_varint_put(at, value);
}

static inline uint64_t weir_in_varint(struct weir_in *in)
{
	uint64_t byte = weir_in_u8(in), value = byte & 0x7f;

	for (unsigned shift = 7; byte > 0x7f; shift += 7) {
		byte = weir_in_u8(in);
		/* Zeros at the end are too long, the tenth byte has room for one bit. */
		if (byte == 0 || (shift == 63 && byte > 1)) {
			in->bad = true;
			return 0;
		}
		value |= (byte & 0x7f) << shift;
	}
	return value;
}

#endif
