/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/oci_tip.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lock.h"
#include "cache/cache.h"
#include "domain/ground.h"
#include "domain/kvm_facts.h"
#include "domain/ready.h"
#include "machine/machine.h"
#include "oci/oci_code.h"
#include "oci/oci_inside.h"
#include "oci/oci_kept.h"
#include "vm/wasi.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TIP_WAIT_MS = 60000 };

void oci_tip_close(struct oci_tip *tip)
{
	free(tip->folder);
	buf_fini(&tip->kvm);
	buf_fini(&tip->folders);
	shape_fini(&tip->shape);
	qemu_fini(&tip->qemu);
	*tip = (struct oci_tip){ 0 };
}

/* ---- the user's own ---------------------------------------------------------- */

/* Engines that the system starts have no home, or none of root's. */
static const char *tip_store(void)
{
	const char *home = secure_getenv("HOME");
	bool is_told = secure_getenv("BROOD_IMAGES") ||
		       secure_getenv("XDG_DATA_HOME") ||
		       (home && home[0] == '/' && home[1]);

	return is_told || geteuid() != 0 ? NULL
					 : "/root/.local/share/brood/images";
}

static int tip_missing(const char *name, const char *folder, bool is_domain,
		       struct err *err)
{
	err_clear(err);
	err_set(err, -EINVAL, "no tip %s in %s; brood %s%s%s makes one", name,
		folder,
		is_domain ? "run --in domain --until stdin --save "
			  : "machine save MACHINE --as ",
		name, is_domain ? " FILE" : "");
	return -ENOENT;
}

static int tip_open_store(struct images *images, const char *name,
			  bool is_domain, struct err *err)
{
	auto_free char *folder = images_folder(tip_store(), err);
	int rc;

	if (!folder)
		return err ? err->code : -ENOMEM;
	rc = images_open(images, folder, false, err);
	return rc == -ENOENT ? tip_missing(name, folder, is_domain, err) : rc;
}

/* Of a domain, and of one that this build can begin. */
static int tip_check_kind(const struct images *images, const char *name,
			  struct err *err)
{
	uint8_t shape[LAYER_ID];
	struct tip_ids ids;
	struct tip tip;
	bool is_domain, is_ours;
	int rc = tip_read(images, name, &tip, &ids, err);

	if (rc < 0)
		return rc == -ENOENT
			       ? tip_missing(name, images->folder, true, err)
			       : rc;
	snapshot_shape(shape);
	is_ours = memcmp(tip.shape, shape, LAYER_ID) == 0;
	is_domain = is_ours ||
		    (tip.words && strstr(tip.words, "\"kind\":\"domain\""));
	tip_close(&tip);
	if (!is_domain)
		return err_set(err, -EINVAL,
			       "tip %s is a machine's, no domain's", name);
	return is_ours ? 0
		       : err_set(err, -EINVAL,
				 "tip %s is of another build of Brood: make it "
				 "again",
				 name);
}

/* ---- kept -------------------------------------------------------------------- */

static bool tip_is_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot && dot != name && store_is_name(dot + 1);
}

/* A record of the file that is right says which file that is: a link is a
 * change of it. */
static int tip_bring_layer(const struct images *to, const struct images *from,
			   const struct layer *layer, struct err *err)
{
	struct file_stamp was, is;
	struct stat st;
	int rc;

	if (fstat(layer->fd, &st) < 0)
		return err_set(err, -errno, "look at layer %s", layer->hex);
	file_stamp_of(&st, &was);
	rc = store_object_bring(to->root, layer->hex, layer->fd, err);
	if (rc <= 0 || !store_seen(from->root, layer->hex, &was) ||
	    fstat(layer->fd, &st) < 0)
		return rc;
	file_stamp_of(&st, &is);
	if (is.size != was.size || is.mtime_ns != was.mtime_ns)
		return 0;
	store_seen_note(from->root, layer->hex, &is, "layer");
	store_seen_note(to->root, layer->hex, &is, "layer");
	return 0;
}

static int tip_bring(const struct images *to, const struct images *from,
		     struct tip *tip, struct err *err)
{
	char name[sizeof(tip->name)];
	int rc = 0;

	memcpy(name, tip->name, sizeof(name));
	for (uint32_t i = 0; rc >= 0 && i < tip->layer_count; i++)
		rc = tip_bring_layer(to, from, &tip->layers[i], err);
	for (uint32_t i = 0; rc >= 0 && i < tip->disk_count; i++)
		rc = tip_bring_layer(to, from, &tip->disks[i], err);
	if (rc >= 0)
		rc = tip_bring_layer(to, from, &tip->state, err);
	return rc < 0 ? rc : tip_publish(to, tip, name, err);
}

/* Above them is a folder that is closed to others; a container's user, who may
 * be anybody, sees this one alone. */
static int tip_open_to_all(const struct images *images, struct err *err)
{
	return fchmod(images->tips, 0755) < 0 || fchmod(images->root, 0755) < 0
		       ? err_set(err, -errno, "open %s to all", images->folder)
		       : 0;
}

/* Of these nothing is to be learnt about the folder. */
static bool tip_says_nothing(int code)
{
	return code == -EMFILE || code == -ENFILE || code == -ENOMEM ||
	       code == -EWOULDBLOCK || code == -EINTR;
}

/* 1: it is that tip, whole; 0: it is not there, or damaged. */
static int tip_is_whole(const char *folder, const char *name,
			const uint8_t id[LAYER_ID], struct err *err)
{
	auto_images struct images images = IMAGES_NONE;
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = images_open(&images, folder, false, err);

	if (rc >= 0)
		rc = tip_open(&images, name, &tip, err);
	if (tip_says_nothing(rc))
		return rc;
	err_clear(err);
	return rc >= 0 && memcmp(tip.id, id, LAYER_ID) == 0;
}

static int tip_fill(const char *draft, const struct images *from,
		    struct tip *tip, struct err *err)
{
	auto_images struct images to = IMAGES_NONE;
	uint8_t id[LAYER_ID];
	int rc = images_open(&to, draft, true, err);

	memcpy(id, tip->id, LAYER_ID);
	if (rc >= 0)
		rc = tip_bring(&to, from, tip, err);
	if (rc >= 0)
		rc = tip_open_to_all(&to, err);
	if (rc >= 0)
		rc = tip_is_whole(draft, tip->name, id, err);
	if (rc == 0)
		rc = err_set(err, -EBADMSG, "tip %s: its copy in %s is not it",
			     tip->name, draft);
	return rc;
}

static char *tip_draft(const char *path)
{
	return file_format("%.*s/.new", (int)(strrchr(path, '/') - path), path);
}

static int tip_remove_draft(const char *draft, struct err *err)
{
	return access(draft, F_OK) < 0 && errno == ENOENT
		       ? 0
		       : file_remove_tree(draft, err);
}

static void tip_remove_folder(const char *path)
{
	auto_free char *draft = tip_draft(path);

	if (draft && tip_remove_draft(draft, NULL) >= 0 &&
	    rename(path, draft) == 0)
		tip_remove_draft(draft, NULL);
}

/* Under the lock.  What is there and not whole was damaged. */
static int tip_make_folder(const char *folder, const struct images *from,
			   struct tip *tip, struct err *err)
{
	auto_free char *draft = tip_draft(folder);
	int rc;

	if (!draft)
		return err_set(err, -ENOMEM, "keep tip %s", tip->name);
	tip_remove_folder(folder);
	rc = tip_remove_draft(draft, err);
	if (rc >= 0)
		rc = tip_fill(draft, from, tip, err);
	if (rc >= 0 && rename(draft, folder) < 0)
		rc = err_set(err, -errno, "name %s", folder);
	if (rc < 0)
		tip_remove_draft(draft, NULL);
	return rc;
}

static int tip_make_locked(const char *parent, const char *folder,
			   const struct images *from, struct tip *tip,
			   struct err *err)
{
	auto_free char *path = file_join(parent, ".lock");
	auto_close int lock =
		path ? lock_take(path, TIP_WAIT_MS, err)
		     : err_set(err, -ENOMEM, "keep tip %s", tip->name);
	int rc;

	if (lock < 0)
		return lock;
	rc = tip_is_whole(folder, tip->name, tip->id, err);
	if (rc != 0)
		return rc;
	rc = tip_make_folder(folder, from, tip, err);
	oci_kept_sweep(parent, tip_is_name, tip_remove_folder);
	return rc;
}

static char *tip_parent(struct err *err)
{
	const struct cache_options cache = { .place = oci_code_place() };
	auto_free char *place = cache_folder(&cache, NULL);
	auto_free char *parent = place ? file_join(place, "tip") : NULL;
	auto_close int fd = -1;

	if (!parent) {
		err_set(err, -EINVAL,
			"a tip is kept in the node's cache, which is off");
		return NULL;
	}
	fd = store_folder_make(place, 0700, err);
	return fd < 0 || file_private_dir(parent, err) < 0 ? NULL
							   : steal_ptr(&parent);
}

static int tip_keep(struct oci_tip *to, const struct images *from,
		    struct tip *tip, struct err *err)
{
	auto_free char *parent = tip_parent(err);
	auto_free char *folder = NULL;
	char hex[STORE_HEX + 1];
	int rc = 0;

	if (!parent)
		return err ? err->code : -ENOMEM;
	store_hex(tip->id, LAYER_ID, hex);
	folder = file_format("%s/%s.%s", parent, tip->name, hex);
	if (!folder)
		return err_set(err, -ENOMEM, "keep tip %s", tip->name);
	rc = tip_is_whole(folder, tip->name, tip->id, err);
	if (rc == 0)
		rc = tip_make_locked(parent, folder, from, tip, err);
	if (rc < 0)
		return rc;
	oci_kept_use(folder);
	to->folder = steal_ptr(&folder);
	return 0;
}

/* ---- what it needs ----------------------------------------------------------- */

static int tip_check_folders(const struct oci_tip *tip,
			     const struct oci_bundle *bundle, const char *name,
			     struct err *err)
{
	const char *json = buf_string(&bundle->text);
	const char *at = tip->folders.data, *end = at + tip->folders.len;
	auto_process struct oci_process process = { 0 };
	auto_close int root =
		open(bundle->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = root < 0 ? err_set(err, -errno, "open %s", bundle->root)
			  : oci_process_read(json, "process", &process, err);

	for (; rc >= 0 && at < end; at += strlen(at) + 1)
		if (!oci_inside_has_folder(root, json, &process, at))
			rc = err_set(err, -EINVAL,
				     "tip %s was made with the folder %s, and "
				     "the container has none there",
				     name, at);
	return rc;
}

static int tip_look(struct oci_tip *to, const struct oci_bundle *bundle,
		    const struct images *images, struct ready *ready,
		    struct err *err)
{
	const struct snapshot *snapshot = &ready->snapshot;
	const char *name = snapshot->tip.name;
	int rc = wasi_state_folders(snapshot->wasi, snapshot->state->wasi_bytes,
				    &to->folders, err);

	if (rc < 0)
		return err_wrap(err, "tip %s", name);
	rc = tip_check_folders(to, bundle, name, err);
	return rc < 0 ? rc : tip_keep(to, images, &ready->snapshot.tip, err);
}

static int tip_make(struct oci_tip *tip, const struct oci_bundle *bundle,
		    struct ground *ground, const char *name, struct err *err)
{
	const struct domain_options options = { .ground = ground };
	auto_images struct images images = IMAGES_NONE;
	struct program program;
	struct ready ready;
	int rc = tip_open_store(&images, name, true, err);

	if (rc >= 0)
		rc = tip_check_kind(&images, name, err);
	/* No domain is begun: there is no VM for it. */
	if (rc >= 0)
		rc = ready_open_tip(&ready, &options, &program, NULL, &images,
				    name, err);
	if (rc < 0)
		return rc;
	rc = tip_look(tip, bundle, &images, &ready, err);
	ready_close(&ready);
	return rc;
}

int oci_tip_make(struct oci_tip *tip, const struct oci_bundle *bundle,
		 const char *name, struct err *err)
{
	struct ground ground;
	int rc;

	*tip = (struct oci_tip){ 0 };
	if (ground_open(&ground, true, err) < 0)
		return err_wrap(err, "a domain");
	if (!kvm_facts_text(&ground.facts, &tip->kvm))
		buf_fini(&tip->kvm);
	rc = tip_make(tip, bundle, &ground, name, err);
	ground_close(&ground);
	return rc;
}

/* ---- a machine's ------------------------------------------------------------- */

static int tip_check_machine(const struct tip *tip, struct err *err)
{
	const char *words = tip->words ? tip->words : "{}";
	auto_free char *kind = NULL;
	int rc = json_check(words, strlen(words), err);

	if (rc < 0)
		return err_wrap(err, "tip %s", tip->name);
	kind = json_get_text(words, "kind");
	if (kind && strcmp(kind, "domain") == 0)
		return err_set(err, -EINVAL,
			       "tip %s is a domain's, no machine's", tip->name);
	return 0;
}

/* Can it go on on this node? */
static int tip_fit_machine(struct oci_tip *to, const struct tip *tip,
			   struct err *err)
{
	int rc = machine_tip_shape(tip, &to->shape, err);

	if (rc >= 0)
		rc = qemu_find(&to->qemu, err);
	return rc < 0 ? rc : shape_fits(&to->shape, &to->qemu, tip->name, err);
}

/* It only spares time. */
static void tip_hand_on(const struct oci_tip *tip)
{
	auto_free char *known = file_join(tip->folder, "known");

	if (known)
		shape_hand_on(&tip->shape, &tip->qemu, known, NULL);
}

int oci_tip_make_machine(struct oci_tip *to, const char *name, struct err *err)
{
	auto_images struct images images = IMAGES_NONE;
	auto_tip struct tip tip = TIP_EMPTY;
	int rc = tip_open_store(&images, name, false, err);

	*to = (struct oci_tip){ 0 };
	if (rc >= 0)
		rc = tip_open(&images, name, &tip, err);
	if (rc == -ENOENT && images.folder)
		rc = tip_missing(name, images.folder, false, err);
	if (rc >= 0)
		rc = tip_check_machine(&tip, err);
	if (rc >= 0)
		rc = tip_fit_machine(to, &tip, err);
	if (rc >= 0)
		rc = tip_keep(to, &images, &tip, err);
	if (rc >= 0)
		tip_hand_on(to);
	return rc;
}
