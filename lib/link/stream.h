/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A stream: one worker's end of the traffic with one worker of a peer; its session and both halves.
 *
 * Pairing
 * -------
 * Each end has a number of its own, (incarnation, count), which only grows. Each frame names the
 * sender's number and the receiver's as the sender knows it: a hello carries both, the others, of
 * which only an end that is up sends any, have them in their check. An end that is named its own
 * current number, by a peer whose number is the newest it has seen, is paired with it: the session
 * is up.
 *
 *   A. An older number of the peer, or one that belongs to another incarnation than the owner
 *      named, is stale: dropped. So a late frame ends nothing.
 *   B. A newer number of the peer says that the peer has given up what was: the session, if up,
 *      is over, and this end takes a new number too. An end that was not paired keeps its number.
 *      So when both ends begin anew at the same time, neither makes the other begin again.
 *   C. Frames of messages are only sent by an end that is up, and only taken when they name the
 *      numbers of both ends. So nothing of an old session gets into a new one.
 *   D. An end that is not up says hello again and again, and each hello is answered. So pairing
 *      ends, whatever is lost.
 */
#ifndef WEIR_LINK_STREAM_H
#define WEIR_LINK_STREAM_H

#include "link/frame.h"
#include "link/receiver.h"
#include "link/sender.h"

#define WEIR_BURST 64 /**< frames taken from or given to a port at once */

/** Pause between two hellos: at first, and at most. */
#define WEIR_HELLO_NS_MIN (2 * WEIR_NS_PER_MS)
#define WEIR_HELLO_NS_MAX (50 * WEIR_NS_PER_MS)

/**
 * A session number is incarnation << WEIR_SESSION_BITS | count of numbers that the link has given
 * out. A link that has used them all up (a million breaks) begins no further sessions.
 */
#define WEIR_SESSION_BITS 20

struct weir_stream {
	uint16_t peer, worker;
	bool up;
	bool answer_due;    /**< a hello came */
	bool ack_now;       /**< the acknowledgement must not wait */
	bool ack_late;      /**< the newest frame of messages came in an earlier turn */
	uint32_t ack_count; /**< frames of messages that are not acknowledged yet */
	uint64_t ack_at_ns; /**< when the first of them has waited long enough */
	uint64_t incarnation;
	uint64_t mine;              /**< own session number; 0: they are used up */
	uint64_t theirs;            /**< newest of the peer; 0: none seen */
	uint64_t way_in, way_out;   /**< see frame.h */
	uint64_t pair_in, pair_out; /**< of mine and theirs */
	uint64_t hello_at_ns, hello_pause_ns;
	struct weir_link *link;
	struct weir_frame blank; /**< what is the same in each frame */
	struct weir_sender sender;
	struct weir_receiver receiver;
};

struct weir_peer {
	bool set;
	uint32_t down_due; /**< workers whose session ended while the owner was not to be called */
	struct weir_link_end end;
	struct weir_stream *streams[WEIR_WORKERS_MAX];
};

struct weir_link {
	struct weir_link_conf conf;
	struct weir_link_ops ops;
	void *ctx;
	uint64_t now_ns;
	uint64_t sessions_count; /**< session numbers used up */
	bool down_due;           /**< some peer's mask is not empty */
	bool inside;             /**< the owner is being called */
	bool blocked;            /**< the port or the pool gives no more this turn */
	uint16_t payload_bytes;  /**< of a frame, at most */
	uint32_t kept_count;     /**< mbufs that receivers hold */
	uint32_t kept_max;       /**< a share of the pool, so that the port can still receive */
	unsigned streams_count;
	unsigned turn; /**< whose turn it is to send first */
	uint16_t tx_count;
	struct rte_mbuf *tx[WEIR_BURST]; /**< frames that the port has not taken yet */
	struct weir_link_stats stats;
	struct weir_stream *streams[WEIR_NODES_MAX * WEIR_WORKERS_MAX];
	struct weir_peer peers[WEIR_NODES_MAX];
};

/** Adds to a counter that other threads may read. */
static inline void weir_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/** @return NULL where memory is short */
struct weir_stream *weir_stream_create(struct weir_link *link, unsigned peer, unsigned worker);
void weir_stream_destroy(struct weir_stream *stream);

/** What is wrong with a frame that came from this stream's peer, by its addresses. */
enum weir_frame_fault weir_stream_verify(
	const struct weir_stream *stream, const struct weir_frame *frame);

/** Takes a frame that weir_stream_verify found good, and the mbuf. */
void weir_stream_receive(struct weir_stream *stream, struct rte_mbuf *mbuf);

/** Sends what is due. */
void weir_stream_flush(struct weir_stream *stream);

/** Tells the peer, once, that the session is over. */
void weir_stream_farewell(struct weir_stream *stream);

/** Gives waiting frames to the port; what it does not take stays, and link->blocked is set. */
void weir_link_push(struct weir_link *link);

#endif
