/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "flow/flow.h"

union room {
	struct weir_rule rule;
	uint8_t bytes[WEIR_RULE_BYTES_MAX];
};

static union room one, two;
static char text[WEIR_FLOW_TEXT_MAX + 1];

static void parse(const char *flow, union room *room)
{
	struct weir_flow_fault fault = {0};
	int err = weir_flow_parse(
		flow, strlen(flow), WEIR_FLOW_RULE, &room->rule, sizeof(*room), &fault);

	if (err != 0)
		fail_msg("%s: column %u: %s", flow, fault.column, fault.message);
	assert_int_equal(weir_rule_check(&room->rule, weir_rule_bytes(&room->rule)), 0);
}

static void assert_prints(const char *flow, const char *expected)
{
	int len;

	parse(flow, &one);
	len = weir_flow_print(&one.rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	parse(text, &two);
	assert_memory_equal(&one, &two, weir_rule_bytes(&one.rule));
}

static void assert_match(const char *flow, const void *bytes, size_t len)
{
	parse(flow, &one);
	assert_int_equal(one.rule.match_len, len);
	assert_memory_equal(one.rule.data, bytes, len);
}

#define ASSERT_MATCH(flow, bytes) assert_match(flow, bytes, sizeof(bytes) - 1)

static void assert_same(const char *a, const char *b)
{
	parse(a, &one);
	parse(b, &two);
	if (!weir_rule_same(&one.rule, &two.rule))
		fail_msg("not the same: %s, %s", a, b);
}

static void assert_differ(const char *a, const char *b)
{
	parse(a, &one);
	parse(b, &two);
	assert_false(weir_rule_same(&one.rule, &two.rule));
}

/* ------------------------------------------------------------------------------------------ */

static void defaults_are_those_of_ovs_ofctl(void **state)
{
	assert_prints("actions=drop", "cookie=0x0,table=0,priority=32768,actions=drop");
	assert_int_equal(one.rule.instr_len, 0);
	assert_int_equal(one.rule.match_len, 0);
	assert_int_equal(weir_rule_app(&one.rule), 0);
	assert_prints("actions=", "cookie=0x0,table=0,priority=32768,actions=drop");
}

static void head_is_read_and_printed_to_its_limits(void **state)
{
	assert_prints("cookie=0xffffffffffffffff,table=254,priority=65535,app=65535,"
		      "idle_timeout=65535,hard_timeout=65535,send_flow_rem,check_overlap,"
		      "reset_counts,no_packet_counts,no_byte_counts,actions=drop",
		"cookie=0xffffffffffffffff,table=254,priority=65535,app=65535,"
		"idle_timeout=65535,hard_timeout=65535,send_flow_rem,check_overlap,"
		"reset_counts,no_packet_counts,no_byte_counts,actions=drop");
	assert_int_equal(one.rule.flags, 0x1f);
	assert_int_equal(weir_rule_app(&one.rule), 65535);
	assert_int_equal(one.rule.idle_timeout_s, 65535);
	assert_int_equal(one.rule.hard_timeout_s, 65535);
}

static void app_is_left_out_where_the_reader_is_not_weir(void **state)
{
	parse("app=7,actions=drop", &one);
	assert_true(weir_flow_print(&one.rule, WEIR_FLOW_PRINT_NO_APP, text, sizeof(text)) > 0);
	assert_string_equal(text, "cookie=0x0,table=0,priority=32768,actions=drop");
}

static void match_is_in_canonical_order_whatever_the_text_has(void **state)
{
	static const char bytes[] = "\x80\x00\x00\x04\x00\x00\x00\x03" /* in_port */
				    "\x80\x00\x0a\x02\x08\x00"         /* eth_type */
				    "\x80\x00\x14\x01\x06"             /* ip_proto */
				    "\x80\x00\x17\x08\x0a\x00\x00\x00\xff\x00\x00\x00"
				    "\x80\x00\x1c\x02\x00\x50"; /* tcp_dst */

	ASSERT_MATCH("tcp,in_port=3,nw_src=10.0.0.0/8,tp_dst=80,actions=drop", bytes);
	ASSERT_MATCH("tp_dst=80,nw_src=10.1.2.3/8,in_port=3,tcp,actions=drop", bytes);
	ASSERT_MATCH("tcp_dst=0x50,ip_proto=6,ip_src=10.0.0.0/255.0.0.0,eth_type=0x800,in_port=3,"
		     "actions=drop",
		bytes);
}

static void fields_of_other_classes_stand_last(void **state)
{
	ASSERT_MATCH("nw_ttl=5,tcp,tcp_flags=+syn-ack,tun_id=1,actions=drop",
		"\x80\x00\x0a\x02\x08\x00"
		"\x80\x00\x14\x01\x06"
		"\x80\x00\x4c\x08\x00\x00\x00\x00\x00\x00\x00\x01"
		"\x00\x01\x3a\x01\x05"
		"\xff\xff\x55\x08\x4f\x4e\x46\x00\x00\x02\x00\x12");
}

static void two_texts_of_one_match_are_one_rule(void **state)
{
	assert_same("tcp,actions=1", "ip,nw_proto=6,actions=drop");
	assert_same("tcp,actions=1", "dl_type=0x0800,ip_proto=0x6,actions=drop");
	assert_same("tcp,ip,actions=1", "tcp,nw_proto=6,actions=drop");
	assert_same("ip,nw_src=1.2.3.4/32,actions=1", "ip,nw_src=1.2.3.4,actions=1");
	assert_same("ip,nw_src=1.2.3.4/255.255.255.255,actions=1", "ip,nw_src=1.2.3.4,actions=1");
	assert_same("ip,nw_src=1.2.3.4/0,actions=1", "ip,actions=1");
	assert_same("ip,nw_src=*,actions=1", "ip,actions=1");
	assert_same("ip,nw_src=1.2.3.4/24,actions=1", "ip,nw_src=1.2.3.99/24,actions=1");
	assert_same("tcp,tp_src=80/0xffff,actions=1", "tcp,tp_src=80,actions=1");
	assert_same("tcp,tp_src=80/0,actions=1", "tcp,actions=1");
	assert_same("ipv6,ipv6_src=1::/128,actions=1", "ipv6,ipv6_src=1:0:0:0:0:0:0:0,actions=1");
	assert_same("ipv6,ipv6_src=::ffff:1.2.3.4,actions=1",
		"ipv6,ipv6_src=0::FFFF:102:304,actions=1");
	assert_same("dl_src=0:0:0:0:0:1/ff:ff:ff:ff:ff:ff,actions=1",
		"eth_src=00:00:00:00:00:01,actions=1");
	assert_same("dl_vlan=5,actions=1", "vlan_vid=0x1005,actions=1");
	assert_same("dl_vlan=5,actions=1", "vlan_tci=0x1005/0x1fff,actions=1");
	assert_same("dl_vlan=0xffff,actions=1", "vlan_tci=0,actions=1");
	assert_same("dl_vlan_pcp=3,actions=1", "vlan_tci=0x7000/0xf000,actions=1");
	assert_same("arp,nw_src=1.2.3.4,actions=1", "arp,arp_spa=1.2.3.4,actions=1");
	assert_same("arp,nw_proto=2,nw_dst=1.1.1.1,actions=1",
		"arp,arp_op=2,arp_tpa=1.1.1.1,actions=1");
	assert_same("icmp6,icmp_type=135,actions=1", "icmp6,icmpv6_type=135,actions=1");
	assert_same("ip,nw_tos=35,actions=1", "ip,ip_dscp=8,actions=1");
	assert_same("udp6,tp_dst=5,actions=1", "udp6,udp_dst=5,actions=1");
	assert_same("tcp,tcp_flags=syn|ack,actions=1", "tcp,tcp_flags=0x12,actions=1");
	assert_same("tcp,tcp_flags=0x12/0xfff,actions=1", "tcp,tcp_flags=0x12,actions=1");
}

static void instructions_cookie_and_timeouts_are_not_identity(void **state)
{
	assert_same("tcp,cookie=1,idle_timeout=5,actions=1",
		"tcp,cookie=2,hard_timeout=5,send_flow_rem,actions=2");
}

static void table_priority_app_and_match_are_identity(void **state)
{
	assert_differ("tcp,actions=1", "table=1,tcp,actions=1");
	assert_differ("tcp,actions=1", "priority=1,tcp,actions=1");
	assert_differ("tcp,actions=1", "app=1,tcp,actions=1");
	assert_differ("tcp,actions=1", "udp,actions=1");
	assert_differ("ip,nw_src=1.2.3.0/24,actions=1", "ip,nw_src=1.2.3.0/25,actions=1");
	assert_differ("tcp,tcp_flags=0x12/0x12,actions=1", "tcp,tcp_flags=0x12,actions=1");
	assert_differ("dl_vlan=0,actions=1", "dl_vlan=0xffff,actions=1");
}

static void flow_id_is_app_and_hash_of_table_priority_and_match(void **state)
{
	parse("app=0x1234,table=3,priority=258,tcp,cookie=9,actions=1", &one);
	assert_int_equal(one.rule.flow_id >> 48, 0x1234);
	assert_true(one.rule.flow_id == weir_rule_flow_id(&one.rule, 0x1234));
	parse("table=3,priority=258,tcp,actions=drop", &two);
	assert_true((one.rule.flow_id & 0xffffffffffff) == two.rule.flow_id);
}

static void fields_print_as_a_reader_of_ovs_expects(void **state)
{
	static const char head[] = "cookie=0x0,table=0,priority=32768,";
	static const char *const flows[] = {
		"in_port=LOCAL,actions=drop",
		"in_port=65279,actions=drop",
		"in_port=4294967040,actions=drop",
		"metadata=0x5/0xff,actions=drop",
		"dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
		"dl_type=0x1234,actions=drop",
		"dl_vlan=4095,dl_vlan_pcp=7,actions=drop",
		"vlan_vid=0x0,actions=drop",
		"vlan_vid=0x1000/0x1000,dl_vlan_pcp=0,actions=drop",
		"ip,nw_proto=47,actions=drop",
		"ip,nw_tos=252,nw_ecn=3,nw_ttl=255,actions=drop",
		"ip,nw_src=10.0.0.0/8,nw_dst=10.0.3.0/255.0.255.0,actions=drop",
		"tcp,tp_src=0x800/0xf800,tp_dst=65535,tcp_flags=0x2/0x12,actions=drop",
		"udp6,ipv6_src=fe80::/10,ipv6_dst=::1,ipv6_label=0x5/0xf,actions=drop",
		"ipv6,ipv6_src=1:2:3:4:5:6:7:8,ipv6_dst=1::8,actions=drop",
		"ipv6,ipv6_src=::,ipv6_dst=1::,actions=drop",
		"ipv6,ipv6_src=1:0:2::3,ipv6_dst=::ffff:0:0/::ffff:ffff:0:0,actions=drop",
		"sctp,tp_src=1,actions=drop",
		"sctp6,tp_dst=1,actions=drop",
		"tcp6,actions=drop",
		"icmp,icmp_type=8,icmp_code=0,actions=drop",
		"icmp6,icmp_type=135,nd_target=::1,nd_sll=00:00:00:00:00:01,actions=drop",
		"icmp6,icmp_type=136,nd_tll=00:00:00:00:00:01,actions=drop",
		"arp,arp_op=1,arp_spa=1.2.3.4,arp_sha=00:00:00:00:00:01,actions=drop",
		"rarp,arp_tha=00:00:00:00:00:01,actions=drop",
		"mpls,mpls_label=1048575,mpls_tc=7,mpls_bos=1,actions=drop",
		"mplsm,actions=drop",
		"tun_id=0xffffffffffffffff,actions=drop",
	};
	char expected[256];

	for (unsigned i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		snprintf(expected, sizeof(expected), "%s%s", head, flows[i]);
		assert_prints(flows[i], expected);
	}
}

static void actions_print_as_a_reader_of_ovs_expects(void **state)
{
	static const char *const pairs[][2] = {
		{"1,output=2,output(3),OUTPUT:4", "output:1,output:2,output:3,output:4"},
		{"in_port,local,all,flood,normal,table", "IN_PORT,LOCAL,ALL,FLOOD,NORMAL,TABLE"},
		{"controller,controller:0,controller(max_len=5),output:controller,controller()",
			"CONTROLLER:65535,CONTROLLER:0,CONTROLLER:5,CONTROLLER:65535,"
			"CONTROLLER:65535"},
		{"4294967293", "CONTROLLER:65535"},
		{"group:4294967040,set_queue:4294967295", "group:4294967040,set_queue:4294967295"},
		{"push_vlan:0x8100,strip_vlan,pop_vlan,push_vlan:0x88A8",
			"push_vlan:0x8100,pop_vlan,pop_vlan,push_vlan:0x88a8"},
		{"pop_vlan,mod_vlan_vid:5,mod_vlan_pcp:3",
			"pop_vlan,push_vlan:0x8100,set_field:4101->vlan_vid,"
			"set_field:3->vlan_pcp"},
		{"set_field:5->dl_vlan", "set_field:4101->vlan_vid"},
		{"mod_nw_src:1.2.3.4,mod_nw_dst:4.3.2.1,mod_tp_src:5,mod_tp_dst:6",
			"set_field:1.2.3.4->ip_src,set_field:4.3.2.1->ip_dst,"
			"set_field:5->tcp_src,set_field:6->tcp_dst"},
		{"set_field:5->tp_src,set_field:32->nw_tos",
			"set_field:5->tcp_src,set_field:8->ip_dscp"},
		{"mod_dl_src:1:2:3:4:5:6,mod_nw_tos:32,mod_nw_ecn:1,mod_nw_ttl:9,dec_ttl",
			"set_field:01:02:03:04:05:06->eth_src,set_field:8->ip_dscp,"
			"set_field:1->nw_ecn,mod_nw_ttl:9,dec_ttl"},
		{"push_mpls:0x8847,set_field:5->mpls_label,set_mpls_ttl:3,dec_mpls_ttl,"
		 "pop_mpls:0x800",
			"push_mpls:0x8847,set_field:5->mpls_label,set_mpls_ttl:3,"
			"dec_mpls_ttl,pop_mpls:0x0800"},
		{"meter:5,1,clear_actions,write_actions(output:2,group:3),"
		 "write_metadata:5/0xff,goto_table:254",
			"meter:5,output:1,clear_actions,write_actions(output:2,group:3),"
			"write_metadata:0x5/0xff,goto_table:254"},
		{"write_actions()", "drop"},
		{" 1, 2,,\t3, ", "output:1,output:2,output:3"},
	};
	char flow[256], expected[256];

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		snprintf(flow, sizeof(flow), "tcp,dl_vlan=1,actions=%s", pairs[i][0]);
		snprintf(expected, sizeof(expected),
			"cookie=0x0,table=0,priority=32768,tcp,dl_vlan=1,actions=%s", pairs[i][1]);
		assert_prints(flow, expected);
	}
}

static void a_dump_can_be_fed_back(void **state)
{
	assert_prints(" cookie=0x1, duration=5.123s, table=2, n_packets=7, n_bytes=420, "
		      "idle_timeout=9, idle_age=5, hard_age=6, priority=100,tcp,tp_dst=80 "
		      "actions=output:2",
		"cookie=0x1,table=2,priority=100,idle_timeout=9,tcp,tp_dst=80,actions=output:2");
}

static void white_space_is_allowed_as_in_ovs_ofctl(void **state)
{
	assert_prints(" \tpriority=5 ,, tcp   tp_src=5\r\n actions= output:1 output:2 \n",
		"cookie=0x0,table=0,priority=5,tcp,tp_src=5,actions=output:1,output:2");
}

static void identity_needs_no_actions_and_drops_those_that_are_there(void **state)
{
	static const char *const flows[] = {"tcp,tp_dst=80", "tcp,tp_dst=80,actions=output:1"};

	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(weir_flow_parse(flows[i], strlen(flows[i]), WEIR_FLOW_IDENTITY,
					 &one.rule, sizeof(one), NULL),
			0);
		assert_int_equal(one.rule.instr_len, 0);
		parse("tcp,tp_dst=80,actions=2", &two);
		assert_true(weir_rule_same(&one.rule, &two.rule));
	}
	assert_int_equal(weir_flow_parse("actions=nonsense", 16, WEIR_FLOW_IDENTITY, &one.rule,
				 sizeof(one), NULL),
		WEIR_BADFLOW);
	assert_int_equal(
		weir_flow_parse("", 0, WEIR_FLOW_IDENTITY, &one.rule, sizeof(one), NULL), 0);
}

/* ------------------------------------------------------------------------------------------ */

static const struct {
	const char *flow;
	unsigned column;
	const char *says; /* stands in the message */
} faults[] = {
	/* Text. */
	{"", 1, "empty flow"},
	{"tcp", 4, "actions= is missing"},
	{"tcp,actions", 5, "\"=\" is missing"},
	{"nonsense=1,actions=drop", 1, "unknown field or key: \"nonsense=1\""},
	{"tcp,TCP,actions=drop", 5, "\"TCP\""},
	{"a_word_of_seventeen_bytes=1,actions=drop", 1, "unknown field"},
	{"=5,actions=drop", 1, "unknown field"},
	{"tcp,;,actions=drop", 5, "unknown field or key: \";\""},
	{"tcp=5,actions=drop", 4, "not understood: \"=5\""},
	{"send_flow_rem=1,actions=drop", 14, "not understood"},
	{"duration,actions=drop", 1, "a value is missing"},
	/* Head. */
	{"cookie=0x10000000000000000,actions=drop", 8, "not a value of cookie"},
	{"cookie=18446744073709551616,actions=drop", 8, "not a value of cookie"},
	{"cookie=1/0xff,actions=drop", 9, "not understood: \"/0xff\""},
	{"cookie,actions=drop", 1, "a value is missing"},
	{"table=255,actions=drop", 7, "not a value of table: \"255\""},
	{"table=-1,actions=drop", 7, "not a value of table"},
	{"table=,actions=drop", 7, "not a value of table"},
	{"priority=65536,actions=drop", 10, "not a value of priority"},
	{"priority=010,actions=drop", 10, "not a value of priority"},
	{"priority=0x,actions=drop", 10, "not a value of priority"},
	{"priority=1x,actions=drop", 11, "not understood: \"x\""},
	{"priority=1,priority=1,actions=drop", 12, "given before"},
	{"idle_timeout=65536,actions=drop", 14, "not a value of idle_timeout"},
	{"hard_timeout=65536,actions=drop", 14, "not a value of hard_timeout"},
	{"app=65536,actions=drop", 5, "not a value of app"},
	{"app=-1,actions=drop", 5, "not a value of app"},
	/* Values. */
	{"in_port=4294967296,actions=drop", 9, "not a value of in_port"},
	{"in_port=FLOOD,actions=drop", 1, "no packet comes in"},
	{"in_port=ANY,actions=drop", 9, "not a value of in_port"},
	{"in_port=65534,actions=drop", 1, "no packet comes in"},
	{"in_port=1/1,actions=drop", 10, "no mask"},
	{"dl_src=1:2:3:4:5,actions=drop", 8, "not a value of dl_src"},
	{"dl_src=1:2:3:4:5:6:7,actions=drop", 19, "not understood"},
	{"dl_src=100:2:3:4:5:6,actions=drop", 8, "not a value of dl_src"},
	{"dl_src=1:2:3:4:5:6/ff,actions=drop", 20, "not a mask"},
	{"dl_type=65536,actions=drop", 9, "not a value of dl_type"},
	{"dl_type=ip,actions=drop", 9, "not a value of dl_type"},
	{"dl_type=0x800/0xff00,actions=drop", 14, "no mask"},
	{"dl_vlan=4096,actions=drop", 9, "not a VLAN id"},
	{"dl_vlan=5/7,actions=drop", 10, "not understood"},
	{"vlan_vid=0x2000,actions=drop", 10, "not a value of vlan_vid"},
	{"vlan_tci=0x10000,actions=drop", 10, "not a value of vlan_tci"},
	{"vlan_tci=0x3000/0x3000,actions=drop", 10, "in part"},
	{"vlan_tci=0x3000/0xe000,actions=drop", 10, "needs 0x1000"},
	{"dl_vlan_pcp=8,actions=drop", 13, "not a value of dl_vlan_pcp"},
	{"dl_vlan_pcp=5/1,actions=drop", 14, "no mask"},
	{"ip,nw_src=1.2.3,actions=drop", 11, "not a value of nw_src: \"1.2.3\""},
	{"ip,nw_src=1.2.3.256,actions=drop", 11, "not a value of nw_src"},
	{"ip,nw_src=1.2.3.04,actions=drop", 11, "not a value of nw_src"},
	{"ip,nw_src=1.2.3.4.5,actions=drop", 18, "not understood"},
	{"ip,nw_src=1.2.3.4/33,actions=drop", 19, "not a mask: \"33\""},
	{"ip,nw_src=1.2.3.4/,actions=drop", 19, "not a mask"},
	{"ip,nw_src=1.2.3.4/8/8,actions=drop", 19, "not a mask"},
	{"ip,nw_src,actions=drop", 4, "a value is missing"},
	{"ip,nw_src=,actions=drop", 11, "not a value of nw_src"},
	{"ip,nw_proto=256,actions=drop", 13, "not a value of nw_proto"},
	{"ip,nw_proto=6/6,actions=drop", 14, "no mask"},
	{"ip,nw_tos=256,actions=drop", 11, "not a value of nw_tos"},
	{"ip,ip_dscp=64,actions=drop", 12, "not a value of ip_dscp"},
	{"ip,nw_ecn=4,actions=drop", 11, "not a value of nw_ecn"},
	{"ip,nw_ttl=256,actions=drop", 11, "not a value of nw_ttl"},
	{"ipv6,ipv6_src=1:2,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=1::2::3,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=1:2:3:4:5:6:7:8:9,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=1:2:3:4:5:6:7:8::,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=12345::,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=1:2:3:4:5:6:7:1.2.3.4,actions=drop", 30, "not understood"},
	{"ipv6,ipv6_src=:1,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=1:,actions=drop", 15, "not a value of ipv6_src"},
	{"ipv6,ipv6_src=::/129,actions=drop", 18, "not a mask"},
	{"ipv6,ipv6_label=0x100000,actions=drop", 17, "not a value of ipv6_label"},
	{"tcp,tp_src=65536,actions=drop", 12, "not a value of tp_src"},
	{"tcp,tp_src=http,actions=drop", 12, "not a value of tp_src: \"http\""},
	{"tcp,tp_src=1/65536,actions=drop", 14, "not a mask"},
	{"tcp,tcp_flags=0x1000,actions=drop", 15, "not a value of tcp_flags"},
	{"tcp,tcp_flags=+syn-syn,actions=drop", 15, "not a value of tcp_flags"},
	{"tcp,tcp_flags=+foo,actions=drop", 15, "not a value of tcp_flags"},
	{"tcp,tcp_flags=syn|,actions=drop", 15, "not a value of tcp_flags"},
	{"icmp,icmp_type=256,actions=drop", 16, "not a value of icmp_type"},
	{"metadata=0x10000000000000000,actions=drop", 10, "not a value of metadata"},
	{"mpls,mpls_bos=2,actions=drop", 15, "not a value of mpls_bos"},
	/* Fields that contradict or repeat each other. */
	{"ip,arp,actions=drop", 4, "another dl_type was given before: \"arp\""},
	{"tcp,udp,actions=drop", 5, "another nw_proto was given before: \"udp\""},
	{"tcp,dl_type=0x86dd,actions=drop", 5, "another dl_type"},
	{"tcp,nw_proto=17,actions=drop", 5, "another nw_proto"},
	{"dl_type=0x800,dl_type=0x800,actions=drop", 15, "given before"},
	{"ip,nw_src=1.2.3.4,nw_src=1.2.3.4,actions=drop", 19, "given before"},
	{"ip,nw_src=1.2.3.4/0,nw_src=1.2.3.4,actions=drop", 21, "given before"},
	{"ip,nw_src=1.2.3.4,ip_src=1.2.3.4,actions=drop", 19, "given before"},
	{"arp,arp_spa=1.2.3.4,nw_src=1.2.3.4,actions=drop", 21, "given before"},
	{"tcp,tp_src=1,tcp_src=1,actions=drop", 5, "given before"},
	{"dl_vlan=1,vlan_tci=0x1001,actions=drop", 11, "given before"},
	{"dl_vlan_pcp=1,vlan_tci=0x3001,actions=drop", 15, "given before"},
	/* Prerequisites. */
	{"nw_src=1.2.3.4,actions=drop", 1, "this needs ip, arp or rarp"},
	{"ipv6,nw_src=1.2.3.4,actions=drop", 6, "this needs ip, arp or rarp"},
	{"ip,ipv6_src=::1,actions=drop", 4, "this needs ipv6"},
	{"nw_proto=6,actions=drop", 1, "this needs ip, ipv6, arp or rarp"},
	{"ip,tp_src=5,actions=drop", 4, "this needs tcp, udp or sctp"},
	{"udp,tcp_src=5,actions=drop", 5, "this needs tcp or tcp6"},
	{"tcp,udp_src=5,actions=drop", 5, "this needs udp or udp6"},
	{"tcp,sctp_src=5,actions=drop", 5, "this needs sctp or sctp6"},
	{"nw_tos=4,actions=drop", 1, "this needs ip or ipv6"},
	{"udp,tcp_flags=syn,actions=drop", 5, "this needs tcp"},
	{"tcp,icmp_type=5,actions=drop", 5, "this needs icmp or icmp6"},
	{"icmp,icmpv6_type=5,actions=drop", 6, "this needs icmp6"},
	{"icmp6,nd_target=::1,actions=drop", 7, "icmp_type 135 or 136"},
	{"icmp6,icmp_type=136,nd_sll=1:2:3:4:5:6,actions=drop", 21, "icmp_type 135"},
	{"icmp6,icmp_type=135,nd_tll=1:2:3:4:5:6,actions=drop", 21, "icmp_type 136"},
	{"ip,arp_op=1,actions=drop", 4, "this needs arp or rarp"},
	{"ip,mpls_label=1,actions=drop", 4, "this needs mpls"},
	{"dl_vlan=0xffff,dl_vlan_pcp=1,actions=drop", 16, "a VLAN tag"},
	/* Actions. */
	{"actions=nonsense:1", 9, "unknown action: \"nonsense:1\""},
	{"actions=1,tcp", 11, "unknown action: \"tcp\""},
	{"actions=;", 9, "unknown action"},
	{"actions=drop,1", 14, "drop must stand alone"},
	{"actions=1,drop", 11, "another action stands before"},
	{"actions=output", 9, "an argument is missing"},
	{"actions=output:", 16, "not a port"},
	{"actions=output:ANY", 16, "not a port"},
	{"actions=output:65280", 16, "not a port"},
	{"actions=output:4294967041", 16, "not a port"},
	{"actions=output:4294967296", 16, "not a port"},
	{"actions=output(1", 16, "not a port"},
	{"actions=output:1)", 17, "not understood: \")\""},
	{"actions=65535", 9, "not a port"},
	{"actions=4294967295", 9, "not a port"},
	{"actions=1x", 10, "not understood: \"x\""},
	{"actions=FLOOD:5", 14, "not understood"},
	{"actions=controller:65536", 20, "not an argument of controller"},
	{"actions=controller(max_len=65536)", 20, "not an argument of controller"},
	{"actions=controller(reason=no_match)", 20, "not an argument of controller"},
	{"actions=controller(max_len=5", 20, "not an argument of controller"},
	{"actions=controller(", 20, "not an argument of controller"},
	{"actions=group:4294967041", 15, "not an argument of group"},
	{"actions=group", 9, "an argument is missing"},
	{"actions=group(5", 15, "not an argument of group"},
	{"actions=set_queue:4294967296", 19, "not an argument of set_queue"},
	{"actions=pop_vlan", 9, "this needs a match on a VLAN tag"},
	{"dl_vlan=1,actions=pop_vlan,pop_vlan", 28, "this needs a match on a VLAN tag"},
	{"actions=push_vlan:0x9100", 19, "not the type of a VLAN tag"},
	{"actions=push_vlan:0x10000", 19, "not an argument of push_vlan"},
	{"actions=push_mpls:0x8100", 19, "not the type of an MPLS header"},
	{"actions=pop_mpls:0x800", 9, "this needs mpls"},
	{"ip,actions=push_mpls:0x8847,dec_ttl", 29, "this needs ip or ipv6"},
	{"actions=dec_ttl", 9, "this needs ip or ipv6"},
	{"ip,actions=mod_nw_ttl:256", 23, "not an argument of mod_nw_ttl"},
	{"ip,actions=mod_nw_tos:33", 23, "the two low bits"},
	{"ip,actions=mod_nw_src:1.2.3", 23, "not an argument of mod_nw_src"},
	{"ip,actions=mod_nw_src", 12, "an argument is missing"},
	{"actions=mod_nw_src:1.2.3.4", 9, "this needs ip"},
	{"ip,actions=mod_tp_src:5", 12, "this needs tcp, udp or sctp"},
	{"actions=mod_vlan_vid:4096", 22, "not an argument of mod_vlan_vid"},
	{"actions=mod_vlan_pcp:8", 22, "not an argument of mod_vlan_pcp"},
	{"actions=set_field", 9, "an argument is missing"},
	{"actions=set_field:5", 19, "\"->\" and a field are missing"},
	{"actions=set_field:5->", 22, "unknown field"},
	{"actions=set_field:5->nonsense", 22, "unknown field: \"nonsense\""},
	{"actions=set_field:5->tcp", 22, "unknown field"},
	{"actions=set_field:5->table", 22, "unknown field"},
	{"actions=set_field:5->vlan_tci", 22, "unknown field"},
	{"actions=set_field:5->in_port", 22, "cannot be set"},
	{"ip,actions=set_field:6->ip_proto", 25, "cannot be set"},
	{"ip,actions=set_field:1.2.3->ip_src", 22, "not a value"},
	{"ip,actions=set_field:1.2.3.4/24->ip_src", 29, "no mask"},
	{"ip,actions=set_field:1.2.3.4x->ip_src", 29, "not understood"},
	{"ip,actions=set_field:33->nw_tos", 22, "not a value"},
	{"actions=set_field:1.2.3.4->ip_src", 28, "does not say which field"},
	{"ip,actions=set_field:::1->ipv6_src", 12, "this needs ipv6"},
	{"dl_vlan=1,actions=set_field:5->vlan_vid", 29, "with 0x1000"},
	{"actions=set_field:4097->vlan_vid", 9, "this needs a match on a VLAN tag"},
	/* Instructions. */
	{"actions=goto_table:255", 20, "not an argument of goto_table"},
	{"actions=goto_table:0", 20, "a table above the rule's own (0)"},
	{"table=5,actions=goto_table:5", 28, "a table above the rule's own (5)"},
	{"actions=goto_table:1,output:1", 22, "must stand before goto_table"},
	{"actions=goto_table:1,goto_table:2", 22, "goto_table was given before"},
	{"actions=clear_actions,output:1", 23, "must stand before clear_actions"},
	{"actions=write_actions(1),clear_actions", 26, "must stand before write_actions"},
	{"actions=1,meter:1", 11, "meter must stand before"},
	{"actions=meter:0", 15, "not a meter"},
	{"actions=meter:4294901761", 15, "not an argument of meter"},
	{"actions=write_metadata", 9, "an argument is missing"},
	{"actions=write_metadata:x", 24, "not metadata"},
	{"actions=write_metadata:5/", 24, "not metadata"},
	{"actions=write_actions", 9, "\"(\" is missing"},
	{"actions=write_actions(1", 9, "\")\" is missing"},
	{"actions=write_actions(1))", 25, "not understood: \")\""},
	{"actions=write_actions(drop)", 23, "not allowed in write_actions"},
	{"actions=write_actions(goto_table:3)", 23, "not allowed in write_actions"},
	{"actions=write_actions(write_actions(1))", 23, "not allowed in write_actions"},
	{"actions=apply_actions(1)", 9, "unknown action"},
};

static void each_fault_has_its_column_and_its_word(void **state)
{
	for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct weir_flow_fault fault = {0};
		const char *flow = faults[i].flow;
		int err = weir_flow_parse(
			flow, strlen(flow), WEIR_FLOW_RULE, &one.rule, sizeof(one), &fault);

		if (err != WEIR_BADFLOW || fault.column != faults[i].column ||
			strstr(fault.message, faults[i].says) == NULL)
			fail_msg("%s: %s, column %u: %s (not %u: %s)", flow, weir_err_code(err),
				fault.column, fault.message, faults[i].column, faults[i].says);
		assert_int_equal(weir_flow_parse(flow, strlen(flow), WEIR_FLOW_RULE, &one.rule,
					 sizeof(one), NULL),
			WEIR_BADFLOW);
	}
}

static void no_byte_of_a_text_can_hide_or_break_a_message(void **state)
{
	static const char nul[] = "tcp\0,actions=drop";
	static const char line[] = "tcp,\x01\x7f\xff\r\n=\x1b[31m,actions=drop";
	struct weir_flow_fault fault;

	assert_int_equal(weir_flow_parse(nul, sizeof(nul) - 1, WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		WEIR_BADFLOW);
	assert_int_equal(fault.column, 4);
	assert_string_equal(fault.message, "not understood: \"?\"");
	assert_int_equal(weir_flow_parse(line, sizeof(line) - 1, WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		WEIR_BADFLOW);
	assert_int_equal(fault.column, 5);
	assert_string_equal(fault.message, "unknown field or key: \"???\"");
	memset(text, 'x', 1000);
	assert_int_equal(
		weir_flow_parse(text, 1000, WEIR_FLOW_RULE, &one.rule, sizeof(one), &fault),
		WEIR_BADFLOW);
	assert_true(strlen(fault.message) < sizeof(fault.message));
}

static void no_text_is_read_past_its_end(void **state)
{
	static const char flow[] =
		"cookie=0x1,in_port=LOCAL,dl_src=1:2:3:4:5:6/ff:ff:ff:ff:ff:00,dl_vlan=5,tcp6,"
		"ipv6_src=1::2/64,ipv6_dst=::1.2.3.4,tp_src=0x10/0xfff0,tcp_flags=+syn-ack,"
		"actions=meter:1,output:1,controller(max_len=5),set_field:1::2->ipv6_src,"
		"mod_vlan_vid:5,write_actions(group:1),write_metadata:1/2,goto_table:7";
	char *copy;

	for (size_t len = 0; len < sizeof(flow); len++) {
		copy = test_malloc(len > 0 ? len : 1);
		memcpy(copy, flow, len);
		weir_flow_parse(copy, len, WEIR_FLOW_RULE, &one.rule, sizeof(one), NULL);
		test_free(copy);
	}
}

static void a_text_up_to_the_limit_is_read_and_a_longer_one_is_not(void **state)
{
	static const char end[] = "actions=drop";
	struct weir_flow_fault fault = {0};

	memset(text, ' ', sizeof(text));
	memcpy(text + WEIR_FLOW_TEXT_MAX - strlen(end), end, strlen(end));
	assert_int_equal(weir_flow_parse(text, WEIR_FLOW_TEXT_MAX, WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		0);
	assert_int_equal(weir_flow_parse(text, WEIR_FLOW_TEXT_MAX + 1, WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		WEIR_TOOBIG);
	assert_int_equal(fault.column, WEIR_FLOW_TEXT_MAX + 1);
	assert_non_null(strstr(fault.message, "16384"));
}

/* A flow with `count` actions of 8 bytes each; their text is as long as it can get. */
static size_t many_actions(unsigned count)
{
	size_t len = (size_t)sprintf(text, "actions=");

	for (unsigned i = 0; i < count; i++)
		len += (size_t)sprintf(text + len, "set_queue:4294967295,");
	return len;
}

static void instructions_up_to_the_limit_are_kept_and_more_are_not(void **state)
{
	const unsigned most = (WEIR_INSTR_BYTES_MAX - 8) / 8;
	static char printed[WEIR_FLOW_TEXT_MAX];
	struct weir_flow_fault fault = {0};
	int len;

	assert_int_equal(weir_flow_parse(text, many_actions(most), WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		0);
	assert_int_equal(one.rule.instr_len, WEIR_INSTR_BYTES_MAX);
	assert_int_equal(weir_rule_check(&one.rule, weir_rule_bytes(&one.rule)), 0);
	len = weir_flow_print(&one.rule, WEIR_FLOW_PRINT_ALL, printed, sizeof(printed));
	assert_true(len > 0);
	assert_int_equal(weir_flow_parse(printed, (size_t)len, WEIR_FLOW_RULE, &two.rule,
				 sizeof(two), &fault),
		0);
	assert_memory_equal(&one, &two, weir_rule_bytes(&one.rule));
	assert_int_equal(weir_flow_parse(text, many_actions(most + 1), WEIR_FLOW_RULE, &one.rule,
				 sizeof(one), &fault),
		WEIR_TOOBIG);
	assert_non_null(strstr(fault.message, "4096"));
}

static void a_rule_must_fit_its_room(void **state)
{
	static const char flow[] = "tcp,tp_dst=80,actions=output:1";
	struct weir_flow_fault fault;
	size_t bytes;

	parse(flow, &one);
	bytes = weir_rule_bytes(&one.rule);
	memset(&two, 0xee, sizeof(two));
	assert_int_equal(
		weir_flow_parse(flow, strlen(flow), WEIR_FLOW_RULE, &two.rule, bytes, &fault), 0);
	assert_memory_equal(&one, &two, bytes);
	assert_int_equal(two.bytes[bytes], 0xee);
	memset(&two, 0xee, sizeof(two));
	assert_int_equal(
		weir_flow_parse(flow, strlen(flow), WEIR_FLOW_RULE, &two.rule, bytes - 1, &fault),
		WEIR_TOOBIG);
	assert_int_equal(two.bytes[0], 0xee);
	assert_int_equal(
		weir_flow_parse(flow, strlen(flow), WEIR_FLOW_RULE, &two.rule, bytes - 1, NULL),
		WEIR_TOOBIG);
}

static void a_print_must_fit_its_room(void **state)
{
	char *room;
	int len;

	parse("tcp,tp_dst=80,actions=output:1", &one);
	len = weir_flow_print(&one.rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));
	for (int size = 0; size <= len; size++) {
		room = test_malloc(size > 0 ? (size_t)size : 1);
		assert_int_equal(
			weir_flow_print(&one.rule, WEIR_FLOW_PRINT_ALL, room, (size_t)size),
			WEIR_TOOBIG);
		test_free(room);
	}
	room = test_malloc((size_t)len + 1);
	assert_int_equal(
		weir_flow_print(&one.rule, WEIR_FLOW_PRINT_ALL, room, (size_t)len + 1), len);
	test_free(room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_ovs_ofctl),
		cmocka_unit_test(head_is_read_and_printed_to_its_limits),
		cmocka_unit_test(app_is_left_out_where_the_reader_is_not_weir),
		cmocka_unit_test(match_is_in_canonical_order_whatever_the_text_has),
		cmocka_unit_test(fields_of_other_classes_stand_last),
		cmocka_unit_test(two_texts_of_one_match_are_one_rule),
		cmocka_unit_test(instructions_cookie_and_timeouts_are_not_identity),
		cmocka_unit_test(table_priority_app_and_match_are_identity),
		cmocka_unit_test(flow_id_is_app_and_hash_of_table_priority_and_match),
		cmocka_unit_test(fields_print_as_a_reader_of_ovs_expects),
		cmocka_unit_test(actions_print_as_a_reader_of_ovs_expects),
		cmocka_unit_test(a_dump_can_be_fed_back),
		cmocka_unit_test(white_space_is_allowed_as_in_ovs_ofctl),
		cmocka_unit_test(identity_needs_no_actions_and_drops_those_that_are_there),
		cmocka_unit_test(each_fault_has_its_column_and_its_word),
		cmocka_unit_test(no_byte_of_a_text_can_hide_or_break_a_message),
		cmocka_unit_test(no_text_is_read_past_its_end),
		cmocka_unit_test(a_text_up_to_the_limit_is_read_and_a_longer_one_is_not),
		cmocka_unit_test(instructions_up_to_the_limit_are_kept_and_more_are_not),
		cmocka_unit_test(a_rule_must_fit_its_room),
		cmocka_unit_test(a_print_must_fit_its_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
