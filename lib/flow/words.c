/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "flow/field.h"
#include "flow/words.h"

const struct flow_proto_row weir_flow_protos[PROTO_COUNT] = {
	[PROTO_IP] = {"ip", OFP_ETH_IPV4, 0},
	[PROTO_IPV6] = {"ipv6", OFP_ETH_IPV6, 0},
	[PROTO_ICMP] = {"icmp", OFP_ETH_IPV4, OFP_IP_ICMP},
	[PROTO_ICMP6] = {"icmp6", OFP_ETH_IPV6, OFP_IP_ICMPV6},
	[PROTO_TCP] = {"tcp", OFP_ETH_IPV4, OFP_IP_TCP},
	[PROTO_TCP6] = {"tcp6", OFP_ETH_IPV6, OFP_IP_TCP},
	[PROTO_UDP] = {"udp", OFP_ETH_IPV4, OFP_IP_UDP},
	[PROTO_UDP6] = {"udp6", OFP_ETH_IPV6, OFP_IP_UDP},
	[PROTO_SCTP] = {"sctp", OFP_ETH_IPV4, OFP_IP_SCTP},
	[PROTO_SCTP6] = {"sctp6", OFP_ETH_IPV6, OFP_IP_SCTP},
	[PROTO_ARP] = {"arp", OFP_ETH_ARP, 0},
	[PROTO_RARP] = {"rarp", OFP_ETH_RARP, 0},
	[PROTO_MPLS] = {"mpls", OFP_ETH_MPLS, 0},
	[PROTO_MPLSM] = {"mplsm", OFP_ETH_MPLS_MULTICAST, 0},
};

/*
 * Words are grouped by length, the frequent ones first, so that a look-up is a few comparisons of
 * 16 bytes. A word in the wrong group is never found.
 */
static const struct flow_word match_2[] = {
	{"ip", WORD_PROTO, PROTO_IP},
};
static const struct flow_word match_3[] = {
	{"tcp", WORD_PROTO, PROTO_TCP},
	{"udp", WORD_PROTO, PROTO_UDP},
	{"arp", WORD_PROTO, PROTO_ARP},
	{"app", WORD_KEY, KEY_APP},
};
static const struct flow_word match_4[] = {
	{"icmp", WORD_PROTO, PROTO_ICMP},
	{"ipv6", WORD_PROTO, PROTO_IPV6},
	{"tcp6", WORD_PROTO, PROTO_TCP6},
	{"udp6", WORD_PROTO, PROTO_UDP6},
	{"sctp", WORD_PROTO, PROTO_SCTP},
	{"rarp", WORD_PROTO, PROTO_RARP},
	{"mpls", WORD_PROTO, PROTO_MPLS},
};
static const struct flow_word match_5[] = {
	{"table", WORD_KEY, KEY_TABLE},
	{"icmp6", WORD_PROTO, PROTO_ICMP6},
	{"sctp6", WORD_PROTO, PROTO_SCTP6},
	{"mplsm", WORD_PROTO, PROTO_MPLSM},
};
static const struct flow_word match_6[] = {
	{"nw_src", WORD_FIELD, FIELD_ANY_NW_SRC},
	{"nw_dst", WORD_FIELD, FIELD_ANY_NW_DST},
	{"tp_src", WORD_FIELD, FIELD_ANY_TP_SRC},
	{"tp_dst", WORD_FIELD, FIELD_ANY_TP_DST},
	{"cookie", WORD_KEY, KEY_COOKIE},
	{"action", WORD_ACTIONS, 0},
	{"dl_src", WORD_FIELD, FIELD_ETH_SRC},
	{"dl_dst", WORD_FIELD, FIELD_ETH_DST},
	{"ip_src", WORD_FIELD, FIELD_ANY_NW_SRC},
	{"ip_dst", WORD_FIELD, FIELD_ANY_NW_DST},
	{"nw_tos", WORD_TOS, FIELD_IP_DSCP},
	{"nw_ecn", WORD_FIELD, FIELD_IP_ECN},
	{"ip_ecn", WORD_FIELD, FIELD_IP_ECN},
	{"nw_ttl", WORD_FIELD, FIELD_NW_TTL},
	{"arp_op", WORD_FIELD, FIELD_ARP_OP},
	{"tun_id", WORD_FIELD, FIELD_TUN_ID},
	{"nd_sll", WORD_FIELD, FIELD_ND_SLL},
	{"nd_tll", WORD_FIELD, FIELD_ND_TLL},
};
static const struct flow_word match_7[] = {
	{"actions", WORD_ACTIONS, 0},
	{"in_port", WORD_FIELD, FIELD_IN_PORT},
	{"dl_vlan", WORD_DL_VLAN, FIELD_VLAN_VID},
	{"dl_type", WORD_FIELD, FIELD_ETH_TYPE},
	{"eth_src", WORD_FIELD, FIELD_ETH_SRC},
	{"eth_dst", WORD_FIELD, FIELD_ETH_DST},
	{"ip_dscp", WORD_FIELD, FIELD_IP_DSCP},
	{"tcp_src", WORD_FIELD, FIELD_TCP_SRC},
	{"tcp_dst", WORD_FIELD, FIELD_TCP_DST},
	{"udp_src", WORD_FIELD, FIELD_UDP_SRC},
	{"udp_dst", WORD_FIELD, FIELD_UDP_DST},
	{"arp_spa", WORD_FIELD, FIELD_ARP_SPA},
	{"arp_tpa", WORD_FIELD, FIELD_ARP_TPA},
	{"arp_sha", WORD_FIELD, FIELD_ARP_SHA},
	{"arp_tha", WORD_FIELD, FIELD_ARP_THA},
	{"mpls_tc", WORD_FIELD, FIELD_MPLS_TC},
	{"n_bytes", WORD_DUMP, 0},
};
static const struct flow_word match_8[] = {
	{"priority", WORD_KEY, KEY_PRIORITY},
	{"nw_proto", WORD_FIELD, FIELD_ANY_NW_PROTO},
	{"ip_proto", WORD_FIELD, FIELD_ANY_NW_PROTO},
	{"eth_type", WORD_FIELD, FIELD_ETH_TYPE},
	{"vlan_vid", WORD_FIELD, FIELD_VLAN_VID},
	{"vlan_pcp", WORD_FIELD, FIELD_VLAN_PCP},
	{"vlan_tci", WORD_VLAN_TCI, FIELD_VLAN_VID},
	{"ipv6_src", WORD_FIELD, FIELD_IPV6_SRC},
	{"ipv6_dst", WORD_FIELD, FIELD_IPV6_DST},
	{"metadata", WORD_FIELD, FIELD_METADATA},
	{"sctp_src", WORD_FIELD, FIELD_SCTP_SRC},
	{"sctp_dst", WORD_FIELD, FIELD_SCTP_DST},
	{"mpls_bos", WORD_FIELD, FIELD_MPLS_BOS},
	{"duration", WORD_DUMP, 0},
	{"idle_age", WORD_DUMP, 0},
	{"hard_age", WORD_DUMP, 0},
};
static const struct flow_word match_9[] = {
	{"icmp_type", WORD_FIELD, FIELD_ANY_ICMP_TYPE},
	{"icmp_code", WORD_FIELD, FIELD_ANY_ICMP_CODE},
	{"tcp_flags", WORD_FIELD, FIELD_TCP_FLAGS},
	{"tunnel_id", WORD_FIELD, FIELD_TUN_ID},
	{"nd_target", WORD_FIELD, FIELD_ND_TARGET},
	{"n_packets", WORD_DUMP, 0},
};
static const struct flow_word match_10[] = {
	{"ipv6_label", WORD_FIELD, FIELD_IPV6_LABEL},
	{"mpls_label", WORD_FIELD, FIELD_MPLS_LABEL},
};
static const struct flow_word match_11[] = {
	{"dl_vlan_pcp", WORD_FIELD, FIELD_VLAN_PCP},
	{"icmpv6_type", WORD_FIELD, FIELD_ICMPV6_TYPE},
	{"icmpv6_code", WORD_FIELD, FIELD_ICMPV6_CODE},
};
static const struct flow_word match_12[] = {
	{"idle_timeout", WORD_KEY, KEY_IDLE_TIMEOUT},
	{"hard_timeout", WORD_KEY, KEY_HARD_TIMEOUT},
	{"reset_counts", WORD_FLAG, 2},
};
static const struct flow_word match_13[] = {
	{"send_flow_rem", WORD_FLAG, 0},
	{"check_overlap", WORD_FLAG, 1},
};
static const struct flow_word match_14[] = {
	{"no_byte_counts", WORD_FLAG, 4},
};
static const struct flow_word match_16[] = {
	{"no_packet_counts", WORD_FLAG, 3},
};

static const struct flow_word action_3[] = {
	{"all", ACTION_PORT, OFP_PORT_ALL & 0xff},
};
static const struct flow_word action_4[] = {
	{"drop", ACTION_DROP, 0},
};
static const struct flow_word action_5[] = {
	{"group", ACTION_NUMBER, OFP_GROUP},
	{"local", ACTION_PORT, OFP_PORT_LOCAL & 0xff},
	{"flood", ACTION_PORT, OFP_PORT_FLOOD & 0xff},
	{"table", ACTION_PORT, OFP_PORT_TABLE & 0xff},
	{"meter", ACTION_METER, 0},
};
static const struct flow_word action_6[] = {
	{"output", ACTION_OUTPUT, 0},
	{"normal", ACTION_PORT, OFP_PORT_NORMAL & 0xff},
};
static const struct flow_word action_7[] = {
	{"in_port", ACTION_PORT, OFP_PORT_IN_PORT & 0xff},
	{"dec_ttl", ACTION_BARE, OFP_DEC_NW_TTL},
};
static const struct flow_word action_8[] = {
	{"pop_vlan", ACTION_BARE, OFP_POP_VLAN},
	{"pop_mpls", ACTION_POP_MPLS, 0},
};
static const struct flow_word action_9[] = {
	{"set_field", ACTION_SET_FIELD, 0},
	{"push_vlan", ACTION_PUSH_VLAN, 0},
	{"set_queue", ACTION_NUMBER, OFP_SET_QUEUE},
	{"push_mpls", ACTION_PUSH_MPLS, 0},
};
static const struct flow_word action_10[] = {
	{"goto_table", ACTION_GOTO, 0},
	{"controller", ACTION_CONTROLLER, 0},
	{"strip_vlan", ACTION_BARE, OFP_POP_VLAN},
	{"mod_dl_src", ACTION_MOD, FIELD_ETH_SRC},
	{"mod_dl_dst", ACTION_MOD, FIELD_ETH_DST},
	{"mod_nw_src", ACTION_MOD, FIELD_IPV4_SRC},
	{"mod_nw_dst", ACTION_MOD, FIELD_IPV4_DST},
	{"mod_tp_src", ACTION_MOD, FIELD_ANY_TP_SRC},
	{"mod_tp_dst", ACTION_MOD, FIELD_ANY_TP_DST},
	{"mod_nw_tos", ACTION_MOD_TOS, FIELD_IP_DSCP},
	{"mod_nw_ecn", ACTION_MOD, FIELD_IP_ECN},
	{"mod_nw_ttl", ACTION_BYTE, OFP_SET_NW_TTL},
	{"set_nw_ttl", ACTION_BYTE, OFP_SET_NW_TTL},
};
static const struct flow_word action_12[] = {
	{"mod_vlan_vid", ACTION_MOD_VLAN_VID, FIELD_VLAN_VID},
	{"mod_vlan_pcp", ACTION_MOD_VLAN_PCP, FIELD_VLAN_PCP},
	{"set_vlan_vid", ACTION_MOD_VLAN_VID, FIELD_VLAN_VID},
	{"set_vlan_pcp", ACTION_MOD_VLAN_PCP, FIELD_VLAN_PCP},
	{"set_mpls_ttl", ACTION_BYTE, OFP_SET_MPLS_TTL},
	{"dec_mpls_ttl", ACTION_BARE, OFP_DEC_MPLS_TTL},
};
static const struct flow_word action_13[] = {
	{"clear_actions", ACTION_CLEAR, 0},
	{"write_actions", ACTION_WRITE, 0},
};
static const struct flow_word action_14[] = {
	{"write_metadata", ACTION_METADATA, 0},
};

struct group {
	const struct flow_word *words;
	unsigned count;
};

#define GROUP(words)                                                                               \
	{                                                                                          \
		words, sizeof(words) / sizeof((words)[0])                                          \
	}

static const struct group match_words[FLOW_WORD_MAX + 1] = {
	[2] = GROUP(match_2),
	[3] = GROUP(match_3),
	[4] = GROUP(match_4),
	[5] = GROUP(match_5),
	[6] = GROUP(match_6),
	[7] = GROUP(match_7),
	[8] = GROUP(match_8),
	[9] = GROUP(match_9),
	[10] = GROUP(match_10),
	[11] = GROUP(match_11),
	[12] = GROUP(match_12),
	[13] = GROUP(match_13),
	[14] = GROUP(match_14),
	[16] = GROUP(match_16),
};

static const struct group action_words[FLOW_WORD_MAX + 1] = {
	[3] = GROUP(action_3),
	[4] = GROUP(action_4),
	[5] = GROUP(action_5),
	[6] = GROUP(action_6),
	[7] = GROUP(action_7),
	[8] = GROUP(action_8),
	[9] = GROUP(action_9),
	[10] = GROUP(action_10),
	[12] = GROUP(action_12),
	[13] = GROUP(action_13),
	[14] = GROUP(action_14),
};

static const struct flow_word *group_find(const struct group *group, const char *word)
{
	for (unsigned i = 0; i < group->count; i++)
		if (memcmp(group->words[i].text, word, FLOW_WORD_MAX) == 0)
			return &group->words[i];
	return NULL;
}

const struct flow_word *weir_flow_match_word(const char *text, size_t len)
{
	char word[FLOW_WORD_MAX] = {0};

	if (len > FLOW_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		word[i] = text[i];
	return group_find(&match_words[len], word);
}

const struct flow_word *weir_flow_action_word(const char *text, size_t len)
{
	char word[FLOW_WORD_MAX] = {0};

	if (len > FLOW_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		word[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
	return group_find(&action_words[len], word);
}
