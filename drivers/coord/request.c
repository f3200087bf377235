/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "coord/request.h"

const char *weir_coord_name_check(const char *name, size_t size)
{
	size_t len;

	if (name == NULL)
		return "a name is missing";
	len = strnlen(name, size);
	if (len == 0)
		return "a name is empty";
	if (len == size)
		return "a name is too long";
	for (const char *at = name; *at != '\0'; at++)
		if ((unsigned char)*at <= ' ' || *at == 0x7f)
			return "a name has a space or a control character in it";
	return NULL;
}

static const char *register_check(const struct weir_coord_request *request)
{
	const struct weir_node *self = request->self;

	if (self == NULL)
		return "a node registers without saying what it is";
	if (strnlen(self->socket, sizeof(self->socket)) == sizeof(self->socket))
		return "the path of a node's socket is too long";
	if (request->seen_incarnation > WEIR_COORD_NUMBER_MAX)
		return "an incarnation is too large";
	return NULL;
}

static const char *copy_check(const struct weir_copy *copy)
{
	if (copy->incarnation > WEIR_COORD_NUMBER_MAX)
		return "an incarnation is too large";
	return weir_coord_name_check(copy->node, sizeof(copy->node));
}

static const char *record_check(const struct weir_record *record)
{
	const char *wrong;

	if (record == NULL)
		return "a change without a record";
	wrong = weir_coord_name_check(record->device, sizeof(record->device));
	if (wrong == NULL && record->master.node[0] != '\0')
		wrong = copy_check(&record->master);
	else if (wrong == NULL && record->master.incarnation != 0)
		wrong = "nobody is master, yet has an incarnation";
	if (record->backups_count > WEIR_BACKUPS_MAX || record->insync_count > WEIR_COPIES_MAX)
		return "a record names too many copies";
	for (unsigned i = 0; wrong == NULL && i < record->backups_count; i++)
		wrong = weir_coord_name_check(record->backups[i], sizeof(record->backups[i]));
	for (unsigned i = 0; wrong == NULL && i < record->insync_count; i++)
		wrong = copy_check(&record->insync[i]);
	return wrong;
}

static const char *change_check(const struct weir_coord_request *request)
{
	const char *wrong = record_check(request->record);

	if (wrong != NULL)
		return wrong;
	if (request->record->term > WEIR_COORD_NUMBER_MAX ||
		request->record->active > WEIR_COORD_NUMBER_MAX ||
		request->seen_term > WEIR_COORD_NUMBER_MAX)
		return "a term is too large";
	if (request->expected_revision > WEIR_COORD_NUMBER_MAX ||
		request->seen_revision > WEIR_COORD_NUMBER_MAX)
		return "a revision is too large";
	return NULL;
}

static const char *lease_check(const struct weir_coord_request *request)
{
	if (request->lease_ms == 0 || request->lease_ms > WEIR_COORD_LEASE_MS_MAX)
		return "a lease must last from 1 ms to an hour";
	return NULL;
}

const char *weir_coord_request_check(const struct weir_coord_request *request)
{
	const char *wrong = weir_coord_name_check(request->node, WEIR_NODE_ID_MAX);

	if (wrong == NULL && request->incarnation > WEIR_COORD_NUMBER_MAX)
		wrong = "an incarnation is too large";
	if (wrong != NULL)
		return wrong;
	switch (request->kind) {
	case WEIR_COORD_REGISTER:
		wrong = lease_check(request);
		return wrong != NULL ? wrong : register_check(request);
	case WEIR_COORD_RENEW:
		if (request->since > WEIR_COORD_NUMBER_MAX)
			return "a revision is too large";
		return lease_check(request);
	case WEIR_COORD_CHANGE:
		return change_check(request);
	case WEIR_COORD_LEAVE:
		return NULL;
	case WEIR_COORD_FORGET:
		if (request->since > WEIR_COORD_NUMBER_MAX)
			return "a revision is too large";
		return weir_coord_name_check(request->forgotten, WEIR_NODE_ID_MAX);
	}
	return "a request of no known kind";
}

void weir_coord_request_copy(
	struct weir_coord_request_copy *to, const struct weir_coord_request *from)
{
	to->request = *from;
	strcpy(to->node, from->node);
	to->request.node = to->node;
	if (from->self != NULL) {
		to->self = *from->self;
		to->request.self = &to->self;
	}
	if (from->forgotten != NULL) {
		strcpy(to->forgotten, from->forgotten);
		to->request.forgotten = to->forgotten;
	}
	if (from->record != NULL) {
		to->record = *from->record;
		to->request.record = &to->record;
	}
}
