/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The command line: `weir-node [EAL arguments] -- -c FILE [-o section.key=value]... [--check]`.
 */
#ifndef WEIR_NODE_ARGUMENTS_H
#define WEIR_NODE_ARGUMENTS_H

#include <stdbool.h>

/** Settings that one command line may carry. */
#define WEIR_OVERRIDES_MAX 64

struct weir_arguments {
	int eal_count; /**< program name and EAL's arguments */
	char **eal;
	const char *file; /**< -c */
	const char *overrides[WEIR_OVERRIDES_MAX];
	unsigned overrides_count;
	bool check, help, version;
};

/** @return 0, or WEIR_ERR where they make no sense, which is said on standard error */
int weir_arguments_read(int argc, char **argv, struct weir_arguments *arguments);

/** What --help says, on standard output. */
void weir_arguments_help(void);

#endif
