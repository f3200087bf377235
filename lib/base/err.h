/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Errors: what a function answers when it could not do its work.
 *
 * A function that can fail returns 0 or a negative enum weir_err. Each error has a code, the
 * word that clients see (`-NOTMASTER ...`), and a sentence. What only a bug can cause is an
 * assertion (weir_assert), kept in release builds.
 */
#ifndef WEIR_BASE_ERR_H
#define WEIR_BASE_ERR_H

enum weir_err {
	WEIR_OK = 0,
	WEIR_ERR = -1,          /**< a request that makes no sense */
	WEIR_NOTMASTER = -2,    /**< another node is master of the device */
	WEIR_FENCED = -3,       /**< this node's lease has run out */
	WEIR_BUSY = -4,         /**< a bounded queue, table or memory is full: nothing was done */
	WEIR_TIMEOUT = -5,      /**< the deadline passed before the work began: nothing was done */
	WEIR_UNKNOWN = -6,      /**< the work may or may not have been done */
	WEIR_NODEVICE = -7,     /**< no such device */
	WEIR_NOTFOUND = -8,     /**< no such rule */
	WEIR_OLDER = -9,        /**< a newer rule stands in its place */
	WEIR_BADFLOW = -10,     /**< a flow text or rule that cannot be understood */
	WEIR_TOOBIG = -11,      /**< larger than a named limit */
	WEIR_NOAUTH = -12,      /**< not allowed */
	WEIR_READONLY = -13,    /**< this copy takes no writes */
	WEIR_EXTRANEOUS = -14,  /**< reported by the device, not stored here, and not wanted */
	WEIR_EXISTS = -15,      /**< there already */
	WEIR_CONFLICT = -16,    /**< somebody else changed it first */
	WEIR_UNREACHABLE = -17, /**< the other side does not answer */
};

/** The code of an error, as clients see it: "NOTMASTER". Unknown numbers give "ERR". */
const char *weir_err_code(int err);

/** A sentence for an error, without its final stop. Never NULL. */
const char *weir_err_sentence(int err);

/** The error whose code is `code` of `len` bytes; WEIR_ERR where there is none. */
int weir_err_from_code(const char *code, unsigned len);

/** Ends the process when `cond` is false: only a bug can bring this about. */
#define weir_assert(cond)                                                                          \
	do {                                                                                       \
		if (__builtin_expect(!(cond), 0))                                                  \
			weir_assert_fail(#cond, __FILE__, __LINE__, __func__);                     \
	} while (0)

_Noreturn void weir_assert_fail(const char *cond, const char *file, int line, const char *func);

#endif
