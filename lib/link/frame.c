/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <string.h>

#include <xxhash.h>

#include "link/frame.h"

#define TTL 64

/** Addresses are not covered: the receiver compares them with those of the node's record. */
static uint64_t frame_check(const struct weir_frame *frame, uint64_t known, size_t len)
{
	const uint8_t *covered = (const uint8_t *)&frame->head + sizeof(frame->head.check);

	return XXH3_64bits(covered, sizeof(frame->head) - sizeof(frame->head.check) + len) ^ known;
}

uint64_t weir_frame_way(uint64_t cluster, const struct weir_link_end *from, unsigned from_worker,
	const struct weir_link_end *to, unsigned to_worker)
{
	const uint64_t known[] = {htole64(cluster), htole64(from->node_key), htole64(from_worker),
		htole64(to->node_key), htole64(to_worker)};

	return XXH3_64bits(known, sizeof(known));
}

uint64_t weir_frame_pair(uint64_t session, uint64_t other)
{
	const uint64_t known[] = {htole64(session), htole64(other)};

	return XXH3_64bits(known, sizeof(known));
}

static uint8_t way_hint(uint64_t way)
{
	return (uint8_t)(way >> 56);
}

void weir_frame_init(struct weir_frame *frame, uint64_t way, const struct weir_link_end *self,
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
	frame->head.kind = WEIR_FRAME_VERSION << WEIR_FRAME_VERSION_SHIFT;
	frame->head.hint = way_hint(way);
}

void weir_frame_seal(struct weir_frame *frame, uint64_t known, uint16_t len)
{
	frame->ip.total_length = htobe16((uint16_t)(WEIR_FRAME_IP_BYTES + len));
	frame->ip.hdr_checksum = 0;
	frame->ip.hdr_checksum = rte_ipv4_cksum(&frame->ip);
	frame->udp.dgram_len = htobe16((uint16_t)(sizeof(frame->udp) + sizeof(frame->head) + len));
	frame->head.check = htole64(frame_check(frame, known, len));
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

/** Bit sets of enum weir_frame_kind that there are. */
static bool kind_known(unsigned kind)
{
	return kind == WEIR_FRAME_HELLO ||
	       (kind & ~(unsigned)(WEIR_FRAME_CONTROL | WEIR_FRAME_LATE)) == 0;
}

enum weir_frame_fault weir_frame_inspect(const struct weir_frame *frame, uint64_t way)
{
	const unsigned kind = weir_frame_kind(frame);

	if (frame->head.kind >> WEIR_FRAME_VERSION_SHIFT != WEIR_FRAME_VERSION ||
		!kind_known(kind) || frame->head.hint != way_hint(way))
		return WEIR_FRAME_FOREIGN;
	if (be16toh(frame->udp.dgram_len) != be16toh(frame->ip.total_length) - sizeof(frame->ip) ||
		(kind == WEIR_FRAME_HELLO &&
			weir_frame_len(frame) != sizeof(struct weir_frame_hello)))
		return WEIR_FRAME_TRUNCATED;
	/* Weir's own frames carry no UDP checksum: theirs covers more, and costs less. */
	return frame->udp.dgram_cksum != 0 ? WEIR_FRAME_GARBLED : WEIR_FRAME_GOOD;
}

bool weir_frame_verify(const struct weir_frame *frame, uint64_t known)
{
	return le64toh(frame->head.check) == frame_check(frame, known, weir_frame_len(frame));
}
