/* SPDX-License-Identifier: BSD-3-Clause */
#include <time.h>

#include "base/clock.h"

#define HLC_COUNTER_BITS 12

static uint64_t read_clock(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * WEIR_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t weir_clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t weir_clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

uint64_t weir_hlc_next(struct weir_hlc *hlc, uint64_t wall_ns)
{
	uint64_t wall = wall_ns / WEIR_NS_PER_US << HLC_COUNTER_BITS;

	hlc->last = wall > hlc->last ? wall : hlc->last + 1;
	return hlc->last;
}

void weir_hlc_seen(struct weir_hlc *hlc, uint64_t stamp)
{
	if (stamp > hlc->last)
		hlc->last = stamp;
}

uint64_t weir_hlc_wall_ns(uint64_t stamp)
{
	return (stamp >> HLC_COUNTER_BITS) * WEIR_NS_PER_US;
}
