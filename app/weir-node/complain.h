/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What keeps the program from starting, said to whoever started it: one sentence a line on
 * standard error, with the program's name before it.
 */
#ifndef WEIR_NODE_COMPLAIN_H
#define WEIR_NODE_COMPLAIN_H

/** Exit statuses. */
enum weir_exit {
	WEIR_EXIT_GOOD = 0,
	WEIR_EXIT_FAILED = 1, /**< refused by the cluster, or something broke */
	WEIR_EXIT_USAGE = 2,  /**< arguments, configuration, EAL or port: nothing was begun */
};

void weir_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
