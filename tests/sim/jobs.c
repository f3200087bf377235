/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many seeds, in several processes: each takes the next seed that nobody has, and one that dies of
 * a violation is replaced. A night's worth goes on for hours: it says how far it is, and may be
 * stopped at any time, with all that was found until then.
 */
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sim.h"

#define JOBS_MAX    64
#define FOUND_MAX   64   /**< violations whose seeds a summary names */
#define TERMINAL_S  1.0  /**< between two lines of progress */
#define FILE_S      60.0 /**< the same where nobody looks on */
#define INTERRUPTED 130  /**< exit status, as shells have it */
#define WAIT_MS     500
#define TRIM_SEEDS  256 /**< after so many, unused memory goes back to the system */

/** What a job says of one seed; its end is told by the pipe's. */
struct word {
	uint64_t seed;
	uint64_t virtual_ns;
	uint64_t hash;
	bool begun; /**< false: it is done */
	struct sim_stats stats;
};

struct job {
	pid_t pid;
	int fd;        /**< -1: it has ended */
	uint64_t seed; /**< at hand, or the last */
	bool busy;     /**< it has not come to the end of it */
};

struct tally {
	const struct sim_options *options;
	uint64_t from, to;
	_Atomic uint64_t *next; /**< the seed that nobody has yet; shared by all processes */
	uint64_t most;          /**< violations after which it is enough */
	bool enough;
	uint64_t seeds, virtual_ns, violations;
	uint64_t found[FOUND_MAX];
	struct sim_stats stats;
	double begun, said;
	struct job jobs[JOBS_MAX];
	unsigned jobs_count, running;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void add(struct sim_stats *to, const struct sim_stats *from)
{
	uint64_t *a = (uint64_t *)to;
	const uint64_t *b = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
		a[i] += b[i];
}

/* ----------------------------------------------------------------------------- a process --- */

static void say(int fd, const struct word *word)
{
	if (write(fd, word, sizeof(*word)) != sizeof(*word))
		_Exit(2);
}

/* It is told to stop by its parent only, between two seeds. */
static _Noreturn void job_run(const struct tally *tally, int fd)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	uint64_t seed, count = 0;

	weir_assert(sim != NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, on_interrupt);
	sim_guard(sim);
	while (!interrupted && (seed = atomic_fetch_add(tally->next, 1)) <= tally->to) {
		struct word word = {.seed = seed, .begun = true};

		say(fd, &word);
		sim_guard_seed();
		sim_run(sim, seed, tally->options);
		word.begun = false;
		word.virtual_ns = sim->now_ns;
		word.hash = sim->hash;
		word.stats = sim->stats;
		say(fd, &word);
		if (++count % TRIM_SEEDS == 0)
			malloc_trim(0);
	}
	_Exit(0);
}

static void job_start(struct tally *tally, struct job *job)
{
	int ends[2];

	if (pipe(ends) != 0) {
		perror("pipe");
		exit(2);
	}
	fflush(stdout);
	job->pid = fork();
	if (job->pid == 0) {
		close(ends[0]);
		job_run(tally, ends[1]);
	}
	weir_assert(job->pid > 0);
	close(ends[1]);
	job->fd = ends[0];
	job->busy = false;
	tally->running++;
}

/* ------------------------------------------------------------------------------ the whole --- */

/* All seeds below have been run to their ends. */
static uint64_t done_until(const struct tally *tally)
{
	uint64_t until = atomic_load(tally->next);

	until = until > tally->to ? tally->to + 1 : until;
	for (unsigned i = 0; i < tally->jobs_count; i++)
		if (tally->jobs[i].busy && tally->jobs[i].seed < until)
			until = tally->jobs[i].seed;
	return until;
}

static void progress(struct tally *tally, bool last)
{
	bool terminal = isatty(STDERR_FILENO);
	uint64_t all = tally->to - tally->from + 1;
	double now = seconds(), rate = (double)tally->seeds / (now - tally->begun);

	if (!last && now - tally->said < (terminal ? TERMINAL_S : FILE_S))
		return;
	tally->said = now;
	fprintf(stderr,
		"%s%" PRIu64 "/%" PRIu64 " seeds, %" PRIu64 " violations, %.1f seeds/s, %.0f "
		"operations/s, %.0f s left%s",
		terminal ? "\r" : "", tally->seeds, all, tally->violations, rate,
		(double)tally->stats.operations / (now - tally->begun),
		rate > 0 ? (double)(all - tally->seeds) / rate : 0,
		last || !terminal ? "\n" : "   ");
}

static void summary(const struct tally *tally)
{
	const struct sim_stats *s = &tally->stats;
	double took = seconds() - tally->begun;

	printf("seeds %" PRIu64 "\nseeds_a_second %.1f\nviolations %" PRIu64
	       "\nvirtual_seconds %.0f\nseconds %.1f\n"
	       "virtual_seconds_a_second %.0f\noperations %" PRIu64 "\noperations_a_second %.0f\n"
	       "events %" PRIu64 "\nok %" PRIu64 "\nunknown %" PRIu64 "\nrefused %" PRIu64
	       "\nreads %" PRIu64 "\nfaults %" PRIu64 "\ncrashes %" PRIu64 "\nterms %" PRIu64
	       "\ncorrupted_messages %" PRIu64 "\nsilent_corruptions %" PRIu64
	       "\ncorruptions_found %" PRIu64 "\nanswered_changes_lost %" PRIu64
	       "\nbucket_parts %" PRIu64 "\nstuck_devices %" PRIu64 "\nrules_lost_sight_of %" PRIu64
	       "\nwrites_lost_outside_assumption %" PRIu64 "\n",
		tally->seeds, (double)tally->seeds / took, tally->violations,
		(double)tally->virtual_ns / 1e9, took, (double)tally->virtual_ns / 1e9 / took,
		s->operations, (double)s->operations / took, s->events, s->ok, s->unknown,
		s->refused, s->reads, s->faults, s->crashes, s->terms, s->corrupted, s->silent,
		s->found, s->forgotten, s->parts, s->stuck, s->blind, s->lost);
	if (tally->violations > 0)
		printf("violated_by");
	for (uint64_t i = 0; i < tally->violations && i < FOUND_MAX; i++)
		printf(" %" PRIu64, tally->found[i]);
	if (tally->violations > 0)
		printf("\n");
	printf("done %" PRIu64 "..%" PRIu64 "%s\n", tally->from, done_until(tally) - 1,
		interrupted ? ", then interrupted" : "");
}

static void hear(struct tally *tally, struct job *job, const struct word *word)
{
	job->seed = word->seed;
	job->busy = word->begun;
	if (word->begun)
		return;
	tally->seeds++;
	tally->virtual_ns += word->virtual_ns;
	add(&tally->stats, &word->stats);
	if (tally->options->hash)
		printf("seed %" PRIu64 " hash %016" PRIx64 "\n", word->seed, word->hash);
}

static void jobs_signal(const struct tally *tally, int number)
{
	for (unsigned i = 0; i < tally->jobs_count; i++)
		if (tally->jobs[i].fd >= 0)
			kill(tally->jobs[i].pid, number);
}

/* The job's end: it is through, or a seed was its death and another goes on behind that. */
static void job_end(struct tally *tally, struct job *job)
{
	int status;

	close(job->fd);
	job->fd = -1;
	tally->running--;
	waitpid(job->pid, &status, 0);
	if (tally->enough || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
		return;
	job->busy = false;
	if (tally->violations < FOUND_MAX)
		tally->found[tally->violations] = job->seed;
	tally->violations++;
	tally->seeds++;
	if (tally->violations >= tally->most) {
		/* Whoever still runs ends at once. */
		tally->enough = true;
		jobs_signal(tally, SIGKILL);
	} else if (!interrupted) {
		job_start(tally, job);
	}
}

static void listen_once(struct tally *tally)
{
	struct pollfd fds[JOBS_MAX];
	struct word word;

	for (unsigned i = 0; i < tally->jobs_count; i++)
		fds[i] = (struct pollfd){.fd = tally->jobs[i].fd, .events = POLLIN};
	if (poll(fds, tally->jobs_count, WAIT_MS) <= 0)
		return;
	for (unsigned i = 0; i < tally->jobs_count; i++) {
		struct job *job = &tally->jobs[i];

		if (job->fd < 0 || fds[i].revents == 0)
			continue;
		if (read(job->fd, &word, sizeof(word)) == sizeof(word))
			hear(tally, job, &word);
		else
			job_end(tally, job);
	}
}

static void run(struct tally *tally)
{
	bool told = false;

	while (tally->running > 0) {
		listen_once(tally);
		progress(tally, false);
		if (interrupted && !told)
			jobs_signal(tally, SIGTERM);
		told = interrupted;
	}
	progress(tally, true);
	summary(tally);
}

/** @return exit status: 0: nothing was found, 1: something was, 130: nothing until interrupted */
int sim_jobs_run(
	const struct sim_options *options, uint64_t from, uint64_t to, unsigned jobs, uint64_t most)
{
	const struct sigaction stop = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
	struct tally tally = {.options = options,
		.from = from,
		.to = to,
		.most = most,
		.begun = seconds(),
		.said = seconds()};

	tally.next = mmap(NULL, sizeof(*tally.next), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	weir_assert(tally.next != MAP_FAILED);
	atomic_store(tally.next, from);
	tally.jobs_count = jobs > JOBS_MAX ? JOBS_MAX : jobs;
	if (tally.jobs_count > to - from + 1)
		tally.jobs_count = (unsigned)(to - from + 1);
	for (unsigned i = 0; i < tally.jobs_count; i++)
		job_start(&tally, &tally.jobs[i]);
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	run(&tally);
	munmap((void *)tally.next, sizeof(*tally.next));
	if (tally.violations > 0)
		return 1;
	return interrupted ? INTERRUPTED : 0;
}
