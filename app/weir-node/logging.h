/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The node's log: rte_log types `weir.<room>`, level notice unless EAL's --log-level says
 * otherwise, each line with time stamp, level and room.
 */
#ifndef WEIR_NODE_LOGGING_H
#define WEIR_NODE_LOGGING_H

/** Before rte_eal_init, so that --log-level finds the types. */
void weir_logging_start(void);

#endif
