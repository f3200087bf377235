/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Everything at once, by a seed: loss, restarts, forgotten peers, pauses, cuts and full ports
 * between three nodes of 1, 2 and 4 workers; then calm, and all must be whole again. The fabric
 * checks each message on its arrival.
 *
 *     test-link-storm [FIRST_SEED [SEEDS]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "fabric.h"
#include "link/sender.h"

#define SEEDS       20
#define STORM_STEPS 6000
#define CALM_MS     3000

static const unsigned workers[FABRIC_NODES] = {1, 2, 4};

static struct fabric fabric;
static uint64_t seed_first = 1, seeds_count = SEEDS;

static bool one_in(unsigned n)
{
	return fabric_random(&fabric) % n == 0;
}

static unsigned below(unsigned n)
{
	return (unsigned)(fabric_random(&fabric) % n);
}

static bool shares_shards(unsigned n, unsigned w, unsigned p, unsigned v)
{
	const unsigned least = RTE_MIN(workers[n], workers[p]);

	return v < workers[p] && v % least == w % least;
}

/** Calls `visit` for each stream, until it says false. @return whether it never did */
static bool streams_all(bool (*visit)(unsigned n, unsigned w, unsigned p, unsigned v))
{
	for (unsigned n = 0; n < FABRIC_NODES; n++) {
		for (unsigned w = 0; w < workers[n]; w++) {
			for (unsigned p = 0; p < FABRIC_NODES; p++) {
				for (unsigned v = 0; v < WEIR_WORKERS_MAX && p != n; v++) {
					if (shares_shards(n, w, p, v) && !visit(n, w, p, v))
						return false;
				}
			}
		}
	}
	return true;
}

static bool send_some(unsigned n, unsigned w, unsigned p, unsigned v)
{
	const unsigned len_max = one_in(10) ? WEIR_MESSAGE_BYTES_MAX : 300;

	if (one_in(4))
		fabric_send(&fabric, n, w, p, v, 1 + below(len_max));
	return true;
}

static bool send_one(unsigned n, unsigned w, unsigned p, unsigned v)
{
	return fabric_send(&fabric, n, w, p, v, 1 + below(5000)) == 0;
}

static bool is_up(unsigned n, unsigned w, unsigned p, unsigned v)
{
	return fabric_seen(&fabric, n, w, p, v)->up;
}

static bool is_whole(unsigned n, unsigned w, unsigned p, unsigned v)
{
	const struct fabric_seen *to = fabric_seen(&fabric, n, w, p, v);
	const struct fabric_seen *from = fabric_seen(&fabric, p, v, n, w);

	return to->up && from->up && to->received == from->sent &&
	       to->received_sum == from->sent_sum;
}

static void mishap(void)
{
	const unsigned n = below(FABRIC_NODES);
	const unsigned p = (n + 1 + below(FABRIC_NODES - 1)) % FABRIC_NODES;
	struct fabric_worker *me = &fabric.nodes[n].workers[below(workers[n])];

	switch (below(8)) {
	case 0:
		fabric_restart(&fabric, n);
		break;
	case 1:
		weir_link_peer_set(me->link, p, NULL);
		break;
	case 2:
	case 3:
		fabric_introduce(&fabric, n, p);
		break;
	case 4:
		me->stopped = !me->stopped;
		break;
	case 5:
		fabric.nodes[n].cut_off = !fabric.nodes[n].cut_off;
		break;
	case 6:
		me->jammed = !me->jammed;
		break;
	default:
		fabric.faults = (struct fabric_faults){
			below(400000), below(300000), below(500000), below(50000), below(50000)};
	}
}

static void calm(void)
{
	fabric.faults = (struct fabric_faults){.loss = 20000, .late = 20000};
	for (unsigned n = 0; n < FABRIC_NODES; n++) {
		fabric.nodes[n].cut_off = false;
		for (unsigned w = 0; w < workers[n]; w++) {
			fabric.nodes[n].workers[w].stopped = false;
			fabric.nodes[n].workers[w].jammed = false;
		}
	}
	fabric_join(&fabric);
}

static void storm(uint64_t seed)
{
	fabric.shape = (struct fabric_shape){.queue_bytes = 100000, .ring_size = 128};
	fabric_start(&fabric, seed, workers, FABRIC_NODES);
	fabric_join(&fabric);
	for (unsigned i = 0; i < STORM_STEPS; i++) {
		if (one_in(100))
			mishap();
		streams_all(send_some);
		fabric_step(&fabric);
	}
	calm();
	fabric_until(&fabric, CALM_MS, streams_all(is_up));
	fabric_until(&fabric, CALM_MS, streams_all(is_whole));
	assert_true(streams_all(send_one));
	fabric_until(&fabric, CALM_MS, streams_all(is_whole));
	fabric_end(&fabric);
}

static void after_any_storm_all_streams_are_whole(void **state)
{
	for (uint64_t i = 0; i < seeds_count; i++)
		storm(seed_first + i);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_any_storm_all_streams_are_whole),
	};
	int failed;

	if (argc > 1)
		seed_first = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		seeds_count = strtoull(argv[2], NULL, 0);
	fabric_eal();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	fabric_eal_end();
	return failed;
}
