/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The simulator itself is tested: each defect of base/defect.h is put back in a process of its
 * own, which runs seeds until one of them finds it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/defect.h"
#include "sim.h"

#define DEFECTS_MAX 256

/** What became of one defect; written by its process. */
struct outcome {
	pid_t pid;
	uint64_t seed; /**< at hand */
	double begun, took;
	bool found;
	char verdict[SIM_VERDICT];
};

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void hunt(unsigned defect, const struct sim_options *options,
	struct outcome *outcome, uint64_t from, uint64_t to)
{
	struct sim_options how = *options;
	struct sim *sim = calloc(1, sizeof(*sim));

	weir_assert(sim != NULL && weir_defect_choose(weir_defect_name(defect)));
	weir_assert(freopen("/dev/null", "w", stdout) != NULL);
	how.verdict = outcome->verdict;
	sim_guard(sim);
	for (uint64_t seed = from; seed <= to; seed++) {
		outcome->seed = seed;
		sim_guard_seed();
		sim_run(sim, seed, &how);
	}
	_Exit(0);
}

static void begin(unsigned defect, const struct sim_options *options, struct outcome *outcome,
	uint64_t from, uint64_t to)
{
	pid_t pid;

	outcome->begun = seconds();
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		hunt(defect, options, outcome, from, to);
	weir_assert(pid > 0);
	outcome->pid = pid;
}

/* Waits for one of the processes to end. */
static void await(struct outcome *outcomes, unsigned count)
{
	int status;
	pid_t pid = wait(&status);

	for (unsigned i = 1; i < count; i++)
		if (outcomes[i].pid == pid) {
			outcomes[i].found = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
			outcomes[i].took = seconds() - outcomes[i].begun;
			fprintf(stderr, "%s %s\n", weir_defect_name(i),
				outcomes[i].found ? outcomes[i].verdict : "NOT FOUND");
		}
}

/* @return how many were not found */
static unsigned table_print(const struct outcome *outcomes, unsigned count, uint64_t from)
{
	unsigned missed = 0;

	printf("%-22s %6s %8s  %s\n", "defect", "seeds", "seconds", "description");
	for (unsigned i = 1; i < count; i++) {
		const struct outcome *outcome = &outcomes[i];

		printf("%-22s ", weir_defect_name(i));
		if (outcome->found)
			printf("%6" PRIu64, outcome->seed - from + 1);
		else
			printf("%6s", "-");
		printf(" %8.1f  %s\n", outcome->took, weir_defect_text(i));
		missed += !outcome->found;
	}
	printf("%u defects, %u not found\n", count - 1, missed);
	return missed;
}

/** Runs all, `jobs` at a time. @return exit status: 1 where one is not found */
int sim_defects_run(const struct sim_options *options, uint64_t from, uint64_t to, unsigned jobs)
{
	struct outcome *outcomes = mmap(NULL, DEFECTS_MAX * sizeof(*outcomes),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned count = 1, running = 0;

	weir_assert(outcomes != MAP_FAILED);
	for (; weir_defect_name(count) != NULL && count < DEFECTS_MAX; count++) {
		if (running == jobs)
			await(outcomes, count);
		else
			running++;
		begin(count, options, &outcomes[count], from, to);
	}
	while (running-- > 0)
		await(outcomes, count);
	return table_print(outcomes, count, from) == 0 ? 0 : 1;
}
