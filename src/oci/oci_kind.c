/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_kind.h"
#include "base/fd.h"
#include "image/images.h"
#include "oci/oci_inside.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void oci_decision_close(struct oci_decision *decision)
{
	fd_close(&decision->module);
	free(decision->name);
	free(decision->app);
	decision->name = decision->app = NULL;
}

void oci_wish_fini(struct oci_wish *wish)
{
	free(wish->app);
	wish->app = NULL;
}

/* ---- annotations ------------------------------------------------------------- */

static bool kind_is(const char *text, const char *word)
{
	return text && strcmp(text, word) == 0;
}

static int wish_read_kind(const char *kind, struct oci_wish *wish,
			  struct err *err)
{
	if (!kind)
		return 0;
	wish->is_told = true;
	if (kind_is(kind, "module"))
		wish->kind = OCI_MODULE;
	else if (kind_is(kind, "domain"))
		wish->kind = OCI_DOMAIN;
	else if (kind_is(kind, "machine"))
		wish->kind = OCI_MACHINE;
	else if (kind_is(kind, "app"))
		wish->kind = OCI_APP;
	else if (!kind_is(kind, "program"))
		return err_set(err, -EINVAL,
			       "annotation brood.kind: none of module, domain, "
			       "machine, program and app");
	return 0;
}

/* Of the two one may be missing, but not say another thing. */
static int wish_check_app(struct oci_wish *wish, struct err *err)
{
	if (!wish->app && wish->kind == OCI_APP)
		return err_set(err, -EINVAL,
			       "annotation brood.kind says an app, and "
			       "brood.app names none");
	if (wish->app && wish->is_told && wish->kind != OCI_APP)
		return err_set(err, -EINVAL,
			       "annotation brood.app names an application, "
			       "brood.kind says another kind");
	if (wish->app) {
		wish->is_told = true;
		wish->kind = OCI_APP;
	}
	return 0;
}

/* Others' words mean others' kinds too, which are none of ours. */
static int wish_read_variant(const char *variant, struct oci_wish *wish,
			     struct err *err)
{
	if (!kind_is(variant, "compat"))
		return 0;
	if (wish->is_told && wish->kind == OCI_ORDINARY)
		return err_set(err, -EINVAL,
			       "annotation brood.kind says a program, "
			       "module.wasm.image/variant a module");
	if (wish->kind == OCI_APP || wish->kind == OCI_MACHINE)
		return err_set(err, -EINVAL,
			       "annotation %s, module.wasm.image/variant says "
			       "a module",
			       wish->kind == OCI_APP
				       ? "brood.app names an application"
				       : "brood.kind says a machine");
	if (!wish->is_told)
		wish->kind = OCI_MODULE;
	wish->is_told = true;
	return 0;
}

static int wish_read_isolation(const char *isolation, struct oci_wish *wish,
			       struct err *err)
{
	if (!isolation)
		return 0;
	if (!kind_is(isolation, "process") && !kind_is(isolation, "domain"))
		return err_set(err, -EINVAL,
			       "annotation brood.isolation: neither process "
			       "nor domain");
	wish->is_domain = kind_is(isolation, "domain");
	wish->is_process = !wish->is_domain;
	if (wish->is_told && (wish->is_domain ? wish->kind == OCI_ORDINARY
					      : wish->kind == OCI_DOMAIN))
		return err_set(err, -EINVAL,
			       "annotation brood.isolation says a %s, "
			       "brood.kind does not",
			       isolation);
	return 0;
}

/* It is of a domain, unless the kind is machine.  Others' word for a module
 * contradicts it too: that is the image's own process, which does not run. */
static int wish_read_tip(const char *tip, const char *isolation,
			 struct oci_wish *wish, struct err *err)
{
	bool is_machine = wish->is_told && wish->kind == OCI_MACHINE;

	if (!tip)
		return is_machine ? err_set(err, -EINVAL,
					    "annotation brood.kind says a "
					    "machine, and brood.tip names none")
				  : 0;
	if (is_machine && isolation)
		return err_set(err, -EINVAL,
			       "annotation brood.kind says a machine, "
			       "brood.isolation is for a module");
	if ((wish->is_told && wish->kind != OCI_DOMAIN && !is_machine) ||
	    kind_is(isolation, "process"))
		return err_set(err, -EINVAL,
			       "annotation brood.tip says a domain, another "
			       "one does not");
	if (!images_is_name(tip))
		return err_set(err, -EINVAL,
			       "annotation brood.tip: no name of a tip: "
			       "letters, digits, \"._-\", at most 64");
	wish->is_told = true;
	wish->kind = is_machine ? OCI_MACHINE : OCI_TIP;
	return 0;
}

/* Engines of pods hold a pod's name spaces by a container of their own.  It has
 * the annotations of the pod, which are not meant for it. */
static bool wish_is_of_holder(const struct oci_bundle *bundle)
{
	static const char *const names[] = {
		"io.kubernetes.cri.container-type",
		"io.kubernetes.cri-o.ContainerType",
	};
	bool holds = false;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		auto_free char *type = NULL;

		if (oci_annotation(bundle, names[i], &type, NULL) >= 0)
			holds |= kind_is(type, "sandbox");
	}
	return holds;
}

int oci_wish_read(const struct oci_bundle *bundle, struct oci_wish *wish,
		  struct err *err)
{
	auto_free char *kind = NULL, *isolation = NULL, *variant = NULL;
	auto_free char *tip = NULL;

	*wish = (struct oci_wish){ .kind = OCI_ORDINARY };
	if (wish_is_of_holder(bundle)) {
		wish->is_told = true;
		return 0;
	}
	if (oci_annotation(bundle, "brood.kind", &kind, err) < 0 ||
	    oci_annotation(bundle, "brood.app", &wish->app, err) < 0 ||
	    oci_annotation(bundle, "brood.isolation", &isolation, err) < 0 ||
	    oci_annotation(bundle, "brood.tip", &tip, err) < 0 ||
	    oci_annotation(bundle, "module.wasm.image/variant", &variant, err) <
		    0)
		return -EPROTO;
	if (wish_read_kind(kind, wish, err) < 0 ||
	    wish_check_app(wish, err) < 0 ||
	    wish_read_variant(variant, wish, err) < 0 ||
	    wish_read_isolation(isolation, wish, err) < 0 ||
	    wish_read_tip(tip, isolation, wish, err) < 0)
		return -EINVAL;
	return 0;
}

/* ---- the file ---------------------------------------------------------------- */

static int kind_open(const struct oci_bundle *bundle,
		     struct oci_decision *decision, struct err *err)
{
	const char *json = buf_string(&bundle->text);
	auto_process struct oci_process process;
	auto_close int root =
		open(bundle->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd, rc;

	if (root < 0)
		return err_set(err, -errno, "open %s", bundle->root);
	rc = oci_process_read(json, "process", &process, err);
	if (rc < 0)
		return rc;
	fd = oci_inside_open(root, json, &process, &decision->name, err);
	if (fd >= 0 && !oci_inside_is_module(fd)) {
		fd_close(&fd);
		return err_set(err, -ENOEXEC, "%s is no WebAssembly module",
			       process.program);
	}
	decision->module = fd;
	return fd < 0 ? fd : 0;
}

int oci_decide(const struct oci_bundle *bundle, struct oci_decision *decision,
	       struct err *err)
{
	struct err why = { 0 };
	auto_wish struct oci_wish wish;
	int rc = oci_wish_read(bundle, &wish, err);

	*decision = (struct oci_decision){ .module = -1 };
	if (rc >= 0 && wish.kind == OCI_APP) {
		decision->kind = OCI_APP;
		decision->app = steal_ptr(&wish.app);
		decision->wants_domain = wish.is_domain;
		decision->wants_process = wish.is_process;
		return 0;
	}
	if (rc < 0 || (wish.is_told && wish.kind == OCI_ORDINARY))
		return rc;
	if (wish.kind == OCI_TIP || wish.kind == OCI_MACHINE) {
		decision->kind = wish.kind;
		return oci_annotation(bundle, "brood.tip", &decision->name,
				      err);
	}
	rc = kind_open(bundle, decision, &why);
	if (rc < 0 && !wish.is_told && !wish.is_domain)
		return 0; /* who runs it finds what is wrong with it */
	if (rc < 0) {
		if (err)
			*err = why;
		return err_wrap(err, "the annotations say a module");
	}
	decision->kind = wish.is_domain || wish.kind == OCI_DOMAIN ? OCI_DOMAIN
								   : OCI_MODULE;
	return 0;
}
