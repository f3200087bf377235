/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Reading of a flow's text: a cursor, numbers, addresses, and the report of what is wrong.
 *
 * A function that reads a value answers true and leaves the cursor behind it, or answers false
 * and leaves it where the value began. None reads past the end.
 *
 * Internal to the room.
 */
#ifndef WEIR_FLOW_READ_H
#define WEIR_FLOW_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow/field.h"
#include "flow/flow.h"

struct flow_text {
	const char *at;
	const char *end;
	const char *begin;
	struct weir_flow_fault *fault; /**< may be NULL */
};

/**
 * Reports what is wrong: the sentence, then the word at `where` in quotes (where there is one).
 * @return WEIR_BADFLOW
 */
int weir_flow_fault(const struct flow_text *text, const char *where, const char *format, ...)
	__attribute__((format(printf, 3, 4), cold));

/** What may stand between two items. */
static inline bool flow_is_gap(char c)
{
	return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline void flow_skip_gaps(struct flow_text *text)
{
	while (text->at < text->end && flow_is_gap(*text->at))
		text->at++;
}

static inline bool flow_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9') ||
	       (c >= 'A' && c <= 'Z');
}

/** Passes over a word; returns its length. */
static inline size_t flow_skip_word(struct flow_text *text)
{
	const char *start = text->at;

	while (text->at < text->end && flow_is_word(*text->at))
		text->at++;
	return (size_t)(text->at - start);
}

/** Passes over one character if it is there. */
static inline bool flow_skip(struct flow_text *text, char c)
{
	if (text->at == text->end || *text->at != c)
		return false;
	text->at++;
	return true;
}

/** Whether an item ends here. */
static inline bool flow_at_gap(const struct flow_text *text)
{
	return text->at == text->end || flow_is_gap(*text->at);
}

/** A number, decimal or with 0x; one with a leading zero is refused, for it may mean octal. */
bool weir_flow_read_number(struct flow_text *text, uint64_t *value);

/** A port by number or name (without regard to case). */
bool weir_flow_read_port(struct flow_text *text, uint32_t *port);

/** A value in the form of its field, without a mask. */
bool weir_flow_read_value(struct flow_text *text, const struct field *field, flow_value *value);

/** The mask behind a slash: in the form of the field, or a prefix length for an IP address. */
bool weir_flow_read_mask(struct flow_text *text, const struct field *field, flow_value *mask);

/** `+syn-ack`: TCP flags that must and must not be there. */
bool weir_flow_read_tcp_flags(struct flow_text *text, flow_value *value, flow_value *mask);

#endif
