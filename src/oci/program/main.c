/* SPDX-License-Identifier: Apache-2.0 */
/* brood-oci: the command line of an OCI runtime.  What concerns modules is done
 * here; all else is the matter of the runtime that makes containers. */
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "oci/oci_commands.h"
#include "oci/oci_help.h"
#include "oci/oci_log.h"
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	oci_command *run;
} commands[] = {
	{ "create", oci_create }, { "run", oci_create },  { "exec", oci_exec },
	{ "delete", oci_delete }, { "state", oci_state }, { "list", oci_list },
};

static oci_command *main_find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run;
	return oci_hand_over;
}

static int main_print(void (*tell)(struct buf *text))
{
	auto_buf struct buf text = { 0 };

	tell(&text);
	return fd_write_all(STDOUT_FILENO, text.data, text.len, NULL) < 0;
}

int main(int argc, char **argv)
{
	struct oci_words words;
	struct err err = { 0 };
	int rc;

	if (argc == 2 && strcmp(argv[1], "--man") == 0)
		return main_print(oci_help_man);
	oci_words_read(&words, argc, argv);
	if (words.version)
		return main_print(oci_help_version);
	if (!words.command || (words.help && words.command_at == argc - 1))
		return main_print(oci_help);
	rc = words.help ? oci_hand_over(&words, &err)
			: main_find(words.command)(&words, &err);
	if (rc >= 0)
		return rc;
	oci_log_error(&words, &err);
	return 1;
}
