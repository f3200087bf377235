/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

static void cursor_that_ran_out_stays_bad_and_reads_zero(void **state)
{
	const uint8_t bytes[] = {1, 2, 3, 4, 5};
	struct weir_in in = weir_in(bytes, sizeof(bytes));

	assert_int_equal(weir_in_u32(&in), 0x04030201);
	assert_int_equal(weir_in_u16(&in), 0);
	assert_true(in.bad);
	assert_int_equal(weir_in_u8(&in), 0);
	assert_int_equal(weir_in_left(&in), 0);
	assert_null(weir_in_bytes(&in, 0));
}

static void writing_past_the_end_writes_nothing(void **state)
{
	uint8_t bytes[4] = {9, 9, 9, 9};
	struct weir_out out = weir_out(bytes, 3);

	weir_out_u16(&out, 0x0201);
	weir_out_u16(&out, 0x0403);
	assert_true(out.bad);
	weir_out_u8(&out, 7);
	assert_int_equal(weir_out_left(&out), 0);
	assert_memory_equal(bytes, ((uint8_t[]){1, 2, 9, 9}), 4);
}

static void numbers_come_back_as_they_were(void **state)
{
	uint8_t bytes[15];
	struct weir_out out = weir_out(bytes, sizeof(bytes));
	struct weir_in in = weir_in(bytes, sizeof(bytes));

	weir_out_u8(&out, 0xfe);
	weir_out_u16(&out, 0xfedc);
	weir_out_u32(&out, 0xfedcba98);
	weir_out_u64(&out, 0xfedcba9876543210);
	assert_false(out.bad);
	assert_int_equal(weir_in_u8(&in), 0xfe);
	assert_int_equal(weir_in_u16(&in), 0xfedc);
	assert_int_equal(weir_in_u32(&in), 0xfedcba98);
	assert_true(weir_in_u64(&in) == 0xfedcba9876543210);
	assert_false(in.bad);
}

static void b21_hybrid_clock_never_goes_back(void **state)
{
	struct weir_hlc hlc = {0};
	uint64_t first = weir_hlc_next(&hlc, 1000 * WEIR_NS_PER_S);
	uint64_t after_jump_back = weir_hlc_next(&hlc, 10 * WEIR_NS_PER_S);
	uint64_t elsewhere = after_jump_back + 123456789;

	assert_true(after_jump_back > first);
	assert_int_equal(weir_hlc_wall_ns(first), 1000 * WEIR_NS_PER_S);
	/* A node whose wall clock is behind still stamps above what it has seen. */
	weir_hlc_seen(&hlc, elsewhere);
	assert_true(weir_hlc_next(&hlc, 10 * WEIR_NS_PER_S) > elsewhere);
	weir_hlc_seen(&hlc, 1);
	assert_true(weir_hlc_next(&hlc, 10 * WEIR_NS_PER_S) > elsewhere);
}

static void monotonic_clock_does_not_go_back(void **state)
{
	uint64_t last = weir_clock_ns();

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t now = weir_clock_ns();

		assert_true(now >= last);
		last = now;
	}
	assert_true(weir_clock_wall_ns() > 1700000000 * WEIR_NS_PER_S);
}

static void every_error_has_a_code_and_a_sentence(void **state)
{
	for (int err = 0; err >= WEIR_UNREACHABLE; err--) {
		const char *code = weir_err_code(err);

		assert_true(strlen(code) > 0 && strlen(weir_err_sentence(err)) > 0);
		assert_int_equal(weir_err_from_code(code, (unsigned)strlen(code)), err);
	}
	assert_string_equal(weir_err_code(-1000), "ERR");
	assert_string_equal(weir_err_code(5), "ERR");
	assert_int_equal(weir_err_from_code("NOTMASTERS", 10), WEIR_ERR);
	assert_int_equal(weir_err_from_code("", 0), WEIR_ERR);
}

static char last_line[64];

static void remember(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	snprintf(last_line, sizeof(last_line), "%s %d %s", weir_log_room_name(room), level, line);
}

static void lines_go_to_the_sink_with_room_and_level(void **state)
{
	weir_log_sink_set(remember);
	weir_log(WEIR_ROOM_LINK, WEIR_LOG_INFO, "peer %u", 3U);
	weir_log_sink_set(NULL);
	assert_string_equal(last_line, "link 7 peer 3");
	for (unsigned room = 0; room < WEIR_ROOMS_COUNT; room++)
		assert_string_not_equal(weir_log_room_name((enum weir_log_room)room), "?");
	assert_string_equal(weir_log_room_name(WEIR_ROOMS_COUNT), "?");
}

static void assertion_that_does_not_hold_ends_the_process(void **state)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		close(STDERR_FILENO);
		weir_assert(child != 0);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor_that_ran_out_stays_bad_and_reads_zero),
		cmocka_unit_test(writing_past_the_end_writes_nothing),
		cmocka_unit_test(numbers_come_back_as_they_were),
		cmocka_unit_test(b21_hybrid_clock_never_goes_back),
		cmocka_unit_test(monotonic_clock_does_not_go_back),
		cmocka_unit_test(every_error_has_a_code_and_a_sentence),
		cmocka_unit_test(lines_go_to_the_sink_with_room_and_level),
		cmocka_unit_test(assertion_that_does_not_hold_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
