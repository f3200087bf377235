/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A stream's send queue: a ring of bytes, addressed by their position in the stream.
 *
 * It is as small as its content allows, so that it stays in the cache, and doubles in place: the
 * address space for the largest size is taken at creation, the pages only when they are touched.
 * So growing cannot fail.
 */
#ifndef WEIR_LINK_QUEUE_H
#define WEIR_LINK_QUEUE_H

#include <stddef.h>
#include <stdint.h>

/** Size of a queue at first; a power of two. */
#define WEIR_QUEUE_BYTES_MIN (64U << 10)

/**
 * Before each message its length stands, in the queue and in frames: one byte below 128; else two,
 * the lower seven bits first, with the top bit set.
 */
#define WEIR_QUEUE_PREFIX_MAX   2
#define WEIR_QUEUE_PREFIX_SHORT 0x7f /**< the longest message with one byte */

/** Bytes that the length of a message takes. */
static inline size_t weir_queue_prefix(size_t len)
{
	return len <= WEIR_QUEUE_PREFIX_SHORT ? 1 : WEIR_QUEUE_PREFIX_MAX;
}

struct weir_queue {
	uint8_t *bytes;
	size_t size;     /**< in use, a power of two */
	size_t size_max; /**< mapped */
	uint64_t head;   /**< position of the first byte that is not acknowledged */
	uint64_t tail;   /**< position after the last byte */
};

/** @return 0 or WEIR_BUSY */
int weir_queue_init(struct weir_queue *queue, size_t bytes_max);
void weir_queue_fini(struct weir_queue *queue);

/** Forgets all bytes and gives their memory back. */
void weir_queue_reset(struct weir_queue *queue);

/** Doubles the ring until `len` more bytes fit; the caller minds the bound. */
void weir_queue_grow(struct weir_queue *queue, size_t len);

/** Writes `len` bytes at `position`, which must have room. */
void weir_queue_write(struct weir_queue *queue, uint64_t position, const void *bytes, size_t len);

/** Reads `len` bytes at `position`. */
void weir_queue_read(const struct weir_queue *queue, uint64_t position, void *bytes, size_t len);

static inline size_t weir_queue_used(const struct weir_queue *queue)
{
	return (size_t)(queue->tail - queue->head);
}

#endif
