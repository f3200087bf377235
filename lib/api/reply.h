/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Answers as bytes: a buffer that grows, and the types of RESP2 and RESP3.
 *
 * Where memory is short the buffer turns bad and stays bad, like the cursors of base/bytes.h: the
 * connection asks once, before it sends.
 */
#ifndef WEIR_API_REPLY_H
#define WEIR_API_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_reply {
	char *bytes;
	size_t start; /**< bytes in front that were sent */
	size_t len;   /**< end of what was written */
	size_t room;
	bool bad;
	uint8_t protocol; /**< 2 or 3 */
};

/** Bytes not yet sent. */
static inline size_t weir_reply_left(const struct weir_reply *reply)
{
	return reply->len - reply->start;
}

/** Forgets everything and keeps the memory. */
static inline void weir_reply_clear(struct weir_reply *reply)
{
	reply->start = reply->len = 0;
	reply->bad = false;
}

/** Takes back what was written since its length was `len`. */
static inline void weir_reply_cut(struct weir_reply *reply, size_t len)
{
	reply->len = len;
}

void weir_reply_free(struct weir_reply *reply);

/** Room for `len` more bytes, or NULL (and bad). The caller adds to reply->len what it wrote. */
char *weir_reply_room(struct weir_reply *reply, size_t len);

void weir_reply_raw(struct weir_reply *reply, const void *bytes, size_t len);

/** "+text"; no line break inside. */
void weir_reply_simple(struct weir_reply *reply, const char *text);

/** "-<code of err> <formatted>"; control characters become blanks. */
void weir_reply_error(struct weir_reply *reply, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void weir_reply_bulk(struct weir_reply *reply, const void *bytes, size_t len);
void weir_reply_text(struct weir_reply *reply, const char *text);
void weir_reply_format(struct weir_reply *reply, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void weir_reply_number(struct weir_reply *reply, uint64_t number);
void weir_reply_null(struct weir_reply *reply);

/** A flow id as a bulk string, "0x" and 16 digits. */
void weir_reply_flow_id(struct weir_reply *reply, uint64_t flow_id);

/** Announces so many values. */
void weir_reply_array(struct weir_reply *reply, unsigned count);

/** Announces so many pairs of name and value: a map in RESP3, a flat array in RESP2. */
void weir_reply_map(struct weir_reply *reply, unsigned pairs);

#endif
