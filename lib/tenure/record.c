/* SPDX-License-Identifier: BSD-3-Clause */
#include <xxhash.h>

#include "tenure/internal.h"

bool weir_record_newer(const struct weir_record *a, const struct weir_record *b)
{
	return a->term != b->term ? a->term > b->term : a->revision > b->revision;
}

int weir_record_backup_idx(const struct weir_record *record, const char *node)
{
	for (int i = 0; i < record->backups_count; i++)
		if (strcmp(record->backups[i], node) == 0)
			return i;
	return -1;
}

void weir_record_backup_drop(struct weir_record *record, const char *node)
{
	int at = weir_record_backup_idx(record, node);

	if (at < 0)
		return;
	record->backups_count--;
	memmove(record->backups[at], record->backups[at + 1],
		(size_t)(record->backups_count - at) * sizeof(record->backups[0]));
	memset(record->backups[record->backups_count], 0, sizeof(record->backups[0]));
}

void weir_record_backup_insert(struct weir_record *record, unsigned at, const char *node)
{
	if (record->backups_count == WEIR_BACKUPS_MAX)
		return;
	memmove(record->backups[at + 1], record->backups[at],
		(record->backups_count - at) * sizeof(record->backups[0]));
	memset(record->backups[at], 0, sizeof(record->backups[0]));
	strcpy(record->backups[at], node);
	record->backups_count++;
}

int weir_record_insync_idx(const struct weir_record *record, const char *node)
{
	for (int i = 0; i < record->insync_count; i++)
		if (strcmp(record->insync[i].node, node) == 0)
			return i;
	return -1;
}

void weir_record_insync_drop(struct weir_record *record, const char *node)
{
	int at = weir_record_insync_idx(record, node);

	if (at < 0)
		return;
	record->insync_count--;
	memmove(&record->insync[at], &record->insync[at + 1],
		(size_t)(record->insync_count - at) * sizeof(record->insync[0]));
	memset(&record->insync[record->insync_count], 0, sizeof(record->insync[0]));
}

void weir_record_insync_add(struct weir_record *record, const char *node, uint64_t incarnation)
{
	struct weir_copy *copy;

	if (record->insync_count == WEIR_COPIES_MAX)
		return;
	copy = &record->insync[record->insync_count++];
	memset(copy, 0, sizeof(*copy));
	strcpy(copy->node, node);
	copy->incarnation = incarnation;
}

bool weir_record_members_equal(const struct weir_record *a, const struct weir_record *b)
{
	if (a->backups_count != b->backups_count || a->insync_count != b->insync_count)
		return false;
	for (unsigned i = 0; i < a->backups_count; i++)
		if (strcmp(a->backups[i], b->backups[i]) != 0)
			return false;
	for (unsigned i = 0; i < a->insync_count; i++) {
		int other = weir_record_insync_idx(b, a->insync[i].node);

		if (other < 0 || b->insync[other].incarnation != a->insync[i].incarnation)
			return false;
	}
	return true;
}

uint64_t weir_record_liking(uint64_t device_key, const char *node)
{
	return XXH3_64bits_withSeed(node, strlen(node), device_key);
}
