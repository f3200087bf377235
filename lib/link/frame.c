/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <string.h>

#include <xxhash.h>

#include "link/frame.h"

#define TTL 64

/**
 * Covers the ports and the receiver's key too: no flipped bit brings a frame to another worker.
 * Addresses are compared one by one, with those of the node's record.
 */
static uint64_t frame_check(const struct weir_frame *frame, uint64_t goal, size_t len)
{
	const uint64_t ports = (uint64_t)frame->udp.src_port << 16 | frame->udp.dst_port;
	const uint8_t *covered = (const uint8_t *)&frame->head + sizeof(frame->head.check);

	return XXH3_64bits(covered, sizeof(frame->head) - sizeof(frame->head.check) + len) ^
	       (goal + ports * 0x9e3779b97f4a7c15ULL);
}

void weir_frame_init(struct weir_frame *frame, uint64_t cluster, const struct weir_link_end *self,
	unsigned worker, const struct weir_link_end *peer, unsigned peer_worker)
{
	memset(frame, 0, sizeof(*frame));
	memcpy(frame->eth.dst_addr.addr_bytes, peer->mac, sizeof(peer->mac));
	memcpy(frame->eth.src_addr.addr_bytes, self->mac, sizeof(self->mac));
	frame->eth.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	frame->ip.version_ihl = RTE_IPV4_VHL_DEF;
	frame->ip.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
	frame->ip.time_to_live = TTL;
	frame->ip.next_proto_id = IPPROTO_UDP;
	frame->ip.src_addr = htobe32(self->ipv4);
	frame->ip.dst_addr = htobe32(peer->ipv4);
	frame->udp.src_port = htobe16((uint16_t)(self->udp_port + worker));
	frame->udp.dst_port = htobe16((uint16_t)(peer->udp_port + peer_worker));
	frame->head.version = WEIR_FRAME_VERSION;
	frame->head.worker = (uint8_t)worker;
	frame->head.cluster = htole64(cluster);
	frame->head.node = htole64(self->node_key);
}

void weir_frame_seal(struct weir_frame *frame, uint64_t goal, uint16_t len)
{
	frame->ip.total_length = htobe16((uint16_t)(WEIR_FRAME_IP_BYTES + len));
	frame->ip.hdr_checksum = 0;
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
	frame->udp.dgram_len = htobe16((uint16_t)(sizeof(frame->udp) + sizeof(frame->head) + len));
	frame->head.len = htole16(len);
	frame->head.check = htole64(frame_check(frame, goal, len));
}

static bool ip_sum_good(const struct rte_ipv4_hdr *ip)
{
	return rte_raw_cksum(ip, sizeof(*ip)) == 0xffff;
}

/** Another IPv4 protocol, a fragment, or addressed to somebody else. */
static bool ip_foreign(const struct weir_frame *frame, const struct weir_link_end *self)
{
	return (frame->ip.fragment_offset & ~RTE_BE16(RTE_IPV4_HDR_DF_FLAG)) != 0 ||
	       frame->ip.next_proto_id != IPPROTO_UDP || frame->ip.dst_addr != htobe32(self->ipv4);
}

enum weir_frame_fault weir_frame_address(
	struct rte_mbuf *mbuf, const struct weir_link_end *self, unsigned *worker)
{
	const struct weir_frame *frame;
	unsigned total, port;

	if (mbuf->nb_segs > 1 && rte_pktmbuf_linearize(mbuf) != 0)
		return WEIR_FRAME_TRUNCATED;
	if (mbuf->data_len < sizeof(frame->eth))
		return WEIR_FRAME_TRUNCATED;
	frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);
	if (frame->eth.ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
		memcmp(frame->eth.dst_addr.addr_bytes, self->mac, sizeof(self->mac)) != 0)
		return WEIR_FRAME_FOREIGN;
	if (mbuf->data_len < sizeof(frame->eth) + sizeof(frame->ip) + sizeof(frame->udp))
		return WEIR_FRAME_TRUNCATED;
	if (frame->ip.version_ihl != RTE_IPV4_VHL_DEF)
		return WEIR_FRAME_FOREIGN;
	if (!ip_sum_good(&frame->ip))
		return WEIR_FRAME_GARBLED;
	if (ip_foreign(frame, self))
		return WEIR_FRAME_FOREIGN;
	port = be16toh(frame->udp.dst_port);
	if (port < self->udp_port || port >= (unsigned)self->udp_port + self->workers_count)
		return WEIR_FRAME_FOREIGN;
	total = be16toh(frame->ip.total_length);
	if (total < WEIR_FRAME_IP_BYTES || mbuf->data_len < sizeof(frame->eth) + total)
		return WEIR_FRAME_TRUNCATED;
	rte_pktmbuf_trim(mbuf, (uint16_t)(mbuf->data_len - sizeof(frame->eth) - total));
	*worker = port - self->udp_port;
	return WEIR_FRAME_GOOD;
}

enum weir_frame_fault weir_frame_verify(
	const struct weir_frame *frame, uint64_t cluster, uint64_t goal)
{
	const unsigned len = le16toh(frame->head.len);

	if (frame->head.version != WEIR_FRAME_VERSION || frame->head.key != 0 ||
		le64toh(frame->head.cluster) != cluster)
		return WEIR_FRAME_FOREIGN;
	if (be16toh(frame->ip.total_length) != WEIR_FRAME_IP_BYTES + len ||
		be16toh(frame->udp.dgram_len) != sizeof(frame->udp) + sizeof(frame->head) + len)
		return WEIR_FRAME_TRUNCATED;
	/* Weir's own frames carry no UDP checksum: theirs covers more, and costs less. */
	if (frame->udp.dgram_cksum != 0 ||
		le64toh(frame->head.check) != frame_check(frame, goal, len))
		return WEIR_FRAME_GARBLED;
	return WEIR_FRAME_GOOD;
}
