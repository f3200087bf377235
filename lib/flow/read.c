/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "flow/read.h"
#include "flow/words.h"

#define FAULT_WORD_MAX 40 /* bytes of the text that a fault quotes */

static void quote_word(const struct flow_text *text, const char *where, char *word)
{
	size_t len = 0;

	while (where + len < text->end && len < FAULT_WORD_MAX && !flow_is_gap(where[len])) {
		char c = where[len];

		word[len] = (char)(c > ' ' && c < 0x7f ? c : '?');
		len++;
	}
	word[len] = '\0';
}

int weir_flow_fault(const struct flow_text *text, const char *where, const char *format, ...)
{
	struct weir_flow_fault *fault = text->fault;
	char word[FAULT_WORD_MAX + 1];
	size_t len;
	va_list args;

	if (fault == NULL)
		return WEIR_BADFLOW;
	fault->column = (unsigned)(where - text->begin) + 1;
	va_start(args, format);
	vsnprintf(fault->message, sizeof(fault->message), format, args);
	va_end(args);
	quote_word(text, where, word);
	len = strlen(fault->message);
	if (word[0] != '\0')
		snprintf(fault->message + len, sizeof(fault->message) - len, ": \"%s\"", word);
	return WEIR_BADFLOW;
}

/* ------------------------------------------------------------------------------------------ */

static inline bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Value of a hexadecimal digit; 16 for anything else. */
static inline unsigned hex_digit(char c)
{
	if (is_digit(c))
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* Up to `most` hexadecimal digits; at least one. */
static bool read_hex(struct flow_text *text, unsigned most, uint64_t *value)
{
	const char *start = text->at;
	uint64_t sum = 0;

	while (text->at < text->end && hex_digit(*text->at) < 16) {
		if ((size_t)(text->at - start) == most) {
			text->at = start;
			return false;
		}
		sum = sum << 4 | hex_digit(*text->at++);
	}
	*value = sum;
	return text->at > start;
}

static bool read_decimal(struct flow_text *text, uint64_t *value)
{
	const char *start = text->at;
	uint64_t sum = 0;

	while (text->at < text->end && is_digit(*text->at)) {
		unsigned digit = (unsigned)(*text->at++ - '0');

		if (sum > (UINT64_MAX - digit) / 10) {
			text->at = start;
			return false;
		}
		sum = sum * 10 + digit;
	}
	if (text->at == start || (*start == '0' && text->at - start > 1)) {
		text->at = start;
		return false;
	}
	*value = sum;
	return true;
}

bool weir_flow_read_number(struct flow_text *text, uint64_t *value)
{
	const char *start = text->at;

	if (text->end - start < 2 || start[0] != '0' || (start[1] | 0x20) != 'x')
		return read_decimal(text, value);
	text->at += 2;
	if (read_hex(text, 16, value))
		return true;
	text->at = start;
	return false;
}

bool weir_flow_read_port(struct flow_text *text, uint32_t *port)
{
	const char *start = text->at;
	const struct flow_word *word;
	uint64_t number;
	size_t len;

	if (weir_flow_read_number(text, &number) && number <= UINT32_MAX) {
		*port = (uint32_t)number;
		return true;
	}
	text->at = start;
	len = flow_skip_word(text);
	word = weir_flow_action_word(start, len);
	if (word != NULL && word->kind == ACTION_PORT) {
		*port = 0xffffff00u | word->arg;
		return true;
	}
	if (word != NULL && word->kind == ACTION_CONTROLLER) {
		*port = OFP_PORT_CONTROLLER;
		return true;
	}
	text->at = start;
	return false;
}

/* ------------------------------------------------------------------------------------------ */

static bool read_ipv4(struct flow_text *text, uint32_t *value)
{
	const char *at = text->at, *const end = text->end;
	uint32_t sum = 0;

	for (int part = 0; part < 4; part++) {
		const char *start = at;
		unsigned byte = 0;

		while (at < end && is_digit(*at) && at - start < 3)
			byte = byte * 10 + (unsigned)(*at++ - '0');
		if (at == start || byte > 255 || (*start == '0' && at - start > 1))
			return false;
		sum = sum << 8 | byte;
		if (part < 3 && (at == end || *at++ != '.'))
			return false;
	}
	text->at = at;
	*value = sum;
	return true;
}

#define IPV6_GROUPS 8

/* The last two groups of an address may be written as an IPv4 address. */
static bool read_ipv6_tail(struct flow_text *text, uint16_t *groups, int *count)
{
	uint32_t tail;

	if (*count > IPV6_GROUPS - 2 || !read_ipv4(text, &tail))
		return false;
	groups[(*count)++] = (uint16_t)(tail >> 16);
	groups[(*count)++] = (uint16_t)tail;
	return true;
}

/* Reads groups; *gap becomes the number of groups before "::", or stays -1. */
static bool read_ipv6_groups(struct flow_text *text, uint16_t *groups, int *count, int *gap)
{
	uint64_t group;

	for (;;) {
		if (text->end - text->at >= 2 && text->at[0] == ':' && text->at[1] == ':') {
			if (*gap >= 0)
				return false;
			*gap = *count;
			text->at += 2;
			if (text->at == text->end || hex_digit(*text->at) == 16)
				return true;
		} else if (*count > 0 && !flow_skip(text, ':')) {
			return true;
		}
		if (read_ipv6_tail(text, groups, count))
			return true;
		if (*count == IPV6_GROUPS || !read_hex(text, 4, &group))
			return false;
		groups[(*count)++] = (uint16_t)group;
	}
}

static bool read_ipv6(struct flow_text *text, flow_value *value)
{
	const char *start = text->at;
	uint16_t groups[IPV6_GROUPS];
	flow_value sum = 0;
	int count = 0, gap = -1, missing;

	if (!read_ipv6_groups(text, groups, &count, &gap) ||
		(gap < 0 ? count != IPV6_GROUPS : count >= IPV6_GROUPS)) {
		text->at = start;
		return false;
	}
	missing = IPV6_GROUPS - count;
	for (int i = 0; i < count; i++) {
		if (i == gap)
			sum <<= 16 * missing;
		sum = sum << 16 | groups[i];
	}
	if (gap == count && gap > 0)
		sum <<= 16 * missing;
	*value = sum;
	return true;
}

static bool read_mac(struct flow_text *text, flow_value *value)
{
	const char *start = text->at;
	uint64_t sum = 0, byte;

	for (int part = 0; part < 6; part++) {
		if ((part > 0 && !flow_skip(text, ':')) || !read_hex(text, 2, &byte)) {
			text->at = start;
			return false;
		}
		sum = sum << 8 | byte;
	}
	*value = sum;
	return true;
}

/* ------------------------------------------------------------------------------------------ */

static const char *const tcp_flag_names[] = {
	"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"};

#define TCP_FLAG_NAMES (sizeof(tcp_flag_names) / sizeof(tcp_flag_names[0]))

static bool read_tcp_flag(struct flow_text *text, flow_value *bit)
{
	const char *start = text->at;
	size_t len = flow_skip_word(text);

	for (unsigned i = 0; i < TCP_FLAG_NAMES; i++) {
		if (strlen(tcp_flag_names[i]) == len &&
			memcmp(tcp_flag_names[i], start, len) == 0) {
			*bit = 1u << i;
			return true;
		}
	}
	text->at = start;
	return false;
}

bool weir_flow_read_tcp_flags(struct flow_text *text, flow_value *value, flow_value *mask)
{
	const char *start = text->at;
	flow_value bit;

	*value = 0;
	*mask = 0;
	while (text->at < text->end && (*text->at == '+' || *text->at == '-')) {
		bool wanted = *text->at++ == '+';

		if (!read_tcp_flag(text, &bit) || (*mask & bit) != 0) {
			text->at = start;
			return false;
		}
		*mask |= bit;
		*value |= wanted ? bit : 0;
	}
	return text->at > start;
}

/* `syn|ack`: just these, or a number. */
static bool read_tcp_flags_exact(struct flow_text *text, uint64_t *value)
{
	const char *start = text->at;
	flow_value bit;

	if (weir_flow_read_number(text, value))
		return true;
	*value = 0;
	do {
		if (!read_tcp_flag(text, &bit)) {
			text->at = start;
			return false;
		}
		*value |= (uint64_t)bit;
	} while (flow_skip(text, '|'));
	return true;
}

/* ------------------------------------------------------------------------------------------ */

bool weir_flow_read_value(struct flow_text *text, const struct field *field, flow_value *value)
{
	const char *start = text->at;
	uint64_t number;
	uint32_t word;

	switch ((enum field_kind)field->kind) {
	case KIND_IPV4:
		if (!read_ipv4(text, &word))
			return false;
		*value = word;
		return true;
	case KIND_IPV6:
		return read_ipv6(text, value);
	case KIND_MAC:
		return read_mac(text, value);
	case KIND_PORT:
		if (!weir_flow_read_port(text, &word))
			return false;
		*value = word;
		return true;
	case KIND_FLAGS:
		if (!read_tcp_flags_exact(text, &number))
			return false;
		break;
	default:
		if (!weir_flow_read_number(text, &number))
			return false;
		break;
	}
	if (field->bits < 64 && number >> field->bits != 0) {
		text->at = start;
		return false;
	}
	*value = number;
	return true;
}

/* The prefix length of an address that has `bits` bits. */
static bool read_prefix(struct flow_text *text, unsigned bits, flow_value *mask)
{
	const char *start = text->at;
	flow_value ones = bits == 128 ? ~(flow_value)0 : ((flow_value)1 << bits) - 1;
	uint64_t length;

	if (read_decimal(text, &length) && length <= bits && flow_at_gap(text)) {
		*mask = length == 0 ? 0 : ones & ~(flow_value)0 << (bits - length);
		return true;
	}
	text->at = start;
	return false;
}

bool weir_flow_read_mask(struct flow_text *text, const struct field *field, flow_value *mask)
{
	if ((field->kind == KIND_IPV4 || field->kind == KIND_IPV6) &&
		read_prefix(text, field->bits, mask))
		return true;
	return weir_flow_read_value(text, field, mask);
}
