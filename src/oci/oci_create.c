/* SPDX-License-Identifier: Apache-2.0 */
/* create and run: a bundle of ours gets a bundle beside it, which the runtime
 * is given in its place. */
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "launch/install.h"
#include "oci/oci_app.h"
#include "oci/oci_bundle.h"
#include "oci/oci_code.h"
#include "oci/oci_commands.h"
#include "oci/oci_kind.h"
#include "oci/oci_machine.h"
#include "oci/oci_rewrite.h"
#include "oci/oci_runtime.h"
#include "oci/oci_tip.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct create {
	const struct oci_words *words;
	struct oci_bundle bundle;
	struct oci_decision decision;
	struct oci_app app;
	struct oci_code code;
	struct oci_tip tip;
	struct oci_record record;
	int lock; /* the ID's */
};

static void create_close(struct create *create)
{
	oci_bundle_close(&create->bundle);
	oci_decision_close(&create->decision);
	oci_app_close(&create->app);
	oci_code_close(&create->code);
	oci_tip_close(&create->tip);
	oci_record_fini(&create->record);
	fd_close(&create->lock);
}

/* Of its kind is known what the share has. */
static int create_obtain(struct create *create, struct err *err)
{
	const char *place = oci_place(buf_string(&create->bundle.text));

	return create->decision.kind == OCI_APP
		       ? oci_app_obtain(&create->app, &create->decision,
					create->words, place, err)
		       : 0;
}

static int create_rewrite_app(struct create *create,
			      const struct oci_start *start, const char *folder,
			      struct err *err)
{
	create->record.has_no_starter = create->decision.module < 0;
	if (create->app.settings.count)
		create->record.settings = &create->app.settings;
	return oci_app_rewrite(&create->bundle, &create->app, start, folder,
			       err);
}

/* What KVM can do. */
static const struct buf *create_kvm(const struct create *create)
{
	return create->decision.kind == OCI_TIP ? &create->tip.kvm
						: &create->code.kvm;
}

static int create_rewrite(struct create *create, struct err *err)
{
	auto_free char *starter = install_find("brood", err);
	auto_free char *path = oci_record_path(create->words, err);
	auto_free char *kvm = path ? file_join(path, "kvm") : NULL;
	const char *place = oci_place(buf_string(&create->bundle.text));
	const struct oci_start start = {
		.module = create->decision.name,
		.starter = starter,
		.code = create->code.path,
		.kvm = create_kvm(create)->len ? kvm : NULL,
		.ready = create->code.ready,
		.tip = create->tip.folder,
		.folders = &create->tip.folders,
		.shape = &create->tip.shape,
		.qemu = &create->tip.qemu,
		.place = place,
		.in_domain = oci_kind_is_domain(create->decision.kind),
	};

	if (!starter || !kvm)
		return err ? err->code : -ENOENT;
	create->record.bundle = strdup(create->bundle.path);
	create->record.module = strdup(create->decision.name);
	create->record.place = strdup(place);
	create->record.in_domain = start.in_domain;
	create->record.has_code = start.code;
	create->record.has_kvm = start.kvm;
	create->record.has_ready = start.ready;
	if (create->app.entry)
		return create_rewrite_app(create, &start, path, err);
	if (create->decision.kind == OCI_MACHINE) {
		create->record.is_machine = true;
		create->record.has_no_starter = true;
		return oci_machine_rewrite(&create->bundle, &start, err);
	}
	return oci_rewrite(&create->bundle, &start, err);
}

/* An ID that is there, and whose container is not, was left by who was
 * killed. */
static int create_clear(const struct create *create, struct err *err)
{
	auto_buf struct buf answer = { 0 };
	auto_close int lock = -1;
	int rc = oci_record_lock(create->words, &lock, err);

	if (rc == -ENOENT)
		return 0;
	if (rc < 0)
		return rc;
	rc = oci_ask_state(create->words, create->record.runtime, &answer, err);
	if (rc == 0)
		return err_set(err, -EPROTO,
			       "container with id %s exists already",
			       create->words->id);
	return rc < 0 ? rc : oci_record_remove(create->words, err);
}

static int create_publish(struct create *create, struct err *err)
{
	int rc = -EEXIST;

	for (int i = 0; rc == -EEXIST && i < 8; i++) {
		err_clear(err);
		rc = oci_record_publish(create->words, &create->record,
					&create->bundle.text,
					create_kvm(create), &create->lock, err);
		if (rc == -EEXIST && create_clear(create, err) < 0)
			return err ? err->code : -EPROTO;
	}
	return rc;
}

/* Where the caller's bundle is the working folder, no word names it. */
static char **create_words(const struct oci_words *words, const char *runtime,
			   const char *bundle, char **own)
{
	char **argv, **more;

	if (words->bundle_at)
		return oci_words_change(words, runtime, words->bundle_at,
					bundle, own);
	argv = oci_words_change(words, runtime, 0, NULL, own);
	more = argv ? oci_words_insert(argv, words->count,
				       words->command_at + 1, "--bundle",
				       bundle)
		    : NULL;
	if (!more)
		free(argv);
	return more;
}

/* What the runtime does not know, because it failed or is done, is gone.  One
 * that ran to its end here is, as a rule. */
static bool create_is_over(const struct create *create, int code)
{
	const struct oci_words *words = create->words;
	auto_buf struct buf answer = { 0 };
	bool stays = words->detach || strcmp(words->command, "create") == 0;

	if (stays && code == 0)
		return false;
	if (!stays && !oci_seems_there(words))
		return true;
	return oci_ask_state(words, create->record.runtime, &answer, NULL) != 0;
}

static int create_run(const struct create *create, struct err *err)
{
	auto_free char *path = oci_record_path(create->words, err);
	auto_free char *own = NULL;
	auto_free char **argv = NULL;
	const char *runtime = create->record.runtime;
	int code;

	if (!path)
		return err ? err->code : -ENOMEM;
	argv = create_words(create->words, runtime, path, &own);
	if (!argv)
		return err_set(err, -ENOMEM, "words for %s", runtime);
	code = oci_runtime_run(runtime, argv, NULL, false, err);
	if (create_is_over(create, code))
		oci_record_remove(create->words, NULL);
	return code;
}

/* For who keeps a node: a line for each container of ours, as it is given to
 * the runtime. */
static void create_tell(const struct create *create)
{
	static const char *const kinds[] = {
		[OCI_ORDINARY] = "program", [OCI_MODULE] = "module",
		[OCI_DOMAIN] = "domain",    [OCI_TIP] = "tip",
		[OCI_APP] = "app",	    [OCI_MACHINE] = "machine",
	};
	const struct oci_record *record = &create->record;

	log_event("oci.create",
		  "\"id\":\"%s\",\"kind\":\"%s\",\"code\":%s,\"ready\":%s",
		  create->words->id, kinds[create->decision.kind],
		  record->has_code ? "true" : "false",
		  record->has_ready || create->tip.folder ? "true" : "false");
}

/* A program of an application's has neither. */
static int create_make(struct create *create, struct err *err)
{
	const struct oci_decision *decision = &create->decision;

	if (decision->kind == OCI_MACHINE)
		return oci_tip_make_machine(&create->tip, decision->name, err);
	if (decision->kind == OCI_TIP)
		return oci_tip_make(&create->tip, &create->bundle,
				    decision->name, err);
	return decision->module < 0
		       ? 0
		       : oci_code_make(&create->code, decision, err);
}

static int create_ours(struct create *create, struct err *err)
{
	int rc = oci_words_check_id(create->words->id, err);

	if (rc >= 0 && !(create->record.runtime = oci_runtime_find(err)))
		rc = err ? err->code : -ENOENT;
	if (rc >= 0)
		rc = create_obtain(create, err);
	if (rc >= 0)
		rc = create_make(create, err);
	if (rc >= 0)
		rc = create_rewrite(create, err);
	if (rc >= 0)
		rc = create_publish(create, err);
	if (rc < 0)
		return rc;
	create_tell(create);
	return create_run(create, err);
}

/* What one of ours left behind that had its ID would be taken for its own. */
static int create_other(struct create *create, struct err *err)
{
	auto_record_oci struct oci_record left;
	int rc = oci_record_read(create->words, &left, err);

	if (rc == -EPERM)
		return rc;
	err_clear(err);
	if (rc == 0)
		return oci_hand_over(create->words, err);
	create->record.runtime = oci_runtime_find(err);
	if (!create->record.runtime)
		return err ? err->code : -ENOENT;
	return create_clear(create, err) < 0
		       ? (err ? err->code : -EPROTO)
		       : oci_hand_over(create->words, err);
}

int oci_create(const struct oci_words *words, struct err *err)
{
	struct create create = { .words = words,
				 .decision = { .module = -1 },
				 .app = OCI_APP_NONE,
				 .code = { .lease = -1 },
				 .lock = -1 };
	int rc = oci_bundle_open(&create.bundle,
				 words->bundle ? words->bundle : ".", err);

	if (rc >= 0)
		rc = oci_decide(&create.bundle, &create.decision, err);
	if (rc >= 0)
		rc = create.decision.kind == OCI_ORDINARY
			     ? create_other(&create, err)
			     : create_ours(&create, err);
	create_close(&create);
	return rc;
}
