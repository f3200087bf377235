/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Clocks: monotonic and wall time in nanoseconds, and the hybrid logical clock.
 *
 * Only the outermost rooms (link, store, api, app) read a clock. The protocol gets the time as
 * an argument.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdint.h>

#define WEIR_NS_PER_US 1000ULL
#define WEIR_NS_PER_MS 1000000ULL
#define WEIR_NS_PER_S  1000000000ULL

/** Monotonic time in ns; any thread. */
uint64_t weir_clock_ns(void);

/** Wall time in ns since 1970; any thread. */
uint64_t weir_clock_wall_ns(void);

/**
 * Hybrid logical clock (Kulkarni et al., 2014): microseconds of wall time in the upper 52 bits,
 * a counter in the lower 12. It never goes back, whatever the wall clock does, and is moved past
 * each time stamp that is seen from another node. One owner, no lock.
 */
struct weir_hlc {
	uint64_t last;
};

/** The next time stamp; larger than each one before and each one seen. */
uint64_t weir_hlc_next(struct weir_hlc *hlc, uint64_t wall_ns);

/** Takes note of another node's time stamp. */
void weir_hlc_seen(struct weir_hlc *hlc, uint64_t stamp);

/** The wall time of a stamp, in ns since 1970, to a microsecond. */
uint64_t weir_hlc_wall_ns(uint64_t stamp);

#endif
