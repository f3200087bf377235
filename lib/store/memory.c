/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include <rte_eal.h>
#include <rte_malloc.h>
#include <rte_memory.h>

#include "store/internal.h"

static void *take(void *ctx, size_t bytes, size_t align)
{
	void *chunk = NULL;

	if (rte_eal_has_hugepages())
		chunk = rte_malloc("weir", bytes, (unsigned)align);
	/* Hugepages may be few: then the heap carries the rest. */
	if (chunk == NULL && posix_memalign(&chunk, align, bytes) != 0)
		return NULL;
	return chunk;
}

static void give(void *ctx, void *chunk, size_t bytes)
{
	if (rte_mem_virt2memseg_list(chunk) != NULL)
		rte_free(chunk);
	else
		free(chunk);
}

const struct weir_mem_source weir_store_memory = {.take = take, .give = give};
