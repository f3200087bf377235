/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Is a seed the same run whatever ran before it in its process? Each is run in a process of its
 * own, and all in one, forwards and backwards; the hashes over all events must be equal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim.h"

/* A process that runs these seeds, the last first where `step` is -1, and notes their hashes. */
static void process(const struct sim_options *options, uint64_t first, uint64_t count, int step,
	uint64_t *hashes)
{
	pid_t pid = fork();
	int status;

	weir_assert(pid >= 0);
	if (pid == 0) {
		struct sim *sim = calloc(1, sizeof(*sim));

		weir_assert(sim != NULL);
		sim_guard(sim);
		for (uint64_t i = 0; i < count; i++) {
			uint64_t at = step > 0 ? i : count - 1 - i;

			sim_guard_seed();
			sim_run(sim, first + at, options);
			hashes[at] = sim->hash;
		}
		_Exit(0);
	}
	waitpid(pid, &status, 0);
}

/** @return exit status: 1 where a seed depends on what ran before it */
int sim_same_run(const struct sim_options *options, uint64_t from, uint64_t to)
{
	uint64_t count = to - from + 1, others = 0;
	size_t bytes = 3 * count * sizeof(uint64_t);
	uint64_t *alone =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t *forwards = alone + count, *backwards = forwards + count;

	weir_assert(alone != MAP_FAILED);
	process(options, from, count, 1, forwards);
	process(options, from, count, -1, backwards);
	for (uint64_t i = 0; i < count; i++)
		process(options, from + i, 1, 1, &alone[i]);
	for (uint64_t i = 0; i < count; i++) {
		if (alone[i] != 0 && alone[i] == forwards[i] && alone[i] == backwards[i])
			continue;
		printf("seed %" PRIu64 ": %016" PRIx64 " alone, %016" PRIx64
		       " after those before it, %016" PRIx64 " after those behind it\n",
			from + i, alone[i], forwards[i], backwards[i]);
		others++;
	}
	printf("%" PRIu64 " seeds, of which %" PRIu64 " depend on what ran before them\n", count,
		others);
	munmap(alone, bytes);
	return others == 0 ? 0 : 1;
}
