/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The receiving half of a session: puts frames in order and messages together.
 */
#ifndef WEIR_LINK_RECEIVER_H
#define WEIR_LINK_RECEIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "link/queue.h"
#include "link/sender.h"

struct rte_mbuf;

/** Words of a selective acknowledgement, at most: one bit for each frame of the window. */
#define WEIR_SACK_WORDS_MAX (WEIR_WINDOW_FRAMES_MAX / 64)

struct weir_receiver {
	uint64_t expected;   /**< first frame that has not come */
	uint32_t seen;       /**< greatest order number that came */
	uint32_t kept_count; /**< frames that wait for those before them */
	uint64_t kept_last;  /**< greatest number of such a frame, where there are any */
	struct rte_mbuf *kept[WEIR_WINDOW_FRAMES_MAX]; /**< cut down to their payload */

	uint32_t partial_len; /**< bytes of a message that ends in a later frame, with its prefix */
	uint8_t partial[WEIR_QUEUE_PREFIX_MAX + WEIR_MESSAGE_BYTES_MAX];
};

/** Where whole messages go. */
typedef void weir_receiver_sink(void *ctx, const void *bytes, size_t len);

/** Forgets everything: a new session. @return frames that were kept, freed now */
uint32_t weir_receiver_reset(struct weir_receiver *receiver);

/**
 * Takes bytes of the stream, in order.
 * @return messages that were given to the sink; -1 where the bytes are no messages
 */
int weir_receiver_take(struct weir_receiver *receiver, const uint8_t *bytes, size_t len,
	weir_receiver_sink *sink, void *ctx);

/** Keeps a frame, whose payload starts `offset` bytes in. @return false where it is there already
 */
bool weir_receiver_keep(
	struct weir_receiver *receiver, uint64_t seq, struct rte_mbuf *mbuf, uint16_t offset);

/** The kept frame that is expected now, or NULL; the caller takes and frees it. */
struct rte_mbuf *weir_receiver_kept(struct weir_receiver *receiver);

/** Writes the selective acknowledgement. @return its words, at most words_max */
unsigned weir_receiver_sacks(
	const struct weir_receiver *receiver, uint8_t *words, unsigned words_max);

#endif
