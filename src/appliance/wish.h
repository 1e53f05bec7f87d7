/* SPDX-License-Identifier: Apache-2.0 */
/* The words of an install: the command and the installer that goes with
 * appliances take the same ones. */
#pragma once
#include "appliance/install.h"
#include "base/args.h"
#include "base/json.h"

struct wish_words {
	const char *share, *bin, *lock, *machine, *device;
	struct args_list at;
	long ttl_ms, wait_ms, answer_ms, deadline_ms, rejoin_ms;
	bool keep, unpacked, no_rejoin, json;
};
/* Before they are read: nothing was said. */
#define WISH_WORDS                               \
	((struct wish_words){ .wait_ms = -1,     \
			      .answer_ms = -1,   \
			      .deadline_ms = -1, \
			      .rejoin_ms = -1 })
extern const struct args_option wish_options[];
extern const struct args_verb wish_install_args, wish_upgrade_args;

/* -EINVAL: a word that is wrong. */
int wish_fill(const struct wish_words *words, const char *appliance,
	      bool upgrade, struct install_wish *wish, struct err *err);
/* What was done, for people or as an object. */
void wish_tell(const struct installed *installed, bool as_json,
	       struct buf *out);
