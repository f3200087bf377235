/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/resp.h"

#include <string.h>
#include <strings.h>

/* What reading a piece of the request came to. */
enum piece {
	PIECE_BAD = -1,
	PIECE_SHORT = 0,
	PIECE_WHOLE = 1,
};

static enum piece fault_set(struct weir_resp *resp, const char *fault)
{
	resp->fault = fault;
	return PIECE_BAD;
}

/* Reads "<type><digits>\r\n" at resp->at and moves on past it. */
static enum piece header_read(struct weir_resp *resp, const char *bytes, size_t len, char type,
	uint32_t most, const char *fault, uint32_t *number)
{
	size_t at = resp->at;
	uint64_t value = 0;
	size_t digits;

	if (at == len)
		return PIECE_SHORT;
	if (bytes[at] != type)
		return fault_set(resp, type == '$' ? "expected '$'" : "expected '*'");
	for (digits = ++at; at < len && bytes[at] >= '0' && bytes[at] <= '9'; at++) {
		value = value * 10 + (uint64_t)(bytes[at] - '0');
		if (value > most || at - digits >= WEIR_API_HEADER_MAX)
			return fault_set(resp, fault);
	}
	if (at == len)
		return PIECE_SHORT;
	if (at == digits || bytes[at] != '\r')
		return fault_set(resp, fault);
	if (at + 1 == len)
		return PIECE_SHORT;
	if (bytes[at + 1] != '\n')
		return fault_set(resp, fault);
	resp->at = at + 2;
	*number = (uint32_t)value;
	return PIECE_WHOLE;
}

/* Reads one bulk string; resp->at moves only when it is whole. */
static enum piece bulk_read(
	struct weir_resp *resp, const char *bytes, size_t len, struct weir_word *word)
{
	size_t start = resp->at;
	uint32_t bulk;
	enum piece piece = header_read(
		resp, bytes, len, '$', WEIR_API_REQUEST_MAX, "invalid bulk length", &bulk);

	if (piece != PIECE_WHOLE)
		return piece;
	if (resp->at + bulk + 2 > WEIR_API_REQUEST_MAX)
		return fault_set(resp, "too big request");
	if (resp->at + bulk + 2 > len) {
		resp->at = start;
		return PIECE_SHORT;
	}
	word->at = bytes + resp->at;
	word->len = bulk;
	resp->at += bulk;
	if (bytes[resp->at] != '\r' || bytes[resp->at + 1] != '\n')
		return fault_set(resp, "a bulk string does not end where it said");
	resp->at += 2;
	return PIECE_WHOLE;
}

static enum piece array_read(
	struct weir_resp *resp, const char *bytes, size_t len, struct weir_words *words)
{
	enum piece piece;

	words->count = 0;
	if (!resp->begun) {
		piece = header_read(resp, bytes, len, '*', WEIR_API_ARGS_MAX,
			"invalid multibulk length", &resp->left);
		if (piece != PIECE_WHOLE)
			return piece;
		resp->begun = true;
	}
	for (; resp->left > 0; resp->left--) {
		piece = bulk_read(resp, bytes, len, &words->word[words->count]);
		if (piece != PIECE_WHOLE)
			return piece;
		words->count++;
	}
	return PIECE_WHOLE;
}

/*
 * Unquotes one word of an inline command to `to`.
 * Returns where reading goes on, or NULL: quotes are not balanced.
 */
static const char *inline_word(const char *from, const char *end, char *to, struct weir_word *word)
{
	char quote = '\0';

	word->at = to;
	for (; from < end; from++) {
		if (quote == '\0' && (*from == ' ' || *from == '\t'))
			break;
		if (quote != '\0' && *from == quote) {
			quote = '\0';
			continue;
		}
		if (quote == '\0' && (*from == '"' || *from == '\'')) {
			quote = *from;
			continue;
		}
		if (quote != '\0' && *from == '\\' && from + 1 < end)
			from++;
		*to++ = *from;
	}
	word->len = (size_t)(to - word->at);
	return quote == '\0' ? from : NULL;
}

static enum piece inline_split(
	struct weir_resp *resp, const char *at, const char *end, struct weir_words *words)
{
	char *to = words->text;

	for (const char *byte = at; byte < end; byte++)
		if (((unsigned char)*byte < ' ' && *byte != '\t') || *byte == 0x7f)
			return fault_set(resp, "neither an array nor a line of text");
	for (;;) {
		while (at < end && (*at == ' ' || *at == '\t'))
			at++;
		if (at == end)
			return PIECE_WHOLE;
		if (words->count == WEIR_API_ARGS_MAX)
			return fault_set(resp, "too many words");
		at = inline_word(at, end, to, &words->word[words->count]);
		if (at == NULL)
			return fault_set(resp, "unbalanced quotes in request");
		to += words->word[words->count++].len;
	}
}

static enum piece inline_read(
	struct weir_resp *resp, const char *bytes, size_t len, struct weir_words *words)
{
	const char *end = memchr(bytes + resp->at, '\n', len - resp->at);
	size_t line = end != NULL ? (size_t)(end - bytes) : len;

	words->count = 0;
	if (line > WEIR_API_INLINE_MAX)
		return fault_set(resp, "too big inline request");
	if (end == NULL) {
		resp->at = len;
		return PIECE_SHORT;
	}
	resp->at = line + 1;
	if (end > bytes && end[-1] == '\r')
		end--;
	return inline_split(resp, bytes, end, words);
}

long weir_resp_parse(
	struct weir_resp *resp, const char *bytes, size_t len, struct weir_words *words)
{
	bool resumed = resp->at > 0;
	enum piece piece;
	size_t taken;

	if (len == 0)
		return 0;
	if (bytes[0] == '*') {
		piece = array_read(resp, bytes, len, words);
		if (piece == PIECE_WHOLE && resumed) {
			/* The words of the first reading were not kept: the input may have moved.
			 */
			*resp = (struct weir_resp){0};
			piece = array_read(resp, bytes, len, words);
		}
	} else {
		piece = inline_read(resp, bytes, len, words);
	}
	if (piece != PIECE_WHOLE)
		return piece;
	taken = resp->at;
	*resp = (struct weir_resp){0};
	return (long)taken;
}

bool weir_word_is(const struct weir_word *word, const char *text)
{
	return strlen(text) == word->len && strncasecmp(word->at, text, word->len) == 0;
}

bool weir_word_number(const struct weir_word *word, uint64_t most, uint64_t *number)
{
	uint64_t value = 0;

	if (word->len == 0 || word->len > 20)
		return false;
	for (size_t i = 0; i < word->len; i++) {
		unsigned digit = (unsigned)(word->at[i] - '0');

		if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return false;
	}
	*number = value;
	return value <= most;
}

bool weir_word_copy(const struct weir_word *word, char *text, size_t room)
{
	if (word->len >= room || memchr(word->at, '\0', word->len) != NULL)
		return false;
	memcpy(text, word->at, word->len);
	text[word->len] = '\0';
	return true;
}

/* Whether `c` is in the class that opens at pattern[*at]; *at moves to its last byte. */
static bool class_match(const char *pattern, size_t len, size_t *at, unsigned char c)
{
	size_t i = *at + 1;
	bool inverse = i < len && pattern[i] == '^';
	bool found = false;

	for (i += inverse; i < len && pattern[i] != ']'; i++) {
		unsigned char low, high;

		if (pattern[i] == '\\' && i + 1 < len)
			i++;
		low = high = (unsigned char)pattern[i];
		if (i + 2 < len && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
			i += 2;
			high = (unsigned char)pattern[i];
		}
		found |= c >= low && c <= high;
	}
	*at = i;
	return found != inverse;
}

/* Whether one byte matches the piece of the pattern at *at; *at moves past the piece. */
static bool piece_match(const char *pattern, size_t len, size_t *at, char c)
{
	bool same;

	if (pattern[*at] == '?') {
		same = true;
	} else if (pattern[*at] == '[') {
		same = class_match(pattern, len, at, (unsigned char)c);
	} else {
		if (pattern[*at] == '\\' && *at + 1 < len)
			++*at;
		same = pattern[*at] == c;
	}
	++*at;
	return same;
}

bool weir_glob_match(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	size_t at = 0, star = pattern_len, star_text = 0;

	for (size_t i = 0; i < len;) {
		size_t next = at;

		if (at < pattern_len && pattern[at] == '*') {
			star = at++;
			star_text = i;
		} else if (at < pattern_len && piece_match(pattern, pattern_len, &next, text[i])) {
			at = next;
			i++;
		} else if (star < pattern_len) {
			/* Let the last star take one byte more: enough, whatever stood before. */
			at = star + 1;
			i = ++star_text;
		} else {
			return false;
		}
	}
	while (at < pattern_len && pattern[at] == '*')
		at++;
	return at >= pattern_len;
}
