/* SPDX-License-Identifier: Apache-2.0 */
/* The value of a fact now: computed by the keeper when it records a fact, by
 * a starter when it compares.  One function, so that they agree. */
#pragma once
#include "brood/program_image.h"
#include <stdbool.h>

/* For all kinds but FACT_ENVIRONMENT.  A fact that cannot be read (missing
 * file, refused) has the value 0; real values are never 0. */
uint64_t fact_now(uint32_t kind, uint32_t number, const char *name);
/* Words for what a fact of the machine or of a descriptor is about, NULL for
 * the other kinds, which have a name. */
const char *fact_subject(uint32_t kind, uint32_t number);
/* The variable's value in envp, NULL if unset. */
const char *fact_variable(char *const *envp, const char *name);
/* NULL when all facts of a checked image hold, else the words for the first
 * that does not, in "words": "LANG is another", "/etc/x has changed". */
const char *fact_difference(const struct program_image *image,
			    char *const *envp, char *words, unsigned room);
