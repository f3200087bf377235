/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Numbers of OpenFlow 1.3 that rules use (OpenFlow Switch Specification 1.3.5, section 7).
 */
#ifndef WEIR_FLOW_OFP_H
#define WEIR_FLOW_OFP_H

/** Ports: numbers up to OFP_PORT_MAX are ports of the device, those above have a meaning. */
#define OFP_PORT_MAX        0xffffff00u
#define OFP_PORT_IN_PORT    0xfffffff8u
#define OFP_PORT_TABLE      0xfffffff9u
#define OFP_PORT_NORMAL     0xfffffffau
#define OFP_PORT_FLOOD      0xfffffffbu
#define OFP_PORT_ALL        0xfffffffcu
#define OFP_PORT_CONTROLLER 0xfffffffdu
#define OFP_PORT_LOCAL      0xfffffffeu

/** OpenFlow 1.0 had 16-bit port numbers; from OFP10_PORT_MAX on they had a meaning. */
#define OFP10_PORT_MAX  0xff00u
#define OFP10_PORT_NONE 0xffffu

#define OFP_GROUP_MAX    0xffffff00u
#define OFP_METER_MAX    0xffff0000u
#define OFP_TABLE_MAX    254u
#define OFP_MAX_LEN_ALL  0xffffu /**< the whole packet goes to the controller */
#define OFP_VID_PRESENT  0x1000u /**< in vlan_vid: there is a VLAN tag */
#define OFP_VID_MAX      0xfffu
#define OFP_FLOW_FLAGS   0x1fu
#define OFP_ACTION_ALIGN 8u

enum ofp_instruction {
	OFP_GOTO_TABLE = 1,
	OFP_WRITE_METADATA = 2,
	OFP_WRITE_ACTIONS = 3,
	OFP_APPLY_ACTIONS = 4,
	OFP_CLEAR_ACTIONS = 5,
	OFP_METER = 6,
};

enum ofp_action {
	OFP_OUTPUT = 0,
	OFP_SET_MPLS_TTL = 15,
	OFP_DEC_MPLS_TTL = 16,
	OFP_PUSH_VLAN = 17,
	OFP_POP_VLAN = 18,
	OFP_PUSH_MPLS = 19,
	OFP_POP_MPLS = 20,
	OFP_SET_QUEUE = 21,
	OFP_GROUP = 22,
	OFP_SET_NW_TTL = 23,
	OFP_DEC_NW_TTL = 24,
	OFP_SET_FIELD = 25,
};

enum ofp_eth_type {
	OFP_ETH_IPV4 = 0x0800,
	OFP_ETH_ARP = 0x0806,
	OFP_ETH_RARP = 0x8035,
	OFP_ETH_VLAN = 0x8100,
	OFP_ETH_IPV6 = 0x86dd,
	OFP_ETH_MPLS = 0x8847,
	OFP_ETH_MPLS_MULTICAST = 0x8848,
	OFP_ETH_SERVICE_VLAN = 0x88a8,
};

enum ofp_ip_proto {
	OFP_IP_ICMP = 1,
	OFP_IP_TCP = 6,
	OFP_IP_UDP = 17,
	OFP_IP_ICMPV6 = 58,
	OFP_IP_SCTP = 132,
};

enum ofp_icmpv6_type {
	OFP_NEIGHBOR_SOLICIT = 135,
	OFP_NEIGHBOR_ADVERT = 136,
};

#endif
