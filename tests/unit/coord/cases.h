/* SPDX-License-Identifier: BSD-3-Clause */
/** @file Requests and the answers that every coordinator must give, in the language of client.h. */
#ifndef WEIR_TEST_COORD_CASES_H
#define WEIR_TEST_COORD_CASES_H

#define CASE_STEPS_MAX 24

struct coord_step {
	const char *request; /* "forget": the coordinator loses everything */
	const char *answer;
};

struct coord_case {
	const char *name; /* what it claims */
	struct coord_step steps[CASE_STEPS_MAX];
};

extern const struct coord_case coord_cases[];
extern const unsigned coord_cases_count;

#endif
