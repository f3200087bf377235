/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Requests as bytes: arrays of bulk strings (RESP) and inline commands, read where they stand.
 *
 * hiredis's reader makes an object of each word, which costs several allocations a request; here
 * a word is a pointer into the connection's input, so that a flow text is read once, by
 * weir_flow_parse. Bounds are checked on the announcement, before the bytes have come.
 *
 * Thread-safety: a parser belongs to one connection.
 */
#ifndef WEIR_API_RESP_H
#define WEIR_API_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/api.h"

/** Bytes of one inline command. */
#define WEIR_API_INLINE_MAX 32768

/** Bytes of a line that announces a count. */
#define WEIR_API_HEADER_MAX 32

/** One word of a request; good while the input stays where it is. */
struct weir_word {
	const char *at;
	size_t len;
};

struct weir_words {
	unsigned count;
	struct weir_word word[WEIR_API_ARGS_MAX];
	char text[WEIR_API_INLINE_MAX]; /**< the words of an inline command, unquoted */
};

/** How far the request at the front of the input has been understood. Zeroes: not at all. */
struct weir_resp {
	size_t at;         /**< bytes that need not be looked at again */
	unsigned left;     /**< words still to come */
	bool begun;        /**< the announcement of words was read */
	const char *fault; /**< what was wrong, after weir_resp_parse has returned < 0 */
};

/**
 * Reads the request at the front of `bytes`. The bytes stay as they are.
 * @return bytes it takes, with `words` filled in (none of them: nothing was asked); 0 where more
 *         input is needed (call again with the same bytes and more behind them); < 0 where it is
 *         malformed, and `fault` says how
 */
long weir_resp_parse(
	struct weir_resp *resp, const char *bytes, size_t len, struct weir_words *words);

/** Whether the word is `text`, without regard to case. */
bool weir_word_is(const struct weir_word *word, const char *text);

/** A decimal number of at most `most`. @return whether it is one */
bool weir_word_number(const struct weir_word *word, uint64_t most, uint64_t *number);

/** Copies a word with a NUL behind it. @return whether it fits in `room` and has no NUL inside */
bool weir_word_copy(const struct weir_word *word, char *text, size_t room);

/** Whether `text` matches a pattern of `*`, `?`, `[a-z]`, `[^a]` and `\`. Takes linear space. */
bool weir_glob_match(const char *pattern, size_t pattern_len, const char *text, size_t len);

#endif
