/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-sim: runs seeds, in several processes if asked to, and says what they found.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/defect.h"
#include "sim.h"

#define JOBS_MAX     64
#define DEFECT_SEEDS 2000 /**< until a defect must be found, where not told otherwise */

/** What a job says of one seed; its end is told by the pipe's. */
struct word {
	uint64_t seed;
	uint64_t virtual_ns;
	bool begun; /**< false: it is done */
	struct sim_stats stats;
};

struct job {
	pid_t pid;
	int fd;
	uint64_t seed; /**< at hand, or to begin with */
};

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

/* ---------------------------------------------------------------------------------- jobs --- */

static void say(int fd, const struct word *word)
{
	if (write(fd, word, sizeof(*word)) != sizeof(*word))
		_Exit(2);
}

static void run_one(struct sim *sim, uint64_t seed, const struct sim_options *options, int fd)
{
	struct word word = {.seed = seed, .begun = true};

	if (fd >= 0)
		say(fd, &word);
	sim_guard_seed();
	sim_run(sim, seed, options);
	word.begun = false;
	word.virtual_ns = sim->now_ns;
	word.stats = sim->stats;
	if (fd >= 0)
		say(fd, &word);
}

static void run_many(
	const struct sim_options *options, uint64_t from, uint64_t to, unsigned step, int fd)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	weir_assert(sim != NULL);
	sim_guard(sim);
	for (uint64_t seed = from; seed <= to; seed += step)
		run_one(sim, seed, options, fd);
	sim_guard(NULL);
	free(sim);
}

static void job_start(
	struct job *job, const struct sim_options *options, uint64_t to, unsigned step)
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
		run_many(options, job->seed, to, step, ends[1]);
		_Exit(0);
	}
	close(ends[1]);
	job->fd = ends[0];
}

struct tally {
	uint64_t seeds, virtual_ns, violations;
	struct sim_stats stats;
	double begun;
};

static void progress(const struct tally *tally, uint64_t all, bool last)
{
	double took = seconds() - tally->begun;

	if (!last && !isatty(STDERR_FILENO))
		return;
	fprintf(stderr,
		"\r%" PRIu64 "/%" PRIu64 " seeds, %" PRIu64 " violations, %.0f virtual s, %" PRIu64
		" operations, %.0f a second%s",
		tally->seeds, all, tally->violations, (double)tally->virtual_ns / 1e9,
		tally->stats.operations, (double)tally->stats.operations / took, last ? "\n" : " ");
}

static void summary(const struct tally *tally)
{
	const struct sim_stats *s = &tally->stats;
	double took = seconds() - tally->begun;

	printf("seeds %" PRIu64 "\nviolations %" PRIu64 "\nvirtual_seconds %.0f\nseconds %.1f\n"
	       "virtual_seconds_a_second %.0f\noperations %" PRIu64 "\noperations_a_second %.0f\n"
	       "events %" PRIu64 "\nok %" PRIu64 "\nunknown %" PRIu64 "\nrefused %" PRIu64
	       "\nreads %" PRIu64 "\nfaults %" PRIu64 "\ncrashes %" PRIu64 "\nterms %" PRIu64
	       "\ncorrupted_messages %" PRIu64 "\nstuck_devices %" PRIu64
	       "\nrules_lost_sight_of %" PRIu64 "\nwrites_lost_outside_assumption %" PRIu64 "\n",
		tally->seeds, tally->violations, (double)tally->virtual_ns / 1e9, took,
		(double)tally->virtual_ns / 1e9 / took, s->operations, (double)s->operations / took,
		s->events, s->ok, s->unknown, s->refused, s->reads, s->faults, s->crashes, s->terms,
		s->corrupted, s->stuck, s->blind, s->lost);
}

static void hear(struct tally *tally, struct job *job, const struct word *word)
{
	job->seed = word->seed;
	if (word->begun)
		return;
	tally->seeds++;
	tally->virtual_ns += word->virtual_ns;
	add(&tally->stats, &word->stats);
}

/* The job's end: it is through, or a seed was its death and another goes on behind that. */
static bool job_end(struct tally *tally, struct job *job, const struct sim_options *options,
	uint64_t to, unsigned step, uint64_t most)
{
	int status;

	close(job->fd);
	waitpid(job->pid, &status, 0);
	if ((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
		(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		return false;
	tally->violations++;
	tally->seeds++;
	job->seed += step;
	if (job->seed > to || tally->violations >= most)
		return false;
	job_start(job, options, to, step);
	return true;
}

/* Enough was found: whoever still runs ends at once. */
static void jobs_stop(const struct job *list, unsigned jobs)
{
	for (unsigned i = 0; i < jobs; i++)
		if (list[i].fd >= 0)
			kill(list[i].pid, SIGKILL);
}

static int run_jobs(
	const struct sim_options *options, uint64_t from, uint64_t to, unsigned jobs, uint64_t most)
{
	struct job list[JOBS_MAX];
	struct tally tally = {.begun = seconds()};
	unsigned running = 0;

	for (unsigned i = 0; i < jobs && from + i <= to; i++) {
		list[i].seed = from + i;
		job_start(&list[i], options, to, jobs);
		running++;
	}
	jobs = running;
	while (running > 0) {
		struct pollfd fds[JOBS_MAX];

		for (unsigned i = 0; i < jobs; i++)
			fds[i] = (struct pollfd){.fd = list[i].fd, .events = POLLIN};
		poll(fds, jobs, 1000);
		for (unsigned i = 0; i < jobs; i++) {
			struct word word;

			if (list[i].fd < 0 || fds[i].revents == 0)
				continue;
			if (read(list[i].fd, &word, sizeof(word)) == sizeof(word)) {
				hear(&tally, &list[i], &word);
			} else if (!job_end(&tally, &list[i], options, to, jobs, most)) {
				list[i].fd = -1;
				running--;
				if (tally.violations >= most)
					jobs_stop(list, jobs);
			}
		}
		progress(&tally, to - from + 1, false);
	}
	progress(&tally, to - from + 1, true);
	summary(&tally);
	return tally.violations == 0 ? 0 : 1;
}

/* ------------------------------------------------------------------------------ arguments --- */

static const char usage[] =
	"usage: weir-sim --seed N [--trace] [--log]\n"
	"       weir-sim --seeds A..B [--jobs J] [--most VIOLATIONS]\n"
	"       weir-sim --defects [--seeds A..B] [--jobs J]   each, until a seed finds it\n"
	"  --defect NAME  puts a defect back (build option defects); stops where it is found\n"
	"  --strict       one master at a time also where the coordinator has forgotten all\n";

static bool range(const char *text, uint64_t *from, uint64_t *to)
{
	char *end;

	*from = strtoull(text, &end, 10);
	if (end == text || strncmp(end, "..", 2) != 0)
		return false;
	text = end + 2;
	*to = strtoull(text, &end, 10);
	return end != text && *end == '\0' && *from <= *to;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seed", required_argument, NULL, 's'},
		{"seeds", required_argument, NULL, 'S'},
		{"jobs", required_argument, NULL, 'j'},
		{"most", required_argument, NULL, 'm'},
		{"trace", no_argument, NULL, 't'},
		{"log", no_argument, NULL, 'l'},
		{"defect", required_argument, NULL, 'd'},
		{"defects", no_argument, NULL, 'D'},
		{"strict", no_argument, NULL, 'x'},
		{NULL, 0, NULL, 0},
	};
	struct sim_options how = {0};
	uint64_t from = 1, to = 1, most = 10;
	bool defects = false;
	unsigned jobs = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 's':
			from = to = strtoull(optarg, NULL, 10);
			break;
		case 'S':
			if (!range(optarg, &from, &to))
				option = '?';
			jobs = jobs == 0 ? 1 : jobs;
			break;
		case 'j':
			jobs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'm':
			most = strtoull(optarg, NULL, 10);
			break;
		case 't':
			how.trace = true;
			break;
		case 'l':
			how.log = true;
			break;
		case 'x':
			how.strict = true;
			break;
		case 'd':
			if (!weir_defect_choose(optarg)) {
				fprintf(stderr, "weir-sim: there is no defect %s in this build\n",
					optarg);
				return 2;
			}
			most = 1;
			break;
		case 'D':
			defects = true;
			break;
		default:
			break;
		}
		if (option == '?') {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (jobs > JOBS_MAX)
		jobs = JOBS_MAX;
	if (defects && weir_defect_name(1) == NULL) {
		fputs("weir-sim: built without the option defects\n", stderr);
		return 2;
	}
	if (defects)
		return sim_defects_run(
			&how, from, to > from ? to : from + DEFECT_SEEDS - 1, jobs == 0 ? 1 : jobs);
	if (jobs > 0)
		return run_jobs(&how, from, to, jobs, most);
	run_many(&how, from, to, 1, -1);
	printf("seed %" PRIu64 ": nothing found\n", from);
	return 0;
}
