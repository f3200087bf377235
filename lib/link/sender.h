/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The sending half of a session: what is queued, what is under way, what must be sent again.
 *
 * Every transmission of a frame, first or repeated, has an order number, and acknowledgements tell
 * the greatest order number that arrived. So it is known for sure, also for repeated frames, that
 * something sent later has arrived, and nothing is repeated just because the peer is slow: a peer
 * that its kernel does not run for a while costs one repeated frame for each time the timer fires.
 *
 * Pure: no mbuf, no port, no clock.
 */
#ifndef WEIR_LINK_SENDER_H
#define WEIR_LINK_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "link/queue.h"

/** Frames of a stream from the first that is not acknowledged to the last sent; a power of two. */
#define WEIR_WINDOW_FRAMES_MAX 1024
#define WEIR_WINDOW_FRAMES_MIN 8  /**< the window does not shrink below this */
#define WEIR_WINDOW_FRAMES     64 /**< at a session's start */

/** Later transmissions that must have arrived until a frame counts as lost. */
#define WEIR_REORDER_FRAMES 3

/**
 * How long an acknowledgement waits for a frame of messages on which it can ride, at most: far less
 * than until the frame would be sent again. It does not wait once so many frames have come since
 * the last one (half of the smallest window), nor where a frame came early or twice.
 */
#define WEIR_ACK_DELAY_NS (200 * WEIR_NS_PER_US)
#define WEIR_ACK_FRAMES   (WEIR_WINDOW_FRAMES_MIN / 2)

#define WEIR_RTO_NS_MIN   (1 * WEIR_NS_PER_MS)
#define WEIR_RTO_NS_FIRST (2 * WEIR_NS_PER_MS) /**< until a way there and back was measured */
#define WEIR_RTO_NS_MAX   (50 * WEIR_NS_PER_MS)

enum weir_sent_state {
	WEIR_SENT_FLYING,
	WEIR_SENT_LOST,   /**< to be sent again */
	WEIR_SENT_SACKED, /**< arrived, others before it did not */
};

/** One frame of the window. */
struct weir_sent {
	uint64_t sent_ns;  /**< last transmission */
	uint32_t position; /**< of its first byte in the stream, low bits */
	uint32_t order;    /**< of the last transmission */
	uint16_t len;
	uint8_t state; /**< enum weir_sent_state */
};

struct weir_sender {
	struct weir_queue queue;
	uint64_t cut;         /**< position up to which bytes belong to a frame */
	size_t room;          /**< message bytes that are taken for sure */
	size_t queue_bytes;   /**< bound of the queue */
	size_t payload_bytes; /**< of a frame, at most */

	uint64_t una;    /**< first frame that is not acknowledged */
	uint64_t next;   /**< number of the next new frame */
	uint32_t order;  /**< of the last transmission */
	uint32_t seen;   /**< greatest order that the peer has received */
	uint32_t flying; /**< frames in that state */
	uint32_t lost;   /**< frames in that state */
	bool news;       /**< an acknowledgement came: losses may have become known */
	bool limited;    /**< the window kept something back */

	uint32_t window;    /**< frames that may fly */
	uint32_t threshold; /**< up to here the window grows with each acknowledged frame */
	uint32_t credit;    /**< frames acknowledged since the window last grew */
	uint64_t recover;   /**< losses of frames before this one are no news for the window */

	uint64_t repeated;   /**< order grows with seq from this frame on */
	uint64_t lost_first; /**< no frame before this one is lost */

	uint64_t rtt_ns, rtt_dev_ns; /**< smoothed; 0: none measured yet */
	uint64_t timer_ns;           /**< when the oldest frame is sent again */
	unsigned backoff;            /**< how often that happened in a row */

	struct weir_sent frames[WEIR_WINDOW_FRAMES_MAX];
};

/** @return 0 or WEIR_BUSY */
int weir_sender_init(struct weir_sender *sender, size_t queue_bytes, size_t payload_bytes);
void weir_sender_fini(struct weir_sender *sender);

/** Forgets everything: a new session. */
void weir_sender_reset(struct weir_sender *sender);

/** Queues a message; the caller has looked at sender->room. */
void weir_sender_put(struct weir_sender *sender, const void *bytes, size_t len);

/** What a frame acknowledges. */
struct weir_ack {
	uint64_t ack;  /**< all frames before this one */
	uint32_t seen; /**< greatest order that has arrived */
	bool late;     /**< it has waited, WEIR_ACK_DELAY_NS at most */
	const uint8_t *sacks;
	unsigned sacks_count; /**< words of the selective acknowledgement */
};

/** Takes an acknowledgement. @return false where it names what was never sent */
bool weir_sender_acked(struct weir_sender *sender, const struct weir_ack *ack, uint64_t now_ns);

/** The frame to be sent now, 0 for none; weir_sender_frame and weir_sender_sent follow. */
uint64_t weir_sender_due(struct weir_sender *sender, uint64_t now_ns);

/** What frame `seq`, which is due, holds. A new one is cut here. */
const struct weir_sent *weir_sender_frame(struct weir_sender *sender, uint64_t seq);

/** Frame `seq` leaves now. @return the order number of the transmission */
uint32_t weir_sender_sent(struct weir_sender *sender, uint64_t seq, uint64_t now_ns);

#endif
