/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_ring_elem.h>

#include "store/internal.h"

void weir_wake(int fd)
{
	uint64_t one = 1;

	/* Fails only where the counter is full: then it is readable anyway. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

struct rte_ring *weir_ring_create_elem(unsigned esize, unsigned count, unsigned flags)
{
	unsigned slots = rte_align32pow2(count + 1);
	ssize_t bytes = rte_ring_get_memsize_elem(esize, slots);
	struct rte_ring *ring;

	weir_assert(bytes > 0);
	ring = aligned_alloc(WEIR_CACHE_LINE,
		((size_t)bytes + WEIR_CACHE_LINE - 1) / WEIR_CACHE_LINE * WEIR_CACHE_LINE);
	if (ring == NULL)
		return NULL;
	weir_assert(rte_ring_init(ring, "weir", count, flags | RING_F_EXACT_SZ) == 0);
	return ring;
}

/* As rte_ring_count, which reads without saying that others write meanwhile. */
unsigned weir_ring_count(const struct rte_ring *ring)
{
	uint32_t taken = __atomic_load_n(&ring->cons.tail, __ATOMIC_RELAXED);
	uint32_t put = __atomic_load_n(&ring->prod.tail, __ATOMIC_RELAXED);
	uint32_t count = (put - taken) & ring->mask;

	return count < ring->capacity ? count : ring->capacity;
}

struct rte_ring *weir_ring_create(unsigned count, unsigned flags)
{
	return weir_ring_create_elem(sizeof(void *), count, flags);
}
