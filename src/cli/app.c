/* SPDX-License-Identifier: Apache-2.0 */
/* brood app: applications that are installed as context only. */
#include "cli/app.h"
#include "base/fd.h"
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const struct args_option app_no_options[] = { { .name = NULL } };

const struct args_verb app_args = {
	.name = "app",
	.synopsis = "VERB [ARG...]",
	.summary = "applications on shared storage, installed as context only",
	.text = "pack makes an appliance of a program or a folder: one file "
		"that has the application, its manifest and an installer.\n\n"
		"export puts it into an OCI image layout, which registries "
		"carry, and import takes it out again.\n\n"
		"install puts it on shared storage, where it is not yet, and "
		"makes its start paths lead there; uninstall makes them what "
		"they were. start starts one by its name.\n\n"
		"upgrade puts a new version on the share, rollback takes an "
		"old one again, gc removes what nobody starts any more.\n\n"
		"ls lists what is installed, show tells all of one, verify "
		"reads every byte of it. load makes ready what starts would "
		"load, such as after a boot. rejoin tries the share again for one "
		"that became independent of it.\n\n"
		"probe finds out, on two hosts at the same time, which lock a "
		"new share can have.\n\n"
		"\"brood app VERB --help\" tells more of each.",
	.options = app_no_options,
	.least = 1,
	.most = -1,
	.stop_early = true,
};

static const struct app_verb {
	const char *name;
	int (*run)(int argc, char **argv);
} app_verbs[] = {
	{ "pack", app_pack_run },	{ "install", app_install_run },
	{ "start", app_start_run },	{ "ls", app_ls_run },
	{ "show", app_show_run },	{ "verify", app_verify_run },
	{ "upgrade", app_upgrade_run }, { "rollback", app_rollback_run },
	{ "load", app_load_run },	{ "rejoin", app_rejoin_run },
	{ "gc", app_gc_run },		{ "uninstall", app_uninstall_run },
	{ "probe", app_probe_run },	{ "export", app_export_run },
	{ "import", app_import_run },	{ NULL, NULL },
};

int app_run(int argc, char **argv)
{
	const struct app_verb *verb = app_verbs;
	char **operands;
	int count, code;

	if (cli_parse(&app_args, argc, argv, NULL, &operands, &count, &code) <
	    0)
		return code;
	while (verb->name && strcmp(verb->name, operands[0]) != 0)
		verb++;
	if (!verb->name)
		return cli_wrong(
			"no \"app %s\"; there are pack, install, "
			"start, ls, show, verify, upgrade, rollback, "
			"load, rejoin, gc, uninstall, probe, export and "
			"import",
			operands[0]);
	/* What is installed is for others, whatever this user's files are; not
	 * what is started. */
	if (verb->run != app_start_run)
		umask(022);
	return verb->run(count, operands);
}

/* ---- what is installed ------------------------------------------------------------ */

int app_context(const char *name, struct context *context, struct err *err)
{
	auto_free char *root = context_root(err);
	auto_free char *folder = root ? context_folder(root, name, err) : NULL;
	int rc = folder ? context_read(folder, context, err) : err->code;

	if (rc == -ENOENT)
		return err_set(err, -ENOENT, "application %s", name);
	return rc;
}

void app_publish_wish(const struct context *context, struct publish_wish *wish)
{
	*wish = (struct publish_wish){ .share = context->share,
				       .share_id = context->share_id,
				       .host = context->host,
				       .local = context->mounts,
				       .wait_ms = context->wait_ms,
				       .answer_ms = context->answer_ms };
}

static int app_is_one(const struct dirent *entry)
{
	return record_is_name(entry->d_name);
}

int app_each(app_visit *visit, void *more, struct err *err)
{
	auto_free char *root = context_root(err);
	struct dirent **list;
	int count, rc = 0;

	if (!root)
		return err->code;
	count = scandir(root, &list, app_is_one, alphasort);
	if (count < 0)
		return errno == ENOENT ? 0
				       : err_set(err, -errno, "open %s", root);
	for (int i = 0; i < count; i++) {
		auto_context struct context context = { 0 };
		auto_free char *folder = file_join(root, list[i]->d_name);
		struct err damaged = { 0 };

		/* A damaged one is no reason not to see the others. */
		if (folder && rc >= 0) {
			context_read(folder, &context, &damaged);
			rc = visit(&context, folder, &damaged, more);
		}
		free(list[i]);
	}
	free(list);
	return rc;
}
