/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_help.h"
#include "base/fd.h"
#include "oci/oci_runtime.h"
#include <stddef.h>

#define HELP_VERSION "0.1.0"
#define HELP_SPEC    "1.0.2"

static const struct {
	const char *name, *words;
} help_commands[] = {
	{ "create", "make a container of a bundle; of a module, its code is "
		    "compiled before" },
	{ "start", "let its process begin" },
	{ "run", "create, start, wait and delete" },
	{ "exec", "one process more in it; of a module, by the starter that is "
		  "there" },
	{ "state", "what it is, in JSON, with the bundle that was given" },
	{ "list", "the same of all; in JSON with the bundles that were given" },
	{ "kill", "send a signal" },
	{ "ps", "its processes" },
	{ "delete", "remove it, and what is kept of it" },
	{ "features, spec, ...", "as the runtime has them" },
};

static const char help_text[] =
	"An OCI runtime for engines such as podman, containerd, Docker and Slurm. "
	"Containers whose process is a WebAssembly module run in Brood, and "
	"those that name an application of the node have that; all others are "
	"handed to the runtime that the machine has, with the words "
	"unchanged, so that this one can be the usual one of a node.";

static const char *const help_more[] = {
	"A bundle is a module's where the file that process.args begins with "
	"has a module's first bytes, or where its annotations say so: "
	"brood.kind is module, domain, machine or program; brood.isolation is process "
	"or domain; module.wasm.image/variant is compat. In a domain the "
	"module has a virtual machine of its own inside the container, and "
	"needs KVM. A program is an ordinary container.",
	"The walls are the bundle's own: the runtime makes namespaces, "
	"cgroups, mounts, seccomp and capabilities as it would for any "
	"program. The process is replaced by brood, which is mounted read-only "
	"below /dev/.brood, with the module's compiled code beside it. The "
	"module is granted the container's root as the folder /, its "
	"variables, arguments and standard streams. What is written over with "
	"another module after create is not noticed: it is the code of the "
	"first one that runs.",
	"brood.app names an application that root has installed on this node "
	"(brood app install), NAME or NAME/ENTRY; brood.kind may say app. Its "
	"payload is loaded as its start path would load it, outside, and "
	"mounted read-only as /dev/.brood/app; the process is its program, "
	"with the words behind the first one. Without the share it goes on "
	"from the node's copy, or the container fails with one line. "
	"BROOD_APPS names another folder of applications than the usual one.",
	"With the annotation brood.tip the process is a warm tip of a domain "
	"that the user who runs this has kept under that name (brood run "
	"--save): it goes on from there, with the container's arguments behind "
	"the first, variables and streams, whatever is in its root. Of "
	"folders it has those that it was made with, by their names. The tip "
	"is found by create; what is removed after that stays in the "
	"container. With brood.kind machine it is one of a machine's (brood "
	"machine save), and the container's words run in that as by brood "
	"machine exec, by the node's QEMU.",
	"BROOD_EVENTS names a file that gets a line of JSON for each of these "
	"containers.",
	"Options are the runtime's own: --root, --log, --log-format, "
	"--systemd-cgroup, --debug before the command; --bundle, --pid-file, "
	"--console-socket, --preserve-fds and all others behind it.",
};

void oci_help(struct buf *text)
{
	const size_t count = sizeof(help_commands) / sizeof(*help_commands);

	buf_format(text,
		   "usage: brood-oci [OPTION...] COMMAND [OPTION...] [ID] "
		   "[WORD...]\n\n%s\n\ncommands:\n",
		   help_text);
	for (size_t i = 0; i < count; i++)
		buf_format(text, "  %-20s %s\n", help_commands[i].name,
			   help_commands[i].words);
	for (size_t i = 0; i < sizeof(help_more) / sizeof(*help_more); i++)
		buf_format(text, "\n%s\n", help_more[i]);
	buf_text(text, "\nBROOD_OCI_RUNTIME names the runtime, if not runc or "
		       "crun in PATH.\n");
}

/* Engines take the word "version" for a version, so that nothing else may say
 * it. */
void oci_help_version(struct buf *text)
{
	auto_free char *runtime = oci_runtime_find(NULL);

	buf_text(text, "brood-oci version " HELP_VERSION "\n"
		       "spec: " HELP_SPEC "\n");
	buf_format(text, "containers by: %s\n",
		   runtime ? runtime : "no runtime is there");
}

/* Hyphens that are minus signs; no line begins with a request. */
static void help_roff(struct buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '-')
			buf_text(out, "\\-");
		else
			buf_add(out, text, 1);
	}
}

void oci_help_man(struct buf *text)
{
	const size_t count = sizeof(help_commands) / sizeof(*help_commands);

	buf_text(
		text,
		".TH BROOD\\-OCI 8 2026-11-24 \"brood " HELP_VERSION "\"\n"
		".SH NAME\nbrood\\-oci \\- an OCI runtime for WebAssembly "
		"modules and applications\n.SH SYNOPSIS\n.B brood\\-oci\n[\\fIOPTION\\fR...] "
		"\\fICOMMAND\\fR [\\fIOPTION\\fR...] [\\fIID\\fR] "
		"[\\fIWORD\\fR...]\n.SH DESCRIPTION\n");
	help_roff(text, help_text);
	for (size_t i = 0; i < sizeof(help_more) / sizeof(*help_more); i++) {
		buf_text(text, "\n.PP\n");
		help_roff(text, help_more[i]);
	}
	buf_text(text, "\n.SH COMMANDS");
	for (size_t i = 0; i < count; i++) {
		buf_format(text, "\n.TP\n.B %s\n", help_commands[i].name);
		help_roff(text, help_commands[i].words);
	}
	buf_text(
		text,
		"\n.SH ENVIRONMENT\n.TP\n.B BROOD_OCI_RUNTIME\nthe runtime "
		"that makes the containers, in PATH or by its path; else runc "
		"or crun in PATH\n.TP\n.B BROOD_CACHE\nwhere compiled code is "
		"kept; else /var/cache/brood/oci for root, and "
		"$XDG_CACHE_HOME/brood/code\n.TP\n.B BROOD_IMAGES\nwhere "
		"tips are looked for; else where brood run keeps them\n"
		".SH FILES\n.TP\n.I ROOT.brood\nwhat is kept of each container, "
		"beside the runtime's ROOT: the bundle that it was given, and "
		"the one that was given\n"
		".SH EXIT STATUS\nThe runtime's; 1 and one line on standard "
		"error, and in the file of \\-\\-log, for what it was not "
		"asked. Of a container, its module's: see\n"
		".BR brood\\-run (1).\n"
		".SH SEE ALSO\n.BR brood\\-run (1),\n.BR runc (8),\n"
		".BR crun (1)\n");
}
