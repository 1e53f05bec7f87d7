/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs behind "brood machine" share. */
#pragma once
#include "base/json.h"
#include "cli/cli.h"
#include "machine/machine.h"

CLI_VERB(machine_boot);
CLI_VERB(machine_start);
CLI_VERB(machine_save);
CLI_VERB(machine_swap);
CLI_VERB(machine_record);
CLI_VERB(machine_exec);
CLI_VERB(machine_attach);
CLI_VERB(machine_stop);
CLI_VERB(machine_ps);
CLI_VERB(machine_ls);
CLI_VERB(machine_rm);

#define MACHINE_DISK_HELP                                                      \
	"where the tip's disk is here, if not where it was; each of several, " \
	"in their order"

#define MACHINE_FOLDER_HELP                                                   \
	"a folder of this host, there by the same name or at AT, ro: not to " \
	"be written; the tip needs a place for each (boot --folders)"
/* lent has them, and is what a start is told: NULL where there are none. */
int machine_folders(const struct args_list *words, struct lent *lent,
		    struct lent **folders, struct err *err);

/* Joins this terminal (or what stands for it) with a machine's console, until
 * the machine ends, or the user says so with Ctrl-]. */
int machine_console(const struct place *place, struct err *err);
/* One line, or an object, on a machine that has begun. */
void machine_tell_report(const struct place *place,
			 const struct machine_report *report, bool as_json,
			 struct buf *out);
