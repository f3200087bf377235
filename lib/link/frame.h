/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Frames of a link as they stand on the wire: Ethernet, IPv4, UDP, the link's own header, payload.
 *
 * The payload of a DATA frame is the next stretch of the stream's bytes; in it stand messages,
 * each after its length (16 bits), cut wherever a frame was full. The payload of a CONTROL frame
 * is the selective acknowledgement: 64-bit words, bit i of which says that frame ack + 1 + i came.
 * All numbers of the link's header and payload are little endian.
 */
#ifndef WEIR_LINK_FRAME_H
#define WEIR_LINK_FRAME_H

#include <stdint.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include "link/link.h"

#define WEIR_FRAME_VERSION 1

/** Bits of weir_frame_head.kind. */
enum weir_frame_kind {
	WEIR_FRAME_DATA = 0,
	WEIR_FRAME_CONTROL = 1,
	WEIR_FRAME_HELLO =
		2, /**< with CONTROL: the sender is not paired yet, and asks for an answer */
};

/** The link's header. */
struct weir_frame_head {
	uint64_t check;   /**< of all that follows, the ports and the receiver's key */
	uint8_t version;  /**< WEIR_FRAME_VERSION */
	uint8_t worker;   /**< of the sender */
	uint8_t kind;     /**< enum weir_frame_kind */
	uint8_t key;      /**< reserved: which key authenticates the frame; 0: none */
	uint16_t len;     /**< bytes of payload */
	uint16_t spare;   /**< zero */
	uint64_t cluster; /**< key of the cluster's name */
	uint64_t node;    /**< key of the sender's name */
	uint64_t session; /**< the sender's own session number */
	uint64_t other;   /**< the receiver's, as the sender knows it; 0: does not */
	uint64_t seq;     /**< DATA: number of the frame in the session, from 1 */
	uint64_t ack;     /**< the first frame that the sender still waits for */
	uint32_t order;   /**< DATA: number of this transmission, grows with each */
	uint32_t seen;    /**< greatest order that the sender has received */
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

_Static_assert(sizeof(struct weir_frame_head) == 72, "the layout is the protocol");
_Static_assert(sizeof(struct weir_frame) == 114, "the layout is the protocol");

/** What is wrong with a frame. */
enum weir_frame_fault {
	WEIR_FRAME_GOOD,
	WEIR_FRAME_TRUNCATED,
	WEIR_FRAME_GARBLED,
	WEIR_FRAME_FOREIGN,
};

/** Fills in all that is the same in each frame from `worker` of `self` to `peer_worker` of `peer`.
 */
void weir_frame_init(struct weir_frame *frame, uint64_t cluster, const struct weir_link_end *self,
	unsigned worker, const struct weir_link_end *peer, unsigned peer_worker);

/**
 * Sets lengths and checksums of a frame whose other fields and `len` bytes of payload stand. `goal`
 * is the key of the receiver's name: so nobody else who got its address takes the frame.
 */
void weir_frame_seal(struct weir_frame *frame, uint64_t goal, uint16_t len);

/**
 * Looks at a frame's outer headers: is it a link's frame for `self`, and for which worker? Makes
 * it one segment where it was several, and cuts what follows the IPv4 packet.
 */
enum weir_frame_fault weir_frame_address(
	struct rte_mbuf *mbuf, const struct weir_link_end *self, unsigned *worker);

/** Looks at the rest of a frame that weir_frame_address found good. */
enum weir_frame_fault weir_frame_verify(
	const struct weir_frame *frame, uint64_t cluster, uint64_t goal);

#endif
