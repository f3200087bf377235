/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Frames of a link as they stand on the wire: Ethernet, IPv4, UDP, the link's own header, payload.
 *
 * The payload of a DATA frame is the next stretch of the stream's bytes; in it stand messages,
 * each after its length (see queue.h), cut wherever a frame was full. The payload of a CONTROL
 * frame is the selective acknowledgement: 64-bit words, bit i of which says that frame
 * ack + 1 + i came. The payload of a HELLO are two session numbers; it acknowledges nothing. All
 * numbers of the link's header and payload are little endian.
 *
 * What both ends know
 * -------------------
 * ... does not travel: it enters the checksum. The check of a frame is XXH3-64 of its bytes, XORed
 * with what the receiver must know anyway:
 *
 *   - the way: cluster, names and workers of sender and receiver (weir_frame_way);
 *   - in a session, the pair: the full session numbers of both ends (weir_frame_pair). A HELLO,
 *     with which ends find each other, carries them instead;
 *   - the numbers: what is above the 16 bits that travel of seq and ack (weir_frame_numbers).
 *
 * An intact frame of another way, session or turn of the numbers is of another check wherever
 * these 64 bits differ, whatever its content: XOR leaves no other case. Two of them are equal with
 * probability 2^-64, which is also that with which a damaged frame passes. So a frame of a former
 * session is no more likely to be taken than a broken one.
 *
 * Of way and pair a few bits travel in clear, to tell causes apart, no more: a frame whose hint is
 * another one is foreign, one whose tag is another one is stale, one whose check is wrong is
 * garbled. A foreign frame that happens to have our hint (one in 256) is counted as garbled.
 *
 * Numbers
 * -------
 * seq and ack are 64 bits at both ends. The receiver takes the number next to what it waits for
 * that ends in the 16 bits it sees; the check tells whether that was it. What is sent lies within
 * a window of WEIR_WINDOW_FRAMES_MAX of it, far less than half of 2^16, so a frame that is of use
 * is always read rightly, and one that is 2^15 frames late is dropped as garbled. order and seen
 * are compared within half of 2^32, with nothing above it: what lies between them is not bounded
 * by the window, since each repetition counts, but at one in WEIR_RTO_NS_MAX it takes years.
 */
#ifndef WEIR_LINK_FRAME_H
#define WEIR_LINK_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_byteorder.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "link/link.h"

#define WEIR_FRAME_VERSION 2 /**< 1..15 */

/** Lower bits of weir_frame_head.kind; the upper four are the version. */
enum weir_frame_kind {
	WEIR_FRAME_DATA = 0,
	WEIR_FRAME_CONTROL = 1,
	WEIR_FRAME_HELLO = 2, /**< the sender is not paired yet, and asks for an answer */
	WEIR_FRAME_LATE = 4,  /**< ack and seen have waited: they do not tell how long the way is */
};

#define WEIR_FRAME_VERSION_SHIFT 4

/** The link's header. */
struct weir_frame_head {
	uint64_t check; /**< of all that follows, and of what both ends know */
	uint8_t kind;   /**< enum weir_frame_kind and version; it stands where version 1 has its own
			 */
	uint8_t hint;   /**< of the way */
	uint16_t tag;   /**< of the pair; HELLO: 0 */
	uint16_t seq;   /**< DATA: number of the frame in the session, from 1, lower bits; else 0 */
	uint16_t ack; /**< the first frame that the sender still waits for, lower bits; HELLO: 0 */
	uint32_t order; /**< DATA: number of this transmission, grows with each; else 0 */
	uint32_t seen;  /**< greatest order that the sender has received; HELLO: 0 */
} __attribute__((packed));

/** Payload of a HELLO. */
struct weir_frame_hello {
	uint64_t session; /**< the sender's own session number */
	uint64_t other;   /**< the receiver's, as the sender knows it; 0: does not */
} __attribute__((packed));

/** A frame up to its payload. */
struct weir_frame {
	struct rte_ether_hdr eth;
	struct rte_ipv4_hdr ip;
	struct rte_udp_hdr udp;
	struct weir_frame_head head;
	uint8_t payload[];
} __attribute__((packed, aligned(2)));

#define WEIR_FRAME_IP_BYTES (sizeof(struct weir_frame) - sizeof(struct rte_ether_hdr))

_Static_assert(sizeof(struct weir_frame_head) == 24, "the layout is the protocol");
_Static_assert(sizeof(struct weir_frame) == 66, "the layout is the protocol");

/** What is wrong with a frame. */
enum weir_frame_fault {
	WEIR_FRAME_GOOD,
	WEIR_FRAME_TRUNCATED,
	WEIR_FRAME_GARBLED,
	WEIR_FRAME_FOREIGN,
	WEIR_FRAME_STALE,
};

/** What both ends know of all frames from one worker to another. */
uint64_t weir_frame_way(uint64_t cluster, const struct weir_link_end *from, unsigned from_worker,
	const struct weir_link_end *to, unsigned to_worker);

/** What both ends know of all frames of a session one way. */
uint64_t weir_frame_pair(uint64_t session, uint64_t other);

/** What both ends know of a frame's numbers, beside the bits that travel. */
static inline uint64_t weir_frame_numbers(uint64_t seq, uint64_t ack)
{
	return (seq >> 16) * 0x9e3779b97f4a7c15ULL + (ack >> 16) * 0xbf58476d1ce4e5b9ULL;
}

/** The number next to `near` that ends in these bits. */
static inline uint64_t weir_frame_number(uint64_t near, uint16_t low)
{
	return near + (uint64_t)(int64_t)(int16_t)(low - (uint16_t)near);
}

/** The tag of a pair. */
static inline uint16_t weir_frame_tag(uint64_t pair)
{
	return (uint16_t)pair;
}

static inline unsigned weir_frame_kind(const struct weir_frame *frame)
{
	return frame->head.kind & ((1U << WEIR_FRAME_VERSION_SHIFT) - 1);
}

/** Bytes of payload, of a frame that weir_frame_address found good. */
static inline unsigned weir_frame_len(const struct weir_frame *frame)
{
	return rte_be_to_cpu_16(frame->ip.total_length) - (unsigned)WEIR_FRAME_IP_BYTES;
}

/** Fills in all that is the same in each frame that goes this way. */
void weir_frame_init(struct weir_frame *frame, uint64_t way, const struct weir_link_end *self,
	unsigned worker, const struct weir_link_end *peer, unsigned peer_worker);

/**
 * Sets lengths and checksums of a frame whose other fields and `len` bytes of payload stand.
 * `known` is what both ends know of it: way, pair and numbers, XORed.
 */
void weir_frame_seal(struct weir_frame *frame, uint64_t known, uint16_t len);

/**
 * Looks at a frame's outer headers: is it a link's frame for `self`, and for which worker? Makes
 * it one segment where it was several, and cuts what follows the IPv4 packet.
 */
enum weir_frame_fault weir_frame_address(
	struct rte_mbuf *mbuf, const struct weir_link_end *self, unsigned *worker);

/** Looks at version, kind, way and lengths of a frame that weir_frame_address found good. */
enum weir_frame_fault weir_frame_inspect(const struct weir_frame *frame, uint64_t way);

/** Whether the check of a frame that weir_frame_inspect found good is right. */
bool weir_frame_verify(const struct weir_frame *frame, uint64_t known);

#endif
