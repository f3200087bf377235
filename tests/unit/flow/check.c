/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "flow/flow.h"

union room {
	struct weir_rule rule;
	uint8_t bytes[WEIR_RULE_BYTES_MAX + 8];
};

static union room room;

static void parse(const char *flow)
{
	struct weir_flow_fault fault = {0};

	if (weir_flow_parse(flow, strlen(flow), WEIR_FLOW_RULE, &room.rule, sizeof(room), &fault) !=
		0)
		fail_msg("%s: column %u: %s", flow, fault.column, fault.message);
}

/* Makes a rule of match and instructions in hexadecimal, with the flow id that it must carry. */
static size_t put_hex(uint8_t *at, const char *hex)
{
	size_t bytes = 0;

	for (; *hex != '\0'; hex++) {
		char digits[3] = {hex[0], hex[1], '\0'};

		if (*hex == ' ')
			continue;
		at[bytes++] = (uint8_t)strtoul(digits, NULL, 16);
		hex++;
	}
	return bytes;
}

static int check(const char *match, const char *instr)
{
	struct weir_rule *rule = &room.rule;

	memset(&room, 0, sizeof(room));
	rule->match_len = (uint16_t)put_hex(rule->data, match);
	rule->instr_len = (uint16_t)put_hex(rule->data + rule->match_len, instr);
	rule->flow_id = weir_rule_flow_id(rule, 3);
	return weir_rule_check(rule, weir_rule_bytes(rule));
}

#define IP      "80000a020800 "
#define IP6     "80000a0286dd "
#define TCP     IP "8000140106 "
#define UDP     IP "8000140111 "
#define TAG     "80000c021005 "
#define APPLY16 "0004001800000000 "

static void assert_bad(const char *match, const char *instr)
{
	if (check(match, instr) != WEIR_BADFLOW)
		fail_msg("passed: %s | %s", match, instr);
}

static void assert_good(const char *match, const char *instr)
{
	static char text[WEIR_FLOW_TEXT_MAX];
	static union room again;

	if (check(match, instr) != 0)
		fail_msg("did not pass: %s | %s", match, instr);
	assert_true(weir_flow_print(&room.rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text)) > 0);
	assert_int_equal(weir_flow_parse(text, strlen(text), WEIR_FLOW_RULE, &again.rule,
				 sizeof(again), NULL),
		0);
	assert_memory_equal(&again, &room, weir_rule_bytes(&room.rule));
}

static void canonical_matches_pass(void **state)
{
	assert_good("", "");
	assert_good("8000000400000001", "");
	assert_good(TCP "8000170801020300ffffff00 80001a020050", "");
	assert_good("80000d0410001000 80000e0105", "");
	assert_good(IP "00013a0105", "");
	assert_good(TCP "ffff54064f4e46000012", "");
	assert_good(IP6 "800014013a 80003a0187 8000400600000000000a", "");
}

static void matches_out_of_form_are_refused(void **state)
{
	assert_bad("80", "");                          /* not a whole header */
	assert_bad("80000a0208", "");                  /* not a whole value */
	assert_bad("80000a03080000", "");              /* wrong length */
	assert_bad("80000a0108", "");                  /* wrong length */
	assert_bad("80005804 00000000", "");           /* unknown field */
	assert_bad("00020004 00000000", "");           /* unknown class */
	assert_bad(TCP "ffff54064f4e46010012", "");    /* unknown experimenter */
	assert_bad("8000140106 " IP, "");              /* order */
	assert_bad(IP IP, "");                         /* twice */
	assert_bad(IP "00013a0105 8000140106", "");    /* another class before the basic one */
	assert_bad(IP "8000170801020304ffffff00", ""); /* masked-out bits */
	assert_bad(IP "8000170801020304ffffffff", ""); /* mask of all ones */
	assert_bad(IP "800017080000000000000000", ""); /* mask of all zeros */
	assert_bad("80000b0408000fff", "");            /* mask where none may be */
	assert_bad("80000c022000", "");                /* a bit that has no meaning */
	assert_bad("80000d0400002000", "");            /* a bit that has no meaning */
	assert_bad(IP "8000100140", "");               /* six bits only */
	assert_bad("80000004fffffffb", "");            /* in_port=FLOOD */
	assert_bad("800000040000fffe", "");            /* a port number of OpenFlow 1.0 */
	assert_bad("80000e0105", "");                  /* no tag */
	assert_bad("80000c020000 80000e0105", "");     /* no tag */
	assert_bad("8000140106", "");                  /* no eth_type */
	assert_bad(IP "80001a020050", "");             /* no ip_proto */
	assert_bad(UDP "80001a020050", "");            /* another ip_proto */
	assert_bad(IP6 "8000160401020304", "");        /* another eth_type */
	assert_bad(IP6 "800014013a 80003a0188 800040060000000000ff", ""); /* another icmp type */
}

static void well_formed_instructions_pass(void **state)
{
	assert_good("", APPLY16 "00000010 00000001 0000 000000000000");
	assert_good("", APPLY16 "00000010 fffffffd 0080 000000000000");
	assert_good(IP, APPLY16 "00190010 80001604 01020304 00000000");
	assert_good(TAG, "0004002000000000 0012000800000000 00110008 81000000 "
			 "00110008 88a80000");
	assert_good("", "0006000800000001 0005000800000000 0001000801000000");
	assert_good("", "0002001800000000 000000000000000f 00000000000000f0");
	assert_good("", "0003001000000000 0012000800000000"); /* a set may be for others */
	assert_good("80000a028847", "0004001800000000 0014000808000000 0018000800000000");
}

static void instructions_out_of_form_are_refused(void **state)
{
	assert_bad("", "00060008");                          /* not whole */
	assert_bad("", "0006000800000000");                  /* meter 0 */
	assert_bad("", "00060008ffff0001");                  /* meter above the largest */
	assert_bad("", "0006001000000001 0000000000000000"); /* length */
	assert_bad("", "0006000000000001");                  /* length 0 */
	assert_bad("", "0006000700000001");                  /* length below a head's */
	assert_bad("", "0005000800000001");                  /* padding */
	assert_bad("", "0007000800000000");                  /* unknown instruction */
	assert_bad("", "ffff000800000000");                  /* unknown instruction */
	assert_bad("", "0001000801000000 0006000800000001"); /* order */
	assert_bad("", "0006000800000001 0006000800000001"); /* twice */
	assert_bad("", "0001000800000000");                  /* not beyond its own table */
	assert_bad("", "00010008ff000000");                  /* no such table */
	assert_bad("", "0001000801000001");                  /* padding */
	assert_bad("", "0002001800000001 0000000000000000 0000000000000000"); /* padding */
	assert_bad("", "0002001000000000 0000000000000000");                  /* length */
	assert_bad("", "0004000800000000");                                   /* nothing to apply */
	assert_bad("", "0003000800000000");                                   /* nothing to write */
	assert_bad("", "0004001800000001 00000010 00000001 0000 000000000000");
	assert_bad("", "0004002000000000 00000010 00000001 0000 000000000000");
	assert_bad("", APPLY16 "00000010 ffffffff 0000 000000000000");   /* no such port */
	assert_bad("", APPLY16 "00000010 00000001 0001 000000000000");   /* max_len */
	assert_bad("", APPLY16 "00000010 00000001 0000 000000000001");   /* padding */
	assert_bad("", APPLY16 "00000018 00000001 0000 000000000000");   /* too long */
	assert_bad("", APPLY16 "00000000 00000001 0000 000000000000");   /* length 0 */
	assert_bad("", APPLY16 "0000000c 00000001 0000 000000000000");   /* length */
	assert_bad("", APPLY16 "00010010 00000001 0000 000000000000");   /* unknown action */
	assert_bad("", APPLY16 "ffff0010 00002320 0014 000500000000");   /* experimenter */
	assert_bad("", "0004001000000000 00160008ffffff01");             /* group */
	assert_bad("", "0004001000000000 0012000800000000");             /* no tag */
	assert_bad("", "0004001000000000 0018000800000000");             /* not ip */
	assert_bad(IP, "0004001000000000 0018000800000001");             /* padding */
	assert_bad(IP, "0004001000000000 0017000805000001");             /* padding */
	assert_bad(TAG, "0004001000000000 0012000800000001");            /* padding */
	assert_bad("", "0004001000000000 0011000891000000");             /* not a tag's type */
	assert_bad("", "0004001000000000 0011000881000001");             /* padding */
	assert_bad("", "0004001000000000 0013000881000000");             /* not MPLS */
	assert_bad("80000a028847", "0004001000000000 0014000808000001"); /* padding */
	assert_bad("", APPLY16 "00190010 80001604 01020304 00000000");   /* not ip */
	assert_bad(IP, APPLY16 "00190010 80001604 01020304 00000001");   /* padding */
	assert_bad(IP, APPLY16 "00190010 80001401 06000000 00000000");   /* read-only */
	assert_bad(TAG, APPLY16 "00190010 80000c02 00050000 00000000");  /* no tag bit */
	assert_bad("", APPLY16 "00190010 80000c02 10050000 00000000");   /* no tag */
	assert_bad(IP, APPLY16 "00190010 80001001 40000000 00000000");   /* six bits only */
	assert_bad(IP, APPLY16 "00190010 80001708 01020304 ffffff00");   /* masked */
	assert_bad(IP, APPLY16 "00190010 80002c04 01020304 00000000");   /* arp_spa in ip */
	assert_bad(IP, "0004002000000000 00190018 80001604 01020304 00000000 "
		       "0000000000000000");                   /* longer than it needs */
	assert_bad(IP, "0004001000000000 00190008 80001604"); /* shorter than it needs */
}

/* Every prefix of a good rule, in memory of just that size. */
static void truncated_rules_are_refused_at_every_length(void **state)
{
	size_t bytes;

	parse("app=9,tcp6,dl_vlan=3,ipv6_src=1::/64,tp_src=5,actions=meter:1,dec_ttl,"
	      "set_field:1::2->ipv6_src,output:1,clear_actions,write_actions(group:1),"
	      "write_metadata:1/2,goto_table:7");
	bytes = weir_rule_bytes(&room.rule);
	assert_int_equal(weir_rule_check(&room.rule, bytes), 0);
	assert_int_equal(weir_rule_check(&room.rule, bytes + 8), 0);
	for (size_t len = 0; len < bytes; len++) {
		void *copy = test_malloc(len > 0 ? len : 1);

		memcpy(copy, &room, len);
		assert_int_equal(weir_rule_check(copy, len), WEIR_BADFLOW);
		test_free(copy);
	}
}

/* Every prefix of match or instructions that claims to be whole. */
static void shortened_parts_never_pass_unless_they_are_whole(void **state)
{
	static union room part;
	const char *flow = "tcp,nw_src=1.2.0.0/16,tp_src=5,actions=output:1,output:2";
	unsigned good = 0;

	parse(flow);
	for (unsigned len = 0; len <= room.rule.match_len; len++) {
		part = room;
		part.rule.match_len = (uint16_t)len;
		part.rule.instr_len = 0;
		part.rule.flow_id = weir_rule_flow_id(&part.rule, 0);
		good += weir_rule_check(&part.rule, weir_rule_bytes(&part.rule)) == 0;
	}
	assert_int_equal(good, 5); /* none, eth_type, and so on to all four fields */
	good = 0;
	for (unsigned len = 0; len <= room.rule.instr_len; len++) {
		part = room;
		part.rule.instr_len = (uint16_t)len;
		good += weir_rule_check(&part.rule, weir_rule_bytes(&part.rule)) == 0;
	}
	assert_int_equal(good, 2);
}

static void each_field_of_the_head_is_checked(void **state)
{
	struct weir_rule *rule = &room.rule;
	size_t bytes;

	parse("app=9,tcp,actions=output:1");
	bytes = weir_rule_bytes(rule);
	rule->flow_id ^= 1;
	assert_int_equal(weir_rule_check(rule, bytes), WEIR_BADFLOW);
	rule->flow_id ^= 1;
	rule->priority ^= 1;
	assert_int_equal(weir_rule_check(rule, bytes), WEIR_BADFLOW);
	rule->priority ^= 1;
	for (unsigned i = 0; i < sizeof(rule->zero); i++) {
		rule->zero[i] = 1;
		assert_int_equal(weir_rule_check(rule, bytes), WEIR_BADFLOW);
		rule->zero[i] = 0;
	}
	rule->flags = 0x20;
	assert_int_equal(weir_rule_check(rule, bytes), WEIR_BADFLOW);
	rule->flags = 0;
	rule->table = 255;
	rule->flow_id = weir_rule_flow_id(rule, 9);
	assert_int_equal(weir_rule_check(rule, bytes), WEIR_BADFLOW);
	rule->table = 254;
	rule->flow_id = weir_rule_flow_id(rule, 9);
	assert_int_equal(weir_rule_check(rule, bytes), 0);
}

static void parts_above_their_limits_are_too_big(void **state)
{
	parse("tcp,actions=output:1");
	room.rule.match_len = WEIR_MATCH_BYTES_MAX + 1;
	assert_int_equal(weir_rule_check(&room.rule, sizeof(room)), WEIR_TOOBIG);
	room.rule.match_len = WEIR_MATCH_BYTES_MAX;
	assert_int_equal(weir_rule_check(&room.rule, sizeof(room)), WEIR_BADFLOW);
	parse("tcp,actions=output:1");
	room.rule.instr_len = WEIR_INSTR_BYTES_MAX + 8;
	assert_int_equal(weir_rule_check(&room.rule, sizeof(room)), WEIR_TOOBIG);
}

/* Any single bit of match or instructions changed: refused, or another rule that stands. */
static void a_changed_bit_never_leads_to_the_same_text(void **state)
{
	static char text[WEIR_FLOW_TEXT_MAX], other[WEIR_FLOW_TEXT_MAX];
	struct weir_rule *rule = &room.rule;

	parse("udp,in_port=7,nw_src=1.2.0.0/16,tp_src=5,actions=mod_nw_src:1.2.3.4,output:1");
	weir_flow_print(rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));
	for (unsigned bit = 0; bit < (rule->match_len + rule->instr_len) * 8U; bit++) {
		rule->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		rule->flow_id = weir_rule_flow_id(rule, 0);
		if (weir_rule_check(rule, weir_rule_bytes(rule)) == 0) {
			weir_flow_print(rule, WEIR_FLOW_PRINT_ALL, other, sizeof(other));
			assert_string_not_equal(text, other);
		}
		rule->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* ------------------------------------------------------------------------------------------ */

static union {
	struct weir_entry entry;
	uint8_t bytes[WEIR_ENTRY_BYTES_MAX];
} held;

static uint64_t hash_of(const char *flow)
{
	parse(flow);
	memset(&held, 0, sizeof(held));
	memcpy(&held.entry.rule, &room, weir_rule_bytes(&room.rule));
	held.entry.created = 77;
	held.entry.state = WEIR_FLOW_ADDED;
	return weir_entry_hash(&held.entry);
}

static void content_hash_covers_rule_state_and_created(void **state)
{
	uint64_t base = hash_of("tcp,actions=output:1");

	assert_true(hash_of("tcp,actions=output:1") == base);
	assert_true(hash_of("tcp,actions=output:2") != base);
	assert_true(hash_of("tcp,cookie=1,actions=output:1") != base);
	assert_true(hash_of("tcp,idle_timeout=1,actions=output:1") != base);
	hash_of("tcp,actions=output:1");
	held.entry.state = WEIR_FLOW_PENDING_REMOVE;
	assert_true(weir_entry_hash(&held.entry) != base);
	held.entry.state = WEIR_FLOW_ADDED;
	held.entry.created++;
	assert_true(weir_entry_hash(&held.entry) != base);
}

static void content_hash_leaves_out_what_the_device_reports(void **state)
{
	uint64_t base = hash_of("tcp,actions=output:1");

	held.entry.packets = 1;
	held.entry.bytes = 2;
	held.entry.last_seen_ms = 3;
	held.entry.life_s = 4;
	held.entry.error = 5;
	held.entry.live_type = 3;
	assert_true(weir_entry_hash(&held.entry) == base);
}

static void states_have_names_both_ways(void **state)
{
	for (int i = 0; i < WEIR_FLOW_STATES_COUNT; i++) {
		const char *name = weir_flow_state_name((enum weir_flow_state)i);

		assert_int_equal(weir_flow_state_from_name(name, strlen(name)), i);
	}
	assert_int_equal(weir_flow_state_from_name("pending_add", 11), WEIR_FLOW_PENDING_ADD);
	assert_int_equal(weir_flow_state_from_name("PENDING", 7), WEIR_ERR);
	assert_int_equal(weir_flow_state_from_name("", 0), WEIR_ERR);
	assert_string_equal(weir_flow_state_name(WEIR_FLOW_STATES_COUNT), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(canonical_matches_pass),
		cmocka_unit_test(matches_out_of_form_are_refused),
		cmocka_unit_test(well_formed_instructions_pass),
		cmocka_unit_test(instructions_out_of_form_are_refused),
		cmocka_unit_test(truncated_rules_are_refused_at_every_length),
		cmocka_unit_test(shortened_parts_never_pass_unless_they_are_whole),
		cmocka_unit_test(each_field_of_the_head_is_checked),
		cmocka_unit_test(parts_above_their_limits_are_too_big),
		cmocka_unit_test(a_changed_bit_never_leads_to_the_same_text),
		cmocka_unit_test(content_hash_covers_rule_state_and_created),
		cmocka_unit_test(content_hash_leaves_out_what_the_device_reports),
		cmocka_unit_test(states_have_names_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
