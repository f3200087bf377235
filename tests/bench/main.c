/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-perf: what Weir does, beside what a user would take instead, measured in one run.
 * config/performance.md says what each line means.
 */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"

#include "bench.h"
#include "subjects.h"

#define FLOWS       1000000
#define FLOWS_QUICK 4096
#define ROUNDS      5

static const struct bench_subject subjects[] = {
	{"lookup", "lookups of present rules, one reader; while a writer writes", lookup_run},
	{"table", "put, replace, remove and walk of one device's table", table_run},
	{"add", "writes through one worker's task ring, beside Redis", add_run},
	{"pair", "writes acknowledged by a copy, two nodes in one process", pair_run},
	{"memif", "the same in two processes over net_memif", memif_run},
	{"scan", "COUNT and SCAN of a whole device, and writes meanwhile", scan_run},
	{"memory", "of a flow, and of a device without flows", memory_run},
	{"idle", "what the comparison of copies costs while nothing happens", idle_run},
	{"growth", "cost of an operation with more flows, devices, workers", growth_run},
	{"link", "messages over a link, beside raw frames on the same port", link_run},
};

#define SUBJECTS_COUNT (sizeof(subjects) / sizeof(subjects[0]))

static void help(void)
{
	puts("weir-perf [options] [subject...]: measures Weir beside what it competes with\n"
	     "  --quick       smallest sizes, one round: whether it runs, not how fast\n"
	     "  --large       tables of 10 million flows too\n"
	     "  --rounds N    measurements of each figure (5)\n"
	     "  --flows N     flows of a usual table (1000000)\n"
	     "  --cpus A,B..  CPUs for its threads in order (all that there are)\n"
	     "  --table       spread and goals too\n"
	     "  --json        an object a line\n"
	     "subjects:");
	for (unsigned i = 0; i < SUBJECTS_COUNT; i++)
		printf("  %-13s %s\n", subjects[i].name, subjects[i].about);
}

static void cpus_all(struct bench *bench)
{
	cpu_set_t cpus;

	sched_getaffinity(0, sizeof(cpus), &cpus);
	for (unsigned i = 0; i < CPU_SETSIZE && bench->cpus_count < BENCH_CPUS_MAX; i++)
		if (CPU_ISSET(i, &cpus))
			bench->cpus[bench->cpus_count++] = i;
}

static bool number_read(const char *text, uint64_t least, uint64_t most, uint64_t *number)
{
	char *end;

	errno = 0;
	*number = strtoull(text, &end, 10);
	return errno == 0 && end != text && *end == '\0' && *number >= least && *number <= most;
}

static bool cpus_read(struct bench *bench, char *text)
{
	uint64_t cpu;

	bench->cpus_count = 0;
	for (char *word = strsep(&text, ","); word != NULL; word = strsep(&text, ",")) {
		if (bench->cpus_count == BENCH_CPUS_MAX ||
			!number_read(word, 0, CPU_SETSIZE - 1, &cpu))
			return false;
		bench->cpus[bench->cpus_count++] = (unsigned)cpu;
	}
	return true;
}

static bool option_take(struct bench *bench, int option, char *text)
{
	uint64_t number = 0;

	switch (option) {
	case 'q':
		bench->quick = true;
		bench->rounds = 1;
		bench->flows = FLOWS_QUICK;
		return true;
	case 'l':
		bench->large = true;
		return true;
	case 'r':
		if (!number_read(text, 1, BENCH_ROUNDS_MAX, &number))
			return false;
		bench->rounds = (unsigned)number;
		return true;
	case 'f':
		return number_read(text, 1024, 4000000, &bench->flows);
	case 'c':
		return cpus_read(bench, text);
	case 't':
		bench->form = BENCH_TABLE;
		return true;
	case 'j':
		bench->form = BENCH_JSON;
		return true;
	default:
		return false;
	}
}

/** @return index of the first subject, or a negative number */
static int options_read(struct bench *bench, int argc, char **argv)
{
	static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
		{"large", no_argument, NULL, 'l'}, {"rounds", required_argument, NULL, 'r'},
		{"flows", required_argument, NULL, 'f'}, {"cpus", required_argument, NULL, 'c'},
		{"table", no_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h') {
			help();
			exit(0);
		}
		if (!option_take(bench, option, optarg)) {
			fprintf(stderr, "weir-perf: --help says what can be asked for\n");
			return -1;
		}
	}
	return optind;
}

static bool known(const char *name)
{
	for (unsigned i = 0; i < SUBJECTS_COUNT; i++)
		if (strcmp(subjects[i].name, name) == 0)
			return true;
	fprintf(stderr, "weir-perf: there is no subject '%s'\n", name);
	return false;
}

static bool wanted(const char *name, int argc, char **argv, int first)
{
	for (int i = first; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return first == argc;
}

/** @return whether the subject ran well, or could not run here */
static bool subject_run(struct bench *bench, const struct bench_subject *subject)
{
	int status = 0;
	pid_t child;

	bench->subject = subject->name;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* none outlives the run */
		subject->run(bench);
		exit(0);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	if (WIFSIGNALED(status))
		fprintf(stderr, "weir-perf: %s died of signal %d\n", subject->name,
			WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int file_remove(const char *path, const struct stat *stat, int type, struct FTW *at)
{
	return remove(path);
}

int main(int argc, char **argv)
{
	char folder[] = "/tmp/weir-perf-XXXXXX";
	struct bench bench = {.rounds = ROUNDS, .flows = FLOWS, .folder = folder};
	bool good = true;
	int first;

	cpus_all(&bench);
	first = options_read(&bench, argc, argv);
	if (first < 0)
		return 2;
	for (int i = first; i < argc; i++)
		if (!known(argv[i]))
			return 2;
	if (mkdtemp(folder) == NULL) {
		fprintf(stderr, "weir-perf: no folder can be made in /tmp\n");
		return 1;
	}
	for (unsigned i = 0; i < SUBJECTS_COUNT; i++)
		if (wanted(subjects[i].name, argc, argv, first))
			good = subject_run(&bench, &subjects[i]) && good;
	nftw(folder, file_remove, 8, FTW_DEPTH | FTW_PHYS);
	return good ? 0 : 1;
}
