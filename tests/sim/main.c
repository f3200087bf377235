/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * weir-sim: runs seeds, in several processes if asked to, and says what they found.
 */
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/defect.h"
#include "sim.h"

#define DEFECT_SEEDS 2000 /**< until a defect must be found, where not told otherwise */

/* Memory that one seed gives back is the next one's; asking the system each time costs a tenth. */
static void memory_keep(void)
{
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 256 << 20);
	mallopt(M_TOP_PAD, 4 << 20);
}

static int run_one(const struct sim_options *options, uint64_t seed)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	weir_assert(sim != NULL);
	sim_guard(sim);
	sim_guard_seed();
	sim_run(sim, seed, options);
	sim_guard(NULL);
	printf("seed %" PRIu64 ": nothing found\n", seed);
	if (options->hash)
		printf("seed %" PRIu64 " hash %016" PRIx64 "\n", seed, sim->hash);
	free(sim);
	return 0;
}

/* ------------------------------------------------------------------------------ arguments --- */

static const char usage[] =
	"usage: weir-sim --seed N [--trace] [--log]\n"
	"       weir-sim --seeds A..B [--jobs J] [--most VIOLATIONS]\n"
	"       weir-sim --same [--seeds A..B]   is each the same whatever ran before it?\n"
	"       weir-sim --defects [--seeds A..B] [--jobs J]   each, until a seed finds it\n"
	"  --defect NAME  puts a defect back (build option defects); stops where it is found\n"
	"  --hash         prints a hash over all events of each seed\n"
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
		{"hash", no_argument, NULL, 'h'},
		{"same", no_argument, NULL, 'a'},
		{NULL, 0, NULL, 0},
	};
	struct sim_options how = {0};
	uint64_t from = 1, to = 1, most = 10;
	bool defects = false, same = false;
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
		case 'h':
			how.hash = true;
			break;
		case 'a':
			same = true;
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
	memory_keep();
	if (defects && weir_defect_name(1) == NULL) {
		fputs("weir-sim: built without the option defects\n", stderr);
		return 2;
	}
	if (defects)
		return sim_defects_run(
			&how, from, to > from ? to : from + DEFECT_SEEDS - 1, jobs == 0 ? 1 : jobs);
	if (same)
		return sim_same_run(&how, from, to);
	if (jobs > 0)
		return sim_jobs_run(&how, from, to, jobs, most);
	return run_one(&how, from);
}
