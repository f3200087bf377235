/* SPDX-License-Identifier: BSD-3-Clause */
/* Within a session: messages once, in order, whole, whatever the network does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "fabric.h"
#include "link/sender.h"

static const unsigned one_worker[] = {1, 1};

static struct fabric fabric;

static void pair_start(uint64_t seed)
{
	fabric_start(&fabric, seed, one_worker, 2);
	fabric_join(&fabric);
	fabric_until(&fabric, 100,
		fabric_seen(&fabric, 0, 0, 1, 0)->up && fabric_seen(&fabric, 1, 0, 0, 0)->up);
}

/** Sends up to `count` messages in all, as many now as the stream takes. */
static void feed(unsigned from, uint64_t count, size_t len_max)
{
	struct fabric_seen *seen = fabric_seen(&fabric, from, 0, 1 - from, 0);

	while (seen->sent < count) {
		const size_t len = 1 + fabric_random(&fabric) % len_max;

		if (fabric_send(&fabric, from, 0, 1 - from, 0, len) == WEIR_BUSY)
			return;
	}
}

static bool all_received(uint64_t count)
{
	const struct fabric_seen *a = fabric_seen(&fabric, 0, 0, 1, 0);
	const struct fabric_seen *b = fabric_seen(&fabric, 1, 0, 0, 0);

	return a->received == count && b->received == count && a->sent_sum == b->received_sum &&
	       b->sent_sum == a->received_sum;
}

/** Both ways at once, until all is there; then nothing may be left under way. */
static void exchange(uint64_t count, size_t len_max, unsigned ms)
{
	const uint64_t until_ns = fabric.now_ns + ms * WEIR_NS_PER_MS;

	while (!all_received(count) && fabric.now_ns < until_ns) {
		feed(0, count, len_max);
		feed(1, count, len_max);
		fabric_step(&fabric);
	}
	assert_true(all_received(count));
	fabric_until(&fabric, 200,
		weir_link_room(fabric.nodes[0].workers[0].link, 1, 0) == WEIR_LINK_QUEUE_BYTES &&
			weir_link_room(fabric.nodes[1].workers[0].link, 0, 0) ==
				WEIR_LINK_QUEUE_BYTES);
	assert_int_equal(fabric_seen(&fabric, 0, 0, 1, 0)->ups, 1);
	assert_int_equal(fabric_seen(&fabric, 1, 0, 0, 0)->ups, 1);
}

static void messages_arrive_once_in_order_despite_loss_doubling_and_reordering(void **state)
{
	struct weir_link_stats stats;

	pair_start(0x5eed0001);
	fabric.faults = (struct fabric_faults){.loss = 50000, .twice = 20000, .late = 20000};
	exchange(100000, WEIR_MESSAGE_BYTES_MAX, 600000);
	stats = fabric_stats(&fabric, 0, 0);
	print_message("virtual %llu ms, %lu frames, %lu lost, %lu repeated, %lu doubles\n",
		fabric.now_ns / WEIR_NS_PER_MS, stats.tx_frames, fabric.lost, stats.retransmits,
		stats.duplicates);
	assert_int_equal(stats.rx_messages, 100000);
	assert_int_equal(stats.tx_messages, 100000);
	assert_true(stats.retransmits > 0 && stats.duplicates > 0 && stats.out_of_order > 0);
	fabric_end(&fabric);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			messages_arrive_once_in_order_despite_loss_doubling_and_reordering),
	};

	fabric_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
