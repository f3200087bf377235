/* SPDX-License-Identifier: BSD-3-Clause */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#include "arguments.h"
#include "complain.h"

static const char help[] =
	"Usage: weir-node [EAL arguments] -- -c FILE [-o section.key=value]... [--check]\n"
	"\n"
	"One node of Weir, the flow table service.\n"
	"\n"
	"  -c, --config FILE              configuration; config/weir.conf documents all keys\n"
	"  -o, --override SECTION.KEY=VALUE\n"
	"                                 a setting that goes before the file's\n"
	"      --check                    only read the configuration and say what is wrong with "
	"it\n"
	"  -h, --help                     this text\n"
	"      --version                  version\n"
	"\n"
	"Before the `--` stand DPDK's own arguments: `-l` or `--lcores` (the main lcore runs the\n"
	"control core, each further one a worker: a power of two), `-a` or `--vdev` (the "
	"replication\n"
	"port), `--in-memory` or `--no-huge --file-prefix=NAME`, `--log-level=weir.*:debug`.\n"
	"\n"
	"Exit status: 0 good, 1 refused by the cluster or broken, 2 arguments, configuration, EAL "
	"or\n"
	"port.\n";

static const struct option options[] = {
	{"config", required_argument, NULL, 'c'},
	{"override", required_argument, NULL, 'o'},
	{"check", no_argument, NULL, 'k'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

void weir_arguments_help(void)
{
	fputs(help, stdout);
}

/* Where `--` stands, or argc. */
static int separator(int argc, char **argv)
{
	int at = 1;

	while (at < argc && strcmp(argv[at], "--") != 0)
		at++;
	return at;
}

/* --help and --version are meant for us, wherever they stand. */
static void read_anywhere(int count, char **argv, struct weir_arguments *arguments)
{
	for (int i = 1; i < count; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			arguments->help = true;
		else if (strcmp(argv[i], "--version") == 0)
			arguments->version = true;
	}
}

static int add_override(struct weir_arguments *arguments, const char *text)
{
	if (arguments->overrides_count == WEIR_OVERRIDES_MAX) {
		weir_complain("-o can be given %d times at most", WEIR_OVERRIDES_MAX);
		return WEIR_ERR;
	}
	arguments->overrides[arguments->overrides_count++] = text;
	return 0;
}

static int take(int option, char **argv, struct weir_arguments *arguments)
{
	switch (option) {
	case 'c':
		if (arguments->file != NULL) {
			weir_complain("-c is given twice");
			return WEIR_ERR;
		}
		arguments->file = optarg;
		return 0;
	case 'o':
		return add_override(arguments, optarg);
	case 'k':
		arguments->check = true;
		return 0;
	case 'h':
		arguments->help = true;
		return 0;
	case 'v':
		arguments->version = true;
		return 0;
	case ':':
		weir_complain("%s needs a value", argv[optind - 1]);
		return WEIR_ERR;
	default:
		weir_complain(
			"%s is not an option of weir-node; --help lists them", argv[optind - 1]);
		return WEIR_ERR;
	}
}

static int read_own(int argc, char **argv, struct weir_arguments *arguments)
{
	int option, err = 0;

	optind = 0;
	while (err == 0 && (option = getopt_long(argc, argv, "+:c:o:h", options, NULL)) != -1)
		err = take(option, argv, arguments);
	if (err == 0 && optind < argc) {
		weir_complain(
			"%s stands where an option is expected; --help lists them", argv[optind]);
		err = WEIR_ERR;
	}
	return err;
}

int weir_arguments_read(int argc, char **argv, struct weir_arguments *arguments)
{
	int at = separator(argc, argv), err;

	memset(arguments, 0, sizeof(*arguments));
	arguments->eal_count = at;
	arguments->eal = argv;
	read_anywhere(at, argv, arguments);
	if (arguments->help || arguments->version)
		return 0;
	if (at == argc) {
		weir_complain("after EAL's arguments `-- -c FILE` is missing; --help says more");
		return WEIR_ERR;
	}
	err = read_own(argc - at, argv + at, arguments);
	if (err == 0 && arguments->file == NULL && !arguments->help && !arguments->version) {
		weir_complain("-c FILE is missing; --help says more");
		err = WEIR_ERR;
	}
	return err;
}
