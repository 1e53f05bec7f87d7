/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that are not handed on as they are.  Each returns the exit
 * code, or becomes the runtime, or fails with a negative errno and one line. */
#pragma once
#include "base/err.h"
#include "oci/oci_record.h"
#include "oci/oci_words.h"
#include <stdbool.h>

typedef int oci_command(const struct oci_words *words, struct err *err);

int oci_create(const struct oci_words *words, struct err *err); /* and run */
int oci_exec(const struct oci_words *words, struct err *err);
int oci_delete(const struct oci_words *words, struct err *err);
int oci_state(const struct oci_words *words, struct err *err);
int oci_list(const struct oci_words *words, struct err *err);
/* All else, and what is none of ours. */
int oci_hand_over(const struct oci_words *words, struct err *err);

/* Has the runtime such a container, by a name in its folder?  That is a guess,
 * but asking it each time takes as long as what is asked for. */
bool oci_seems_there(const struct oci_words *words);
/* What the container's runtime tells of it: its exit code.  Not 0: it knows
 * none of this ID. */
int oci_ask_state(const struct oci_words *words, const char *runtime,
		  struct buf *answer, struct err *err);
