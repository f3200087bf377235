/* SPDX-License-Identifier: BSD-3-Clause */
#include "tenure/internal.h"

static void event_count(struct weir_tenure_stats *stats, enum weir_tenure_event_kind kind)
{
	switch (kind) {
	case WEIR_EVENT_TERM_START:
		stats->terms++;
		break;
	case WEIR_EVENT_TERM_ACTIVE:
		stats->terms_active++;
		break;
	case WEIR_EVENT_UNCLEAN:
		stats->terms_unclean++;
		break;
	case WEIR_EVENT_NODE_UP:
		stats->nodes_up++;
		break;
	case WEIR_EVENT_NODE_DOWN:
		stats->nodes_down++;
		break;
	case WEIR_EVENT_LEASE_SUSPENDED:
		stats->lease_suspensions++;
		break;
	case WEIR_EVENT_TERM_END:
	case WEIR_EVENT_TERM_UPDATE:
	case WEIR_EVENT_LEASE_RESUMED:
		break;
	}
}

void weir_tenure_event_tell(struct weir_tenure *tenure, const struct weir_tenure_event *event)
{
	event_count(&tenure->stats, event->kind);
	tenure->ops.event(tenure->ctx, event);
}

void weir_tenure_reply(
	struct weir_tenure *tenure, uint64_t ticket, int err, const struct weir_record *record)
{
	tenure->stats.requests++;
	tenure->stats.requests_refused += err != 0;
	tenure->ops.reply(tenure->ctx, ticket, err, record);
}

void weir_tenure_stats(const struct weir_tenure *tenure, struct weir_tenure_stats *stats)
{
	*stats = tenure->stats;
	stats->changes_now = tenure->changes_count;
}
