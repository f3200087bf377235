/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside of the table room: blocks of a worker's memory (struct weir_mem of table.h).
 *
 * Small blocks come from pages of one size class; pages come from chunks, and go back to them
 * when empty, so that memory moves between classes. Which blocks of a page are free, gathered
 * or waiting for readers is kept in bits beside the page: freeing never writes to a block that
 * somebody may still read, needs no memory of its own and cannot fail, however long a reader
 * holds up reclaim.
 */
#ifndef WEIR_TABLE_MEM_H
#define WEIR_TABLE_MEM_H

#include "table/table.h"

/** Largest block that is cut from a page; larger ones come from the source one by one. */
#define WEIR_MEM_BLOCK_MAX 16384

/** Alignment of a block whose size is a multiple of 64; other sizes are aligned to 16. */
#define WEIR_MEM_LINE 64

/** A block of at least `bytes` bytes, contents undefined, or NULL where memory is short. */
void *weir_mem_alloc(struct weir_mem *mem, size_t bytes);

/** Gives a block back after a grace period. `bytes` as given to weir_mem_alloc. */
void weir_mem_free(struct weir_mem *mem, void *block, size_t bytes);

/** Fetches what weir_mem_free of this block will touch. */
void weir_mem_prefetch(const void *block, size_t bytes);

/** Gives back at once a block that no reader ever saw. */
void weir_mem_free_now(struct weir_mem *mem, void *block, size_t bytes);

/** What a block of `bytes` bytes really takes. */
size_t weir_mem_block_bytes(size_t bytes);

#endif
