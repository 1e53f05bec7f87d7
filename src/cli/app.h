/* SPDX-License-Identifier: Apache-2.0 */
/* What the verbs behind "brood app" share. */
#pragma once
#include "appliance/context.h"
#include "appliance/publish.h"
#include "appliance/wish.h"
#include "cli/cli.h"

CLI_VERB(app_pack);
CLI_VERB(app_ls);
CLI_VERB(app_show);
CLI_VERB(app_verify);
CLI_VERB(app_start);
CLI_VERB(app_uninstall);
CLI_VERB(app_load);
CLI_VERB(app_rejoin);
CLI_VERB(app_rollback);
CLI_VERB(app_gc);
CLI_VERB(app_probe);
CLI_VERB(app_export);
CLI_VERB(app_import);
int app_install_run(int argc, char **argv);
int app_upgrade_run(int argc, char **argv);

/* The context of an installed application. */
int app_context(const char *name, struct context *context, struct err *err);
/* To ask the context's share for something. */
void app_publish_wish(const struct context *context, struct publish_wish *wish);
/* The installer of the appliance is run in a machine; returns the exit
 * code. */
int app_install_in(const struct wish_words *words, const char *appliance,
		   int argc, char *const *argv);
/* Each installed application, in the order of their names. */
typedef int app_visit(const struct context *context, const char *folder,
		      const struct err *damaged, void *more);
int app_each(app_visit *visit, void *more, struct err *err);
