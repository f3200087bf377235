/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a control core makes of its workers' reports: those of another term, or of another attempt
 * to join, are old news and count for nothing. The harm of one that counts needs two accidents
 * more; here it is looked at where it is taken.
 */
#include "sim.h"
#include "tenure/internal.h"

static const struct mate *mate_of(const struct device *device, unsigned peer)
{
	for (unsigned i = 0; device != NULL && i < device->mates_count; i++)
		if (device->mates[i].peer == peer)
			return &device->mates[i];
	return NULL;
}

/** A report is about to be taken. @return what sim_watch_heard is to be told */
struct sim_heard sim_watch_hearing(const struct sim_node *node, const struct weir_report *report)
{
	const struct device *device = weir_tenure_device_by_key(node->tenure, report->device_key);
	const struct mate *mate = mate_of(device, report->peer);
	struct sim_heard heard = {0};

	if (device == NULL)
		return heard;
	heard.settled = device->settled;
	heard.caught = mate == NULL ? 0 : mate->caught;
	heard.other_term = report->term != device->record->term;
	heard.other_attempt = heard.other_term || mate == NULL || report->attempt != mate->attempt;
	return heard;
}

/** It has been taken. */
void sim_watch_heard(
	struct sim_node *node, const struct weir_report *report, const struct sim_heard *before)
{
	const struct device *device = weir_tenure_device_by_key(node->tenure, report->device_key);
	const struct mate *mate = mate_of(device, report->peer);
	int number = sim_device_by_key(node->sim, report->device_key);

	if (device == NULL)
		return;
	if (report->kind == WEIR_REPORT_SETTLED && before->other_term &&
		(device->settled & ~before->settled) != 0)
		sim_fail(node->sim, "n%u takes d%d for settled in term %lu by a report of term %lu",
			node->number, number, device->record->term, report->term);
	if (report->kind == WEIR_REPORT_CAUGHT_UP && before->other_attempt && mate != NULL &&
		(mate->caught & ~before->caught) != 0)
		sim_fail(node->sim,
			"n%u takes a copy of d%d for caught up in attempt %u of term %lu by a "
			"report of attempt %u of term %lu",
			node->number, number, mate->attempt, device->record->term, report->attempt,
			report->term);
	if (report->kind != WEIR_REPORT_DEPOSED)
		return;
	if (report->term > node->deposed[number])
		node->deposed[number] = report->term;
	/* Before it has learned by whom it was deposed it is to make another master. */
	if (sim_chance(node->sim, node->sim->plan.again_ppm))
		sim_push(node->sim, SIM_OPERATE, node->sim->now_ns + SIM_US(1), node->number,
			(unsigned)number,
			&node->sim->nodes[sim_below(node->sim, node->sim->plan.nodes)]);
}
