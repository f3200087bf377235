/* SPDX-License-Identifier: BSD-3-Clause */
/* Sessions: how two ends find each other, and how each break is seen on both sides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "fabric.h"
#include "link/stream.h"

static const unsigned one_worker[] = {1, 1};

static struct fabric fabric;

static struct fabric_seen *a_sees;
static struct fabric_seen *b_sees;

static void pair_make(uint64_t seed)
{
	fabric_start(&fabric, seed, one_worker, 2);
	a_sees = fabric_seen(&fabric, 0, 0, 1, 0);
	b_sees = fabric_seen(&fabric, 1, 0, 0, 0);
}

static bool both_up(void)
{
	return a_sees->up && b_sees->up;
}

static void pair_start(uint64_t seed)
{
	pair_make(seed);
	fabric_join(&fabric);
	fabric_until(&fabric, 100, both_up());
}

static bool streams_whole(void)
{
	return both_up() && b_sees->received == a_sees->sent && a_sees->received == b_sees->sent &&
	       b_sees->received_sum == a_sees->sent_sum && a_sees->received_sum == b_sees->sent_sum;
}

/** Messages go both ways in the session that is up. */
static void talk(unsigned messages)
{
	for (unsigned i = 0; i < messages; i++) {
		while (fabric_send(&fabric, 0, 0, 1, 0, 1 + i % 4000) == WEIR_BUSY ||
			fabric_send(&fabric, 1, 0, 0, 0, 1 + i % 3000) == WEIR_BUSY)
			fabric_step(&fabric);
	}
	fabric_until(&fabric, 1000, streams_whole());
}

static struct weir_link *link_of(unsigned node)
{
	return fabric.nodes[node].workers[0].link;
}

static void ends_find_each_other_in_a_round_trip(void **state)
{
	pair_make(1);
	fabric_join(&fabric);
	fabric_steps(&fabric, 4);
	assert_true(both_up());
	assert_int_equal(a_sees->incarnation, 7);
	assert_int_equal(b_sees->incarnation, 7);
	assert_int_equal(fabric_stats(&fabric, 0, 0).sessions, 1);
	fabric_steps(&fabric, 10);
	assert_true(fabric.carried <= 6);
	fabric_end(&fabric);
}

static void nothing_is_sent_before_the_session_is_up(void **state)
{
	pair_make(1);
	fabric_introduce(&fabric, 0, 1);
	fabric_steps(&fabric, 100);
	assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 10), WEIR_UNREACHABLE);
	assert_int_equal(weir_link_room(link_of(0), 1, 0), 0);
	fabric_introduce(&fabric, 1, 0);
	fabric_until(&fabric, 100, both_up());
	assert_int_equal(weir_link_room(link_of(0), 1, 0), WEIR_LINK_QUEUE_BYTES);
	talk(100);
	fabric_end(&fabric);
}

static void sessions_come_up_despite_heavy_loss(void **state)
{
	for (uint64_t seed = 1; seed <= 50; seed++) {
		pair_make(seed);
		fabric.faults =
			(struct fabric_faults){.loss = 500000, .twice = 100000, .late = 200000};
		fabric_join(&fabric);
		fabric_until(&fabric, 3000, both_up());
		talk(100);
		assert_int_equal(a_sees->ups + b_sees->ups, 2);
		fabric_end(&fabric);
	}
}

/** Hellos to a peer that does not answer: a few quickly, then one each 50 ms. */
static void hello_backs_off(void **state)
{
	pair_make(1);
	fabric_introduce(&fabric, 0, 1);
	fabric_steps(&fabric, 3000);
	assert_in_range(fabric.carried, 4, 6);
	fabric_steps(&fabric, 97000);
	assert_in_range(fabric.carried, 22, 26);
	fabric_end(&fabric);
}

static void same_end_again_is_nothing_new(void **state)
{
	pair_start(1);
	fabric_join(&fabric);
	talk(100);
	assert_int_equal(a_sees->downs + b_sees->downs, 0);
	fabric_end(&fabric);
}

static void end_that_makes_no_sense_is_refused(void **state)
{
	struct weir_link_end end;

	pair_start(1);
	end = fabric.nodes[1].end;
	end.workers_count = 3;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	end.workers_count = 2 * WEIR_WORKERS_MAX;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	end = fabric.nodes[1].end;
	end.incarnation = 0;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	end.incarnation = 1ULL << (64 - WEIR_SESSION_BITS);
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	end = fabric.nodes[1].end;
	end.udp_port = 0;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	end = fabric.nodes[1].end;
	end.ipv4 = 0;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, &end), WEIR_ERR);
	/* What was there stays as it was. */
	talk(10);
	assert_int_equal(a_sees->downs, 0);
	fabric_end(&fabric);
}

static void restart_is_down_and_up_and_nothing_of_the_old_session_arrives(void **state)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		pair_make(seed);
		fabric.faults =
			(struct fabric_faults){.loss = 100000, .twice = 100000, .late = 300000};
		fabric_join(&fabric);
		fabric_until(&fabric, 1000, both_up());
		/* Much is under way both ways when B dies; the receiver checks salt and order. */
		for (unsigned i = 0; i < 500; i++) {
			fabric_send(&fabric, 0, 0, 1, 0, 1 + i * 7);
			fabric_send(&fabric, 1, 0, 0, 0, 1 + i * 5);
			if (i % 50 == 0)
				fabric_step(&fabric);
		}
		fabric_restart(&fabric, 1);
		fabric_introduce(&fabric, 1, 0);
		fabric_steps(&fabric, (unsigned)(fabric_random(&fabric) % 2000));
		assert_false(b_sees->up);
		assert_int_equal(a_sees->downs, 0);
		fabric_introduce(&fabric, 0, 1);
		fabric_until(&fabric, 1000, both_up());
		assert_int_equal(a_sees->downs, 1);
		assert_int_equal(a_sees->ups, 2);
		assert_int_equal(a_sees->incarnation, 8);
		assert_int_equal(b_sees->ups, 1);
		talk(200);
		fabric_end(&fabric);
	}
}

static void restart_is_noticed_though_its_first_frames_are_lost(void **state)
{
	pair_start(1);
	fabric_restart(&fabric, 1);
	fabric_join(&fabric);
	fabric.nodes[1].cut_off = true;
	fabric_steps(&fabric, 50000);
	fabric.nodes[1].cut_off = false;
	fabric_until(&fabric, 60, both_up());
	assert_int_equal(a_sees->downs, 1);
	talk(100);
	fabric_end(&fabric);
}

static void peer_of_another_incarnation_is_not_heard(void **state)
{
	uint64_t stale;

	/* Newer than the one that was named, then older. */
	pair_start(1);
	fabric_restart(&fabric, 1);
	fabric_introduce(&fabric, 1, 0);
	fabric_steps(&fabric, 10000);
	assert_int_equal(a_sees->downs, 0);
	stale = fabric_stats(&fabric, 0, 0).bad_stale;
	assert_true(stale > 0);
	fabric.nodes[1].end.incarnation += 5;
	fabric_introduce(&fabric, 0, 1);
	fabric_steps(&fabric, 10000);
	assert_false(a_sees->up);
	assert_false(b_sees->up);
	assert_true(fabric_stats(&fabric, 0, 0).bad_stale > stale);
	fabric.nodes[1].end.incarnation -= 5;
	fabric_introduce(&fabric, 0, 1);
	fabric_until(&fabric, 100, both_up());
	talk(10);
	fabric_end(&fabric);
}

static void forgotten_peer_sees_the_end_and_pairs_again_when_named(void **state)
{
	pair_start(1);
	for (unsigned i = 1; i <= 10; i++) {
		talk(100);
		assert_int_equal(weir_link_peer_set(link_of(0), 1, NULL), 0);
		assert_int_equal(fabric_send(&fabric, 0, 0, 1, 0, 10), WEIR_UNREACHABLE);
		assert_true(a_sees->up); /* the owner is told in its next turn */
		fabric_until(&fabric, 1, a_sees->downs == i && b_sees->downs == i);
		fabric_steps(&fabric, 1000);
		assert_true(fabric_stats(&fabric, 0, 0).bad_foreign > 0);
		fabric_introduce(&fabric, 0, 1);
		fabric_until(&fabric, 100, both_up());
	}
	fabric_end(&fabric);
}

static void farewell_that_is_lost_is_made_up_for(void **state)
{
	pair_start(1);
	fabric.nodes[0].cut_off = true;
	assert_int_equal(weir_link_peer_set(link_of(0), 1, NULL), 0);
	fabric_steps(&fabric, 1000);
	assert_int_equal(b_sees->downs, 0);
	fabric.nodes[0].cut_off = false;
	fabric_introduce(&fabric, 0, 1);
	fabric_until(&fabric, 100, both_up() && b_sees->ups == 2);
	talk(100);
	assert_int_equal(a_sees->downs, 1);
	assert_int_equal(b_sees->downs, 1);
	fabric_end(&fabric);
}

static void both_ends_that_begin_anew_settle(void **state)
{
	for (uint64_t seed = 1; seed <= 100; seed++) {
		pair_start(seed);
		fabric.faults =
			(struct fabric_faults){.loss = 100000, .twice = 200000, .late = 300000};
		for (unsigned i = 0; i < 3; i++) {
			weir_link_peer_set(link_of(0), 1, NULL);
			weir_link_peer_set(link_of(1), 0, NULL);
			fabric_join(&fabric);
			fabric_steps(&fabric, (unsigned)(fabric_random(&fabric) % 30));
		}
		fabric_until(&fabric, 1000, both_up());
		talk(50);
		/* No ping-pong: once settled, nothing breaks any more. */
		fabric_steps(&fabric, 5000);
		assert_true(both_up());
		assert_true(a_sees->ups <= 8 && b_sees->ups <= 8);
		fabric_end(&fabric);
	}
}

/** All frames that ever entered the network. */
struct archive {
	struct rte_mbuf *frames[4000];
	unsigned count;
};

static bool tap_archive(struct fabric *net, struct rte_mbuf *mbuf)
{
	struct archive *archive = net->tap_ctx;

	if (archive->count < RTE_DIM(archive->frames))
		archive->frames[archive->count++] =
			rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX);
	return true;
}

static void archive_replay(const struct archive *archive)
{
	for (unsigned i = 0; i < archive->count; i++) {
		struct rte_mbuf *mbuf = archive->frames[i];
		const unsigned to = rte_pktmbuf_mtod(mbuf, const uint8_t *)[5] - 1U;

		fabric_inject(&fabric, to, 0, rte_pktmbuf_copy(mbuf, mbuf->pool, 0, UINT32_MAX));
		if (i % 16 == 0)
			fabric_step(&fabric);
	}
	fabric_steps(&fabric, 1000);
}

static bool tap_two_frames(struct fabric *net, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);

	return !fabric_is_data(mbuf) || le16toh(frame->head.seq) <= 2;
}

static void half_a_message_does_not_outlive_its_session(void **state)
{
	pair_start(1);
	fabric.tap = tap_two_frames;
	fabric_send(&fabric, 0, 0, 1, 0, WEIR_MESSAGE_BYTES_MAX);
	fabric_steps(&fabric, 10);
	fabric.tap = NULL;
	weir_link_peer_set(link_of(0), 1, NULL);
	fabric_introduce(&fabric, 0, 1);
	fabric_until(&fabric, 100, both_up() && b_sees->ups == 2);
	assert_int_equal(b_sees->received_total, 0);
	talk(100);
	fabric_end(&fabric);
}

/** Every frame of former sessions, hellos and messages, comes once more. */
static void late_frames_of_old_sessions_never_end_a_live_one(void **state)
{
	static struct archive archive;
	uint64_t messages;

	pair_make(1);
	fabric.tap = tap_archive;
	fabric.tap_ctx = &archive;
	fabric_join(&fabric);
	for (unsigned i = 0; i < 5; i++) {
		fabric_until(&fabric, 100, both_up());
		talk(30);
		weir_link_peer_set(link_of(i % 2), 1 - i % 2, NULL);
		fabric_steps(&fabric, 1000);
		fabric_join(&fabric);
	}
	fabric_until(&fabric, 100, both_up());
	fabric_restart(&fabric, 1);
	fabric_join(&fabric);
	fabric_until(&fabric, 100, both_up());
	fabric.tap = NULL;
	talk(30);
	messages = a_sees->received_total + b_sees->received_total;
	archive_replay(&archive);
	assert_int_equal(a_sees->downs, 6);
	assert_int_equal(b_sees->downs, 0);
	assert_int_equal(a_sees->received_total + b_sees->received_total, messages);
	assert_true(fabric_stats(&fabric, 0, 0).bad_stale > 0);
	assert_true(fabric_stats(&fabric, 1, 0).bad_stale > 0);
	talk(30);
	rte_pktmbuf_free_bulk(archive.frames, archive.count);
	fabric_end(&fabric);
}

/** Streams are there for workers whose numbers agree modulo the smaller count. */
static void streams_join_workers_that_share_shards(void **state)
{
	static const unsigned workers[] = {1, 2, 4};

	fabric_start(&fabric, 1, workers, 3);
	fabric_join(&fabric);
	fabric_steps(&fabric, 1000);
	for (unsigned n = 0; n < 3; n++) {
		for (unsigned p = 0; p < 3; p++) {
			const unsigned least = RTE_MIN(workers[n], workers[p]);

			for (unsigned w = 0; w < workers[n] && n != p; w++) {
				for (unsigned v = 0; v < WEIR_WORKERS_MAX; v++)
					assert_int_equal(fabric_seen(&fabric, n, w, p, v)->up,
						v < workers[p] && v % least == w % least);
			}
		}
	}
	assert_int_equal(fabric_send(&fabric, 2, 3, 1, 1, 5000), 0);
	assert_int_equal(fabric_send(&fabric, 2, 1, 1, 1, 5000), 0);
	assert_int_equal(fabric_send(&fabric, 2, 1, 1, 0, 5000), WEIR_UNREACHABLE);
	fabric_steps(&fabric, 10);
	assert_int_equal(fabric_seen(&fabric, 1, 1, 2, 3)->received, 1);
	assert_int_equal(fabric_seen(&fabric, 1, 1, 2, 1)->received, 1);
	fabric_end(&fabric);
}

static void nobody_listens(enum weir_log_room room, enum weir_log_level level, const char *line)
{
}

static int maps_left = INT_MAX;

/** Stands before the system's own (see meson.build), so that memory can be short. */
void *__real_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset);

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (maps_left <= 0)
		return MAP_FAILED;
	maps_left--;
	return __real_mmap64(addr, len, prot, flags, fd, offset);
}

static void peer_without_memory_is_busy_and_can_be_set_later(void **state)
{
	static const unsigned workers[] = {1, 4};

	fabric_start(&fabric, 1, workers, 2);
	fabric_join(&fabric);
	fabric_until(&fabric, 100, fabric_seen(&fabric, 0, 0, 1, 3)->up);
	weir_link_peer_set(link_of(0), 1, NULL);
	for (maps_left = 0; maps_left < 4;) {
		const int left = maps_left;

		assert_int_equal(
			weir_link_peer_set(link_of(0), 1, &fabric.nodes[1].end), WEIR_BUSY);
		assert_int_equal(maps_left, 0);
		maps_left = left + 1;
	}
	fabric_introduce(&fabric, 0, 1);
	assert_int_equal(maps_left, 0);
	maps_left = INT_MAX;
	for (unsigned w = 0; w < 4; w++)
		fabric_until(&fabric, 100, fabric_seen(&fabric, 0, 0, 1, w)->ups == 2);
	fabric_end(&fabric);
}

/** The most streams that a link can have: each has its session and its messages. */
static void all_streams_of_a_full_cluster_come_up(void **state)
{
	static struct weir_link_end end;

	pair_start(1);
	end = fabric.nodes[1].end;
	end.workers_count = WEIR_WORKERS_MAX;
	for (unsigned p = 2; p < WEIR_NODES_MAX; p++) {
		end.node_key = p;
		end.mac[5] = (uint8_t)(p + 1);
		end.ipv4 = 0x0a000001 + p;
		assert_int_equal(weir_link_peer_set(link_of(0), p, &end), 0);
	}
	assert_int_equal(link_of(0)->streams_count, (WEIR_NODES_MAX - 2) * WEIR_WORKERS_MAX + 1);
	fabric_steps(&fabric, 100);
	talk(100);
	for (unsigned p = 2; p < WEIR_NODES_MAX; p++)
		assert_int_equal(weir_link_peer_set(link_of(0), p, NULL), 0);
	assert_int_equal(link_of(0)->streams_count, 1);
	talk(100);
	fabric_end(&fabric);
}

/** Frames for a node that stood at this address before mean nothing to the one that does now. */
static void node_at_the_address_of_another_is_not_taken_for_it(void **state)
{
	struct weir_link_end former;

	pair_start(1);
	former = fabric.nodes[1].end;
	former.node_key++;
	assert_int_equal(weir_link_peer_set(link_of(0), 2, &former), 0);
	fabric_steps(&fabric, 10000);
	talk(100);
	assert_int_equal(b_sees->downs, 0);
	assert_false(fabric_seen(&fabric, 0, 0, 2, 0)->up);
	assert_true(fabric_stats(&fabric, 1, 0).bad_foreign > 0);
	fabric_end(&fabric);
}

/** A million breaks are the bound: the numbers are not used twice, other streams live on. */
static void used_up_session_numbers_end_quietly(void **state)
{
	struct weir_link *link;

	pair_start(1);
	link = link_of(0);
	weir_log_sink_set(nobody_listens);
	link->sessions_count = (1ULL << WEIR_SESSION_BITS) - 3;
	weir_link_peer_set(link, 1, NULL);
	fabric_introduce(&fabric, 0, 1);
	fabric_until(&fabric, 100, both_up() && a_sees->ups == 2);
	talk(10);
	weir_link_peer_set(link_of(1), 0, NULL);
	fabric_introduce(&fabric, 1, 0);
	fabric_steps(&fabric, 10000);
	assert_false(a_sees->up);
	assert_false(b_sees->up);
	assert_int_equal(link->sessions_count, (1ULL << WEIR_SESSION_BITS) - 1);
	weir_log_sink_set(NULL);
	fabric_end(&fabric);
}

static void conf_that_makes_no_sense_is_refused(void **state)
{
	static const struct weir_link_ops none = {0};
	struct weir_link_conf good, conf;
	struct weir_link_ops ops;

	pair_make(1);
	weir_log_sink_set(nobody_listens);
	good = link_of(0)->conf;
	ops = link_of(0)->ops;
	assert_null(weir_link_create(&good, &none, NULL));
	conf = good;
	conf.mtu = 575;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf.mtu = 9001;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf.mtu = 9000; /* larger than the pool's data room */
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.pool = NULL;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.queue_bytes = WEIR_MESSAGE_BYTES_MAX - 1;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf.queue_bytes = WEIR_LINK_QUEUE_BYTES_MAX + 1;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.worker = 1;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.port_id = UINT16_MAX;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.self.workers_count = 0;
	assert_null(weir_link_create(&conf, &ops, NULL));
	conf = good;
	conf.self.udp_port = 65535;
	conf.self.workers_count = 2;
	assert_null(weir_link_create(&conf, &ops, NULL));
	weir_link_destroy(NULL);
	weir_log_sink_set(NULL);
	fabric_end(&fabric);
}

static void node_key_tells_names_apart(void **state)
{
	assert_true(weir_node_key("n1") != weir_node_key("n2"));
	assert_true(weir_node_key("n1") == weir_node_key("n1"));
	assert_true(weir_node_key("") != weir_node_key("n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_find_each_other_in_a_round_trip),
		cmocka_unit_test(nothing_is_sent_before_the_session_is_up),
		cmocka_unit_test(sessions_come_up_despite_heavy_loss),
		cmocka_unit_test(hello_backs_off),
		cmocka_unit_test(same_end_again_is_nothing_new),
		cmocka_unit_test(end_that_makes_no_sense_is_refused),
		cmocka_unit_test(restart_is_down_and_up_and_nothing_of_the_old_session_arrives),
		cmocka_unit_test(restart_is_noticed_though_its_first_frames_are_lost),
		cmocka_unit_test(peer_of_another_incarnation_is_not_heard),
		cmocka_unit_test(forgotten_peer_sees_the_end_and_pairs_again_when_named),
		cmocka_unit_test(farewell_that_is_lost_is_made_up_for),
		cmocka_unit_test(both_ends_that_begin_anew_settle),
		cmocka_unit_test(half_a_message_does_not_outlive_its_session),
		cmocka_unit_test(late_frames_of_old_sessions_never_end_a_live_one),
		cmocka_unit_test(streams_join_workers_that_share_shards),
		cmocka_unit_test(peer_without_memory_is_busy_and_can_be_set_later),
		cmocka_unit_test(all_streams_of_a_full_cluster_come_up),
		cmocka_unit_test(node_at_the_address_of_another_is_not_taken_for_it),
		cmocka_unit_test(used_up_session_numbers_end_quietly),
		cmocka_unit_test(conf_that_makes_no_sense_is_refused),
		cmocka_unit_test(node_key_tells_names_apart),
	};
	int failed;

	fabric_eal();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fabric_eal_end();
	return failed;
}
