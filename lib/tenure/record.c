/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include <xxhash.h>

#include "tenure/internal.h"

/* The next name that is kept, and where the one behind it stands. */
static const char *name_read(const char *names, char *name)
{
	strcpy(name, names);
	return names + strlen(names) + 1;
}

static char *name_write(char *names, const char *name)
{
	return stpcpy(names, name) + 1;
}

static size_t names_bytes(const struct weir_record *record)
{
	size_t bytes = strlen(record->device) + 1 + strlen(record->master.node) + 1;

	for (unsigned i = 0; i < record->backups_count; i++)
		bytes += strlen(record->backups[i]) + 1;
	for (unsigned i = 0; i < record->insync_count; i++)
		bytes += strlen(record->insync[i].node) + 1;
	return bytes;
}

struct weir_record_kept *weir_record_keep(const struct weir_record *record)
{
	size_t insync_bytes = record->insync_count * sizeof(uint64_t);
	struct weir_record_kept *kept = malloc(sizeof(*kept) + insync_bytes + names_bytes(record));
	char *names;

	if (kept == NULL)
		return NULL;
	*kept = (struct weir_record_kept){
		.term = record->term,
		.active = record->active,
		.revision = record->revision,
		.master = record->master.incarnation,
		.backups_count = record->backups_count,
		.insync_count = record->insync_count,
	};
	names = name_write((char *)&kept->insync[kept->insync_count], record->device);
	names = name_write(names, record->master.node);
	for (unsigned i = 0; i < record->backups_count; i++)
		names = name_write(names, record->backups[i]);
	for (unsigned i = 0; i < record->insync_count; i++) {
		kept->insync[i] = record->insync[i].incarnation;
		names = name_write(names, record->insync[i].node);
	}
	return kept;
}

void weir_record_of(const struct weir_record_kept *kept, struct weir_record *record)
{
	const char *names = weir_record_device(kept);

	memset(record, 0, sizeof(*record));
	record->term = kept->term;
	record->active = kept->active;
	record->revision = kept->revision;
	record->master.incarnation = kept->master;
	record->backups_count = kept->backups_count;
	record->insync_count = kept->insync_count;
	names = name_read(names, record->device);
	names = name_read(names, record->master.node);
	for (unsigned i = 0; i < kept->backups_count; i++)
		names = name_read(names, record->backups[i]);
	for (unsigned i = 0; i < kept->insync_count; i++) {
		record->insync[i].incarnation = kept->insync[i];
		names = name_read(names, record->insync[i].node);
	}
}

const char *weir_record_device(const struct weir_record_kept *kept)
{
	return (const char *)&kept->insync[kept->insync_count];
}

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
