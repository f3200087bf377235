/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Byte cursors: reading and writing of numbers in a bounded buffer.
 *
 * A cursor that runs past its end turns bad and stays bad: reads give zero, writes do nothing.
 * So a decoder reads all its fields in a row and asks once at the end. Peer messages are little
 * endian; OpenFlow's own structures (lib/flow) are big endian and have functions of their own.
 */
#ifndef WEIR_BASE_BYTES_H
#define WEIR_BASE_BYTES_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** Reads from a buffer. */
struct weir_in {
	const uint8_t *at;
	const uint8_t *end;
	bool bad;
};

/** Writes to a buffer. */
struct weir_out {
	uint8_t *at;
	uint8_t *end;
	bool bad;
};

static inline struct weir_in weir_in(const void *bytes, size_t len)
{
	return (struct weir_in){.at = bytes, .end = (const uint8_t *)bytes + len};
}

static inline struct weir_out weir_out(void *bytes, size_t room)
{
	return (struct weir_out){.at = bytes, .end = (uint8_t *)bytes + room};
}

static inline size_t weir_in_left(const struct weir_in *in)
{
	return in->bad ? 0 : (size_t)(in->end - in->at);
}

static inline size_t weir_out_left(const struct weir_out *out)
{
	return out->bad ? 0 : (size_t)(out->end - out->at);
}

/** The next `len` bytes in place, or NULL (and bad) where there are fewer. */
static inline const void *weir_in_bytes(struct weir_in *in, size_t len)
{
	const void *bytes = in->at;

	if (in->bad || (size_t)(in->end - in->at) < len) {
		in->bad = true;
		return NULL;
	}
	in->at += len;
	return bytes;
}

/** Room for the next `len` bytes, or NULL (and bad) where there is less. */
static inline void *weir_out_bytes(struct weir_out *out, size_t len)
{
	void *bytes = out->at;

	if (out->bad || (size_t)(out->end - out->at) < len) {
		out->bad = true;
		return NULL;
	}
	out->at += len;
	return bytes;
}

static inline void weir_out_put(struct weir_out *out, const void *bytes, size_t len)
{
	void *room = weir_out_bytes(out, len);

	if (room != NULL && len > 0)
		memcpy(room, bytes, len);
}

#define WEIR_BYTES_INT(suffix, type, from, to)                                                     \
	static inline type weir_in_##suffix(struct weir_in *in)                                    \
	{                                                                                          \
		type value;                                                                        \
		const void *bytes = weir_in_bytes(in, sizeof(value));                              \
                                                                                                   \
		if (bytes == NULL)                                                                 \
			return 0;                                                                  \
		memcpy(&value, bytes, sizeof(value));                                              \
		return from(value);                                                                \
	}                                                                                          \
	static inline void weir_out_##suffix(struct weir_out *out, type value)                     \
	{                                                                                          \
		value = to(value);                                                                 \
		weir_out_put(out, &value, sizeof(value));                                          \
	}

#define WEIR_BYTES_SAME(value) (value)

WEIR_BYTES_INT(u8, uint8_t, WEIR_BYTES_SAME, WEIR_BYTES_SAME)
WEIR_BYTES_INT(u16, uint16_t, le16toh, htole16)
WEIR_BYTES_INT(u32, uint32_t, le32toh, htole32)
WEIR_BYTES_INT(u64, uint64_t, le64toh, htole64)

#endif
