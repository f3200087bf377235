/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Fuzz target of lib/flow: the bytes are taken as a text and as a rule. Whatever is let through
 * must print, and the print must parse to the same bytes.
 *
 * With libFuzzer: clang -fsanitize=fuzzer,address -DWEIR_LIBFUZZER ... flow.c. Otherwise main
 * mutates the flows below, as many times as it is told, from a seed that it prints.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "flow/flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union room {
	struct weir_rule rule;
	uint8_t bytes[WEIR_RULE_BYTES_MAX];
};

static void assert_round_trip(const struct weir_rule *rule)
{
	static char text[WEIR_FLOW_TEXT_MAX];
	static union room again;
	int len = weir_flow_print(rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));
	int err;

	weir_assert(len > 0 && (size_t)len < sizeof(text) && text[len] == '\0');
	err = weir_flow_parse(text, (size_t)len, WEIR_FLOW_RULE, &again.rule, sizeof(again), NULL);
	weir_assert(err == 0);
	weir_assert(weir_rule_bytes(&again.rule) == weir_rule_bytes(rule));
	weir_assert(memcmp(&again, rule, weir_rule_bytes(rule)) == 0);
}

static bool as_text(const uint8_t *data, size_t size)
{
	static union room room;
	struct weir_flow_fault fault = {0};
	int err = weir_flow_parse(
		(const char *)data, size, WEIR_FLOW_RULE, &room.rule, sizeof(room), &fault);

	if (err != 0) {
		weir_assert(fault.column >= 1 && fault.column <= size + 1);
		weir_assert(fault.message[0] != '\0' && strpbrk(fault.message, "\r\n") == NULL);
		return false;
	}
	weir_assert(weir_rule_check(&room.rule, weir_rule_bytes(&room.rule)) == 0);
	assert_round_trip(&room.rule);
	return true;
}

/* The flow id is a hash, which no mutation would find: a rule gets the right one first. */
static bool as_rule(const uint8_t *data, size_t size)
{
	struct weir_rule *rule = malloc(size > 0 ? size : 1);
	bool good;

	weir_assert(rule != NULL);
	if (size > 0)
		memcpy(rule, data, size);
	if (size >= sizeof(*rule) && rule->match_len <= WEIR_MATCH_BYTES_MAX &&
		sizeof(*rule) + rule->match_len <= size)
		rule->flow_id = weir_rule_flow_id(rule, weir_rule_app(rule));
	good = weir_rule_check(rule, size) == 0;
	if (good)
		assert_round_trip(rule);
	free(rule);
	return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_text(data, size);
	as_rule(data, size);
	return 0;
}

#ifndef WEIR_LIBFUZZER

static const char *const flows[] = {
	"cookie=0x1,table=1,priority=65535,udp,nw_src=5.109.82.112/29,tp_src=0x800/0xf800,"
	"actions=output:2",
	"in_port=LOCAL,dl_src=1:2:3:4:5:6,dl_vlan=5,dl_vlan_pcp=3,tcp,tcp_flags=+syn-ack,"
	"nw_tos=32,nw_ttl=5,actions=pop_vlan,mod_nw_src:1.2.3.4,mod_tp_dst:80,dec_ttl,NORMAL",
	"icmp6,ipv6_src=fe80::/10,ipv6_label=0x5/0xff,icmp_type=135,nd_target=2001:db8::1,"
	"nd_sll=1:2:3:4:5:6,actions=set_field:::1->ipv6_dst,CONTROLLER:128",
	"app=7,idle_timeout=5,send_flow_rem,arp,arp_op=1,arp_spa=1.2.3.4/255.0.255.0,"
	"arp_sha=1:2:3:4:5:6/ff:0:0:0:0:0,metadata=0x5/0xf,tun_id=7,actions=meter:1,group:3,"
	"clear_actions,write_actions(set_queue:1,output:1),write_metadata:0x1/0xff,goto_table:9",
	"vlan_tci=0x1000/0x1000,mpls,mpls_label=5,mpls_bos=1,actions=push_mpls:0x8847,"
	"set_field:5->mpls_label,pop_mpls:0x800,mod_vlan_vid:5,push_vlan:0x88a8",
};

#define FLOWS     (sizeof(flows) / sizeof(flows[0]))
#define INPUT_MAX 1024

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* Puts a piece of any of the flows somewhere. */
static void splice(uint8_t *input, size_t size, uint64_t *dice)
{
	const char *flow = flows[draw(dice) % FLOWS];
	size_t from = draw(dice) % strlen(flow), at = draw(dice) % size;
	size_t len = 1 + draw(dice) % 16;

	while (len-- > 0 && flow[from] != '\0' && at < size)
		input[at++] = (uint8_t)flow[from++];
}

static size_t mutate(uint8_t *input, size_t size, uint64_t *dice)
{
	static const char likely[] = ",=:/()0159fx>-.*";
	size_t at = draw(dice) % size;

	switch (draw(dice) % 6) {
	case 0:
		input[at] ^= (uint8_t)(1U << draw(dice) % 8);
		return size;
	case 1:
		input[at] = (uint8_t)draw(dice);
		return size;
	case 2:
		input[at] = (uint8_t)likely[draw(dice) % (sizeof(likely) - 1)];
		return size;
	case 3:
		splice(input, size, dice);
		return size;
	case 4:
		memmove(input + at, input + at + 1, size - at - 1);
		return size > 1 ? size - 1 : size;
	default:
		if (size == INPUT_MAX)
			return size;
		memmove(input + at + 1, input + at, size - at);
		return size + 1;
	}
}

/* One of the flows, as text or as the rule that it makes. */
static size_t start(uint8_t *input, uint64_t *dice)
{
	static union room room;
	const char *flow = flows[draw(dice) % FLOWS];
	size_t len = strlen(flow);

	if (draw(dice) % 2 == 0) {
		memcpy(input, flow, len);
		return len;
	}
	if (weir_flow_parse(flow, len, WEIR_FLOW_RULE, &room.rule, sizeof(room), NULL) != 0)
		abort();
	len = weir_rule_bytes(&room.rule);
	memcpy(input, &room, len);
	return len;
}

int main(int argc, char **argv)
{
	uint64_t rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : 100000;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
	uint64_t dice = seed, texts = 0, rules = 0;
	uint8_t input[INPUT_MAX];

	printf("%llu inputs from seed %llu\n", (unsigned long long)rounds,
		(unsigned long long)seed);
	fflush(stdout);
	for (uint64_t i = 0; i < rounds; i++) {
		size_t size = start(input, &dice);

		for (uint64_t changes = draw(&dice) % 4; changes > 0; changes--)
			size = mutate(input, size, &dice);
		texts += as_text(input, size);
		rules += as_rule(input, size);
	}
	printf("%llu were texts, %llu were rules\n", (unsigned long long)texts,
		(unsigned long long)rules);
	return texts > rounds / 100 && rules > rounds / 100 ? 0 : 1;
}

#endif
