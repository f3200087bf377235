/* SPDX-License-Identifier: BSD-3-Clause */
/** @file What a function says on standard error, for tests. */
#ifndef TEST_NODE_HEARD_H
#define TEST_NODE_HEARD_H

/** Standard error goes to a place of ours from now on. */
void listen_begin(void);

/** Standard error is itself again. @return what was said; good until the next listen_begin */
const char *listen_end(void);

/** A file with this content that is gone when the process ends; its path. */
const char *file_of(const char *content);

#endif
