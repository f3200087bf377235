/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * verify: holds the store against a file. A line is found when the store has its rule with the
 * content of that line, or of a later line about the same rule.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "flow/flow.h"
#include "weirctl.h"

/* Lines that are missing are told one by one up to here. */
#define MISSING_SHOWN 20

/* A line of the file. */
struct wanted {
	uint64_t number;
	bool acked;    /* it must be there */
	bool found;    /* the store has this content */
	uint32_t next; /* the line before about rules of this hash chain, 1 + its place */
	struct weir_rule *rule;
};

struct verify {
	struct ctl *ctl;
	const char *path;
	struct wanted *lines;
	size_t lines_count, lines_room;
	uint32_t *chains; /* 1 + place in lines */
	size_t chains_count;
	uint8_t *acked; /* a bit for each line number; NULL: all lines */
	uint64_t acked_room;
	uint64_t acknowledged, found, missing, bad_lines, stored, foreign;
	uint64_t bad_acked; /* bad lines that should be there */
};

static struct weir_rule *rule_of(const char *text, size_t len, struct weir_flow_fault *fault)
{
	_Alignas(8) uint8_t room[WEIR_RULE_BYTES_MAX];
	struct weir_rule *rule = (struct weir_rule *)room, *copy;

	if (weir_flow_parse(text, len, WEIR_FLOW_RULE, rule, sizeof(room), fault) != 0)
		return NULL;
	copy = malloc(weir_rule_bytes(rule));
	if (copy != NULL)
		memcpy(copy, rule, weir_rule_bytes(rule));
	return copy;
}

static bool rule_equal(const struct weir_rule *a, const struct weir_rule *b)
{
	return weir_rule_bytes(a) == weir_rule_bytes(b) && memcmp(a, b, weir_rule_bytes(a)) == 0;
}

/* --------------------------------------------------------------------------- reading files --- */

static bool acked_add(struct verify *verify, uint64_t number)
{
	uint64_t room = verify->acked_room > 0 ? verify->acked_room : 1U << 20;
	uint8_t *acked;

	while (room <= number)
		room *= 2;
	if (room > verify->acked_room) {
		acked = realloc(verify->acked, room / 8);
		if (acked == NULL)
			return false;
		memset(acked + verify->acked_room / 8, 0, (room - verify->acked_room) / 8);
		verify->acked = acked;
		verify->acked_room = room;
	}
	verify->acked[number / 8] |= (uint8_t)(1U << number % 8);
	return true;
}

/* Reads the numbers of the lines that were acknowledged. */
static bool acked_read(struct verify *verify)
{
	struct ctl_lines *lines = ctl_lines_open(verify->ctl->acked);
	struct ctl_line line;
	bool fine = lines != NULL && acked_add(verify, 0);

	while (fine && ctl_lines_next(lines, &line)) {
		char *end = NULL;
		uint64_t number = line.too_long ? 0 : strtoull(line.text, &end, 10);

		fine = number > 0 && number < 1ULL << 36 && end == line.text + line.len &&
		       acked_add(verify, number);
		if (!fine)
			fprintf(stderr, "%s:%" PRIu64 ":1: this is no line number\n",
				verify->ctl->acked, line.number);
	}
	fine = fine && !ctl_lines_broken(lines);
	ctl_lines_close(lines);
	return fine;
}

static bool line_acked(const struct verify *verify, uint64_t number)
{
	if (verify->acked == NULL)
		return true;
	return number < verify->acked_room && (verify->acked[number / 8] >> number % 8 & 1);
}

static bool line_add(struct verify *verify, uint64_t number, struct weir_rule *rule)
{
	if (verify->lines_count == verify->lines_room) {
		size_t room = verify->lines_room > 0 ? 2 * verify->lines_room : 1U << 16;
		struct wanted *lines = realloc(verify->lines, room * sizeof(*lines));

		if (lines == NULL)
			return false;
		verify->lines = lines;
		verify->lines_room = room;
	}
	verify->lines[verify->lines_count++] = (struct wanted){
		.number = number, .acked = line_acked(verify, number), .rule = rule};
	return true;
}

static bool file_read(struct verify *verify)
{
	struct ctl_lines *lines = ctl_lines_open(verify->path);
	struct ctl_line line;
	bool fine = lines != NULL;

	while (fine && ctl_lines_next(lines, &line)) {
		struct weir_flow_fault fault = {.column = 1, .message = "the line is too long"};
		struct weir_rule *rule =
			line.too_long ? NULL : rule_of(line.text, line.len, &fault);

		if (rule != NULL) {
			fine = line_add(verify, line.number, rule);
			continue;
		}
		verify->bad_acked += line_acked(verify, line.number);
		if (verify->bad_lines++ < MISSING_SHOWN)
			fprintf(stderr, "%s:%" PRIu64 ":%u: %s\n", verify->path, line.number,
				fault.column + line.column - 1, fault.message);
	}
	fine = fine && !ctl_lines_broken(lines);
	ctl_lines_close(lines);
	return fine;
}

/* Chains the lines by flow id, the newest first. */
static bool chains_make(struct verify *verify)
{
	verify->chains_count = 1;
	while (verify->chains_count < 2 * verify->lines_count)
		verify->chains_count *= 2;
	verify->chains = calloc(verify->chains_count, sizeof(*verify->chains));
	for (size_t i = 0; verify->chains != NULL && i < verify->lines_count; i++) {
		uint64_t id = verify->lines[i].rule->flow_id;
		uint32_t *chain = &verify->chains[id & (verify->chains_count - 1)];

		verify->lines[i].next = *chain;
		*chain = (uint32_t)i + 1;
	}
	return verify->chains != NULL;
}

/* ------------------------------------------------------------------------------- comparing --- */

/* Marks the lines that this flow of the store stands for. */
static void flow_check(void *ctx, const struct ctl_flow *flow)
{
	struct verify *verify = ctx;
	struct weir_flow_fault fault;
	struct weir_rule *rule = rule_of(flow->text, strlen(flow->text), &fault);
	bool equal = false, known = false;
	uint32_t at;

	verify->stored++;
	if (rule == NULL) {
		fprintf(stderr, "weirctl: the store's own text cannot be read: %s\n", flow->text);
		return;
	}
	at = verify->chains[rule->flow_id & (verify->chains_count - 1)];
	for (; at != 0; at = verify->lines[at - 1].next) {
		struct wanted *line = &verify->lines[at - 1];

		if (!weir_rule_same(line->rule, rule))
			continue;
		known = true;
		/* This line, or one after it about the same rule. */
		equal |= rule_equal(line->rule, rule);
		line->found |= equal;
	}
	verify->foreign += !known;
	free(rule);
}

static void lines_judge(struct verify *verify)
{
	for (size_t i = 0; i < verify->lines_count; i++) {
		const struct wanted *line = &verify->lines[i];

		if (!line->acked)
			continue;
		verify->acknowledged++;
		verify->found += line->found;
		verify->missing += !line->found;
		if (!line->found && verify->missing <= MISSING_SHOWN)
			fprintf(stderr, "%s:%" PRIu64 ": not in the store with this content\n",
				verify->path, line->number);
	}
}

static void verify_free(struct verify *verify)
{
	for (size_t i = 0; i < verify->lines_count; i++)
		free(verify->lines[i].rule);
	free(verify->lines);
	free(verify->chains);
	free(verify->acked);
}

static void verify_print(const struct verify *verify)
{
	printf(verify->ctl->json ? "{\"acknowledged\":%" PRIu64 ",\"found\":%" PRIu64
				   ",\"missing\":%" PRIu64 ",\"stored\":%" PRIu64
				   ",\"foreign\":%" PRIu64 ",\"bad_lines\":%" PRIu64 "}\n"
				 : "acknowledged %" PRIu64 ", found %" PRIu64 ", missing %" PRIu64
				   ", stored %" PRIu64 ", of which not in the file %" PRIu64
				   ", bad lines %" PRIu64 "\n",
		verify->acknowledged, verify->found, verify->missing, verify->stored,
		verify->foreign, verify->bad_lines);
}

int ctl_verify(struct ctl *ctl)
{
	struct verify verify = {.ctl = ctl, .path = ctl->argv[1]};
	int status = CTL_REFUSED;

	if ((ctl->acked == NULL || acked_read(&verify)) && file_read(&verify) &&
		chains_make(&verify)) {
		status = ctl_scan(ctl, ctl->argv[0], NULL, flow_check, &verify);
		if (status == CTL_FINE) {
			lines_judge(&verify);
			verify_print(&verify);
			status =
				verify.missing > 0 || verify.bad_acked > 0 ? CTL_REFUSED : CTL_FINE;
		}
	}
	verify_free(&verify);
	return status;
}
