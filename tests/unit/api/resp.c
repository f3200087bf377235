/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/resp.h"

static struct weir_words words;

/* Parses a whole text; the result is that of weir_resp_parse. */
static long parse(const char *text, size_t len, struct weir_resp *resp)
{
	/* A copy of the exact size: a read past the end is seen by the address sanitizer. */
	char *copy = malloc(len > 0 ? len : 1);
	long taken;

	assert_non_null(copy);
	memcpy(copy, text, len);
	memset(resp, 0, sizeof(*resp));
	taken = weir_resp_parse(resp, copy, len, &words);
	free(copy);
	return taken;
}

static void *room_take(size_t bytes)
{
	void *room = malloc(bytes);

	if (room == NULL)
		abort();
	return room;
}

static void assert_word(unsigned i, const char *text)
{
	assert_true(i < words.count);
	assert_int_equal(words.word[i].len, strlen(text));
	assert_memory_equal(words.word[i].at, text, strlen(text));
}

static void assert_refused(const char *text, const char *fault)
{
	struct weir_resp resp;

	assert_true(parse(text, strlen(text), &resp) < 0);
	assert_string_equal(resp.fault, fault);
}

static const char request[] = "*3\r\n$8\r\nFLOW.ADD\r\n$0\r\n\r\n$5\r\na\r\nbc\r\n";

static void assert_request(void)
{
	assert_int_equal(words.count, 3);
	assert_word(0, "FLOW.ADD");
	assert_word(1, "");
	assert_word(2, "a\r\nbc");
}

static void array_is_read_where_it_stands(void **state)
{
	struct weir_resp resp = {0};
	char two[2 * sizeof(request)];

	snprintf(two, sizeof(two), "%s*1\r\n$4\r\nPING\r\n", request);
	assert_int_equal(weir_resp_parse(&resp, two, strlen(two), &words), strlen(request));
	assert_request();
	assert_ptr_equal(words.word[0].at, two + 8);
}

static void every_truncation_asks_for_more(void **state)
{
	struct weir_resp resp;

	for (size_t len = 0; len < strlen(request); len++)
		assert_int_equal(parse(request, len, &resp), 0);
}

static void request_in_single_bytes_is_the_same_request(void **state)
{
	struct weir_resp resp = {0};
	size_t len = strlen(request);
	char *moved = NULL;

	for (size_t have = 1; have <= len; have++) {
		/* The input moves each time, as a growing buffer does. */
		char *bytes = malloc(have);

		assert_non_null(bytes);
		memcpy(bytes, request, have);
		free(moved);
		moved = bytes;
		assert_int_equal(
			weir_resp_parse(&resp, bytes, have, &words), have == len ? (long)len : 0);
	}
	assert_request();
	free(moved);
}

static void request_in_every_two_pieces_is_the_same_request(void **state)
{
	for (size_t first = 1; first < strlen(request); first++) {
		struct weir_resp resp = {0};

		assert_int_equal(weir_resp_parse(&resp, request, first, &words), 0);
		assert_int_equal(
			weir_resp_parse(&resp, request, strlen(request), &words), strlen(request));
		assert_request();
	}
}

static void malformed_arrays_are_refused(void **state)
{
	assert_refused("*-1\r\n", "invalid multibulk length");
	assert_refused("*\r\n", "invalid multibulk length");
	assert_refused("*a\r\n", "invalid multibulk length");
	assert_refused("*1x\r\n", "invalid multibulk length");
	assert_refused("*1\rx", "invalid multibulk length");
	assert_refused("*1\n$4\r\nPING\r\n", "invalid multibulk length");
	assert_refused("*2000000000\r\n", "invalid multibulk length");
	assert_refused("*99999999999999999999999999999999", "invalid multibulk length");
	assert_refused("*00000000000000000000000000000000000001\r\n", "invalid multibulk length");
	assert_refused("*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$'");
	assert_refused("*1\r\n:1\r\n", "expected '$'");
	assert_refused("*1\r\nPING\r\n", "expected '$'");
	assert_refused("*1\r\n$-1\r\n", "invalid bulk length");
	assert_refused("*1\r\n$\r\n", "invalid bulk length");
	assert_refused("*1\r\n$4x\r\nPING\r\n", "invalid bulk length");
	assert_refused("*1\r\n$4294967297\r\n", "invalid bulk length");
	assert_refused("*1\r\n$4\r\nPINGxx", "a bulk string does not end where it said");
	assert_refused("*1\r\n$3\r\nPING\r\n", "a bulk string does not end where it said");
	assert_refused("*1\r\n$5\r\nPING\r\n*1", "a bulk string does not end where it said");
}

static void empty_array_asks_nothing(void **state)
{
	struct weir_resp resp;

	assert_int_equal(parse("*0\r\n", 4, &resp), 4);
	assert_int_equal(words.count, 0);
}

static void words_up_to_the_limit_are_taken_and_not_one_more(void **state)
{
	char *text = room_take(WEIR_API_ARGS_MAX * 8 + 16);
	struct weir_resp resp;
	int len = sprintf(text, "*%d\r\n", WEIR_API_ARGS_MAX);

	for (unsigned i = 0; i < WEIR_API_ARGS_MAX; i++)
		len += sprintf(text + len, "$1\r\nx\r\n");
	assert_int_equal(parse(text, (size_t)len, &resp), len);
	assert_int_equal(words.count, WEIR_API_ARGS_MAX);
	sprintf(text, "*%d\r\n", WEIR_API_ARGS_MAX + 1);
	assert_refused(text, "invalid multibulk length");
	free(text);
}

static void request_up_to_the_limit_is_taken_and_not_one_byte_more(void **state)
{
	char *text = room_take(WEIR_API_REQUEST_MAX + 64);
	struct weir_resp resp;
	/* "*1\r\n$dddddd\r\n...\r\n" */
	unsigned bulk = WEIR_API_REQUEST_MAX - 4 - 10 - 2;
	int head = sprintf(text, "*1\r\n$%u\r\n", bulk);

	assert_int_equal(head, 4 + 10);
	memset(text + head, 'x', bulk);
	memcpy(text + head + bulk, "\r\n", 2);
	assert_int_equal(parse(text, WEIR_API_REQUEST_MAX, &resp), WEIR_API_REQUEST_MAX);
	assert_int_equal(words.word[0].len, bulk);
	sprintf(text, "*1\r\n$%u\r\n", bulk + 1);
	assert_refused(text, "too big request");
	sprintf(text, "*1\r\n$%u\r\n", WEIR_API_REQUEST_MAX + 1);
	assert_refused(text, "invalid bulk length");
	free(text);
}

static void many_bulks_together_may_not_pass_the_limit(void **state)
{
	char *text = room_take(2 * WEIR_API_REQUEST_MAX);
	struct weir_resp resp;
	int len = sprintf(text, "*3\r\n");

	for (unsigned i = 0; i < 2; i++) {
		len += sprintf(text + len, "$%u\r\n", WEIR_API_REQUEST_MAX / 3);
		memset(text + len, 'x', WEIR_API_REQUEST_MAX / 3);
		len += WEIR_API_REQUEST_MAX / 3;
		len += sprintf(text + len, "\r\n");
	}
	len += sprintf(text + len, "$%u\r\n", WEIR_API_REQUEST_MAX / 3);
	assert_true(parse(text, (size_t)len, &resp) < 0);
	assert_string_equal(resp.fault, "too big request");
	free(text);
}

static void inline_command_is_split_at_blanks(void **state)
{
	struct weir_resp resp;
	const char *text = "  FLOW.ADD\td1  ip,actions=drop \r\nPING\r\n";

	assert_int_equal(parse("PING\n", 5, &resp), 5);
	assert_int_equal(words.count, 1);
	assert_int_equal(parse(text, strlen(text), &resp), strlen(text) - 6);
	assert_int_equal(words.count, 3);
	assert_word(2, "ip,actions=drop");
	assert_int_equal(parse("\r\n", 2, &resp), 2);
	assert_int_equal(words.count, 0);
	assert_int_equal(parse("PING", 4, &resp), 0);
}

static void inline_quotes_keep_blanks(void **state)
{
	struct weir_resp resp;
	const char *text = "A \"b c\" 'd \"e' f\"g h\"i \"\" \"j\\\"k\"\n";

	for (unsigned twice = 0; twice < 2; twice++) {
		assert_int_equal(parse(text, strlen(text), &resp), strlen(text));
		assert_int_equal(words.count, 6);
		assert_word(1, "b c");
		assert_word(2, "d \"e");
		assert_word(3, "fg hi");
		assert_word(4, "");
		assert_word(5, "j\"k");
	}
}

static void malformed_inline_is_refused(void **state)
{
	char *text = room_take(WEIR_API_INLINE_MAX + 8);

	assert_refused("a \"b\r\n", "unbalanced quotes in request");
	assert_refused("a 'b\n", "unbalanced quotes in request");
	assert_refused("\x01\x02\n", "neither an array nor a line of text");
	assert_refused("\x7f\n", "neither an array nor a line of text");
	memset(text, 'x', WEIR_API_INLINE_MAX + 1);
	text[WEIR_API_INLINE_MAX + 1] = '\0';
	assert_refused(text, "too big inline request");
	for (unsigned i = 0; i <= WEIR_API_ARGS_MAX; i++)
		memcpy(text + 2 * i, "x ", 2);
	strcpy(text + 2 * (WEIR_API_ARGS_MAX + 1), "\n");
	assert_refused(text, "too many words");
	free(text);
}

static void inline_line_up_to_the_limit_is_taken(void **state)
{
	char *text = room_take(WEIR_API_INLINE_MAX + 1);
	struct weir_resp resp;

	memset(text, 'x', WEIR_API_INLINE_MAX);
	text[WEIR_API_INLINE_MAX] = '\n';
	assert_int_equal(parse(text, WEIR_API_INLINE_MAX + 1, &resp), WEIR_API_INLINE_MAX + 1);
	assert_int_equal(words.word[0].len, WEIR_API_INLINE_MAX);
	free(text);
}

static uint64_t random_next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	return *seed ^= *seed << 17;
}

/* Whatever the bytes: an error, a wait, or words that lie inside what was given. */
static void random_bytes_never_lead_outside(void **state)
{
	static const char alphabet[] = "*$0123456789-\r\n\r\n \"'\\ax\x00\xff";
	uint64_t seed = 42;

	for (unsigned round = 0; round < 200000; round++) {
		char bytes[64];
		size_t len = random_next(&seed) % sizeof(bytes);
		struct weir_resp resp;
		long taken;

		for (size_t i = 0; i < len; i++)
			bytes[i] = random_next(&seed) % 8 == 0
					   ? (char)random_next(&seed)
					   : alphabet[random_next(&seed) % (sizeof(alphabet) - 1)];
		if (len > 4 && round % 2 == 0)
			memcpy(bytes, "*2\r\n", 4);
		taken = parse(bytes, len, &resp);
		assert_true(taken <= (long)len);
		assert_true(taken >= 0 || resp.fault != NULL);
		for (unsigned i = 0; taken > 0 && i < words.count; i++)
			assert_true(words.word[i].len <= len);
	}
}

static void random_requests_in_random_pieces_are_read_whole(void **state)
{
	uint64_t seed = 7;

	for (unsigned round = 0; round < 2000; round++) {
		char bytes[4096];
		struct weir_resp resp = {0};
		unsigned count = 1 + (unsigned)(random_next(&seed) % 8), lens[8];
		int len = sprintf(bytes, "*%u\r\n", count);
		long taken = 0;

		for (unsigned i = 0; i < count; i++) {
			lens[i] = (unsigned)(random_next(&seed) % 300);
			len += sprintf(bytes + len, "$%u\r\n", lens[i]);
			for (unsigned k = 0; k < lens[i]; k++)
				bytes[len++] = (char)random_next(&seed);
			len += sprintf(bytes + len, "\r\n");
		}
		for (size_t have = 0; taken == 0;) {
			have += random_next(&seed) % 64;
			if (have > (size_t)len)
				have = (size_t)len;
			taken = weir_resp_parse(&resp, bytes, have, &words);
		}
		assert_int_equal(taken, len);
		assert_int_equal(words.count, count);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(words.word[i].len, lens[i]);
	}
}

static bool glob(const char *pattern, const char *text)
{
	return weir_glob_match(pattern, strlen(pattern), text, strlen(text));
}

static void glob_matches_as_redis_does(void **state)
{
	assert_true(glob("*", ""));
	assert_true(glob("", ""));
	assert_false(glob("", "a"));
	assert_true(glob("s?", "s1"));
	assert_false(glob("s?", "s"));
	assert_true(glob("*core*1", "a-core-core-1"));
	assert_false(glob("*core*1", "a-core-core-2"));
	assert_true(glob("[a-c]x", "bx"));
	assert_false(glob("[^a-c]x", "bx"));
	assert_true(glob("a\\*", "a*"));
	assert_false(glob("a\\*", "ab"));
	assert_false(glob("[", "a"));
	assert_false(glob("a\\", "b"));
	assert_false(glob("*a*a*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void numbers_are_read_to_their_limit(void **state)
{
	uint64_t number = 0;

	assert_true(weir_word_number(
		&(struct weir_word){"18446744073709551615", 20}, UINT64_MAX, &number));
	assert_true(number == UINT64_MAX);
	assert_false(weir_word_number(
		&(struct weir_word){"18446744073709551616", 20}, UINT64_MAX, &number));
	assert_false(weir_word_number(&(struct weir_word){"", 0}, 9, &number));
	assert_false(weir_word_number(&(struct weir_word){"-1", 2}, 9, &number));
	assert_false(weir_word_number(&(struct weir_word){"10", 2}, 9, &number));
}

static void word_with_a_nul_is_not_the_word_before_it(void **state)
{
	char text[8];

	assert_false(weir_word_is(&(struct weir_word){"ACK\0xx", 6}, "ACK"));
	assert_true(weir_word_is(&(struct weir_word){"aCk", 3}, "ACK"));
	assert_false(weir_word_copy(&(struct weir_word){"a\0b", 3}, text, sizeof(text)));
	assert_false(weir_word_copy(&(struct weir_word){"12345678", 8}, text, sizeof(text)));
	assert_true(weir_word_copy(&(struct weir_word){"1234567", 7}, text, sizeof(text)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(array_is_read_where_it_stands),
		cmocka_unit_test(every_truncation_asks_for_more),
		cmocka_unit_test(request_in_single_bytes_is_the_same_request),
		cmocka_unit_test(request_in_every_two_pieces_is_the_same_request),
		cmocka_unit_test(malformed_arrays_are_refused),
		cmocka_unit_test(empty_array_asks_nothing),
		cmocka_unit_test(words_up_to_the_limit_are_taken_and_not_one_more),
		cmocka_unit_test(request_up_to_the_limit_is_taken_and_not_one_byte_more),
		cmocka_unit_test(many_bulks_together_may_not_pass_the_limit),
		cmocka_unit_test(inline_command_is_split_at_blanks),
		cmocka_unit_test(inline_quotes_keep_blanks),
		cmocka_unit_test(malformed_inline_is_refused),
		cmocka_unit_test(inline_line_up_to_the_limit_is_taken),
		cmocka_unit_test(random_bytes_never_lead_outside),
		cmocka_unit_test(random_requests_in_random_pieces_are_read_whole),
		cmocka_unit_test(glob_matches_as_redis_does),
		cmocka_unit_test(numbers_are_read_to_their_limit),
		cmocka_unit_test(word_with_a_nul_is_not_the_word_before_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
