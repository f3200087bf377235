/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What a worker passes on to others: reports to the control core, frames to other workers.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>
#include <rte_ring_elem.h>

#include "store/internal.h"

/* ------------------------------------------------------------------------------- reports --- */

static void report_keep(struct weir_worker *worker, const struct weir_report *report)
{
	if (worker->late_count == worker->late_room) {
		worker->late_room = worker->late_room == 0 ? 256 : 2 * worker->late_room;
		worker->late_reports = realloc(
			worker->late_reports, worker->late_room * sizeof(worker->late_reports[0]));
		weir_assert(worker->late_reports != NULL);
	}
	worker->late_reports[worker->late_count++] = *report;
}

static bool report_pass(struct weir_worker *worker, struct weir_report *report)
{
	return rte_ring_enqueue_elem(worker->reports, report, sizeof(*report)) == 0;
}

void weir_worker_report(struct weir_worker *worker, const struct weir_report *report)
{
	struct weir_report copy = *report;

	if (worker->late_count > 0 || !report_pass(worker, &copy))
		report_keep(worker, &copy);
	worker->reported = true;
}

void weir_worker_reports_flush(struct weir_worker *worker)
{
	unsigned passed = 0;

	if (!worker->reported && worker->late_count == 0)
		return;
	while (passed < worker->late_count && report_pass(worker, &worker->late_reports[passed]))
		passed++;
	worker->late_count -= passed;
	if (passed > 0)
		memmove(worker->late_reports, worker->late_reports + passed,
			worker->late_count * sizeof(worker->late_reports[0]));
	if (worker->reported || passed > 0)
		weir_wake(worker->store->wake_fd);
	worker->reported = false;
}

unsigned weir_worker_reports_take(
	struct weir_worker *worker, struct weir_report *reports, unsigned room)
{
	return rte_ring_dequeue_burst_elem(
		worker->reports, reports, sizeof(reports[0]), room, NULL);
}

/* -------------------------------------------------------------------------------- frames --- */

void weir_worker_steer(struct weir_worker *worker, unsigned other, struct rte_mbuf *frame)
{
	struct weir_store *store = worker->store;

	if (other < store->conf.workers_count &&
		rte_ring_enqueue(store->workers[other].frames, frame) == 0)
		return;
	rte_pktmbuf_free(frame);
	weir_count_up(&worker->shown.steer_drops);
}

void weir_worker_frames_drop(struct weir_worker *worker)
{
	struct rte_mbuf *frame;

	if (worker->frames == NULL)
		return;
	while (rte_ring_dequeue(worker->frames, (void **)&frame) == 0)
		rte_pktmbuf_free(frame);
}
