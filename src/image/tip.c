/* SPDX-License-Identifier: Apache-2.0 */
/* Tips: the one mutable thing is which file has a tip's name. */
#include "image/tip.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "image/runs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIP_BYTES_MOST                                    \
	(sizeof(struct tip_header) +                      \
	 (LAYER_DEPTH_MOST + TIP_DISKS_MOST) * LAYER_ID + \
	 (uint64_t)TIP_RUNS_MOST * sizeof(struct tip_run) + TIP_WORDS_MOST)

void tip_close(struct tip *tip)
{
	for (uint32_t i = 0; i < tip->layer_count; i++)
		layer_close(&tip->layers[i]);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		layer_close(&tip->disks[i]);
	layer_close(&tip->state);
	free(tip->runs);
	free(tip->words);
	*tip = TIP_EMPTY;
}

/* ---- the form ------------------------------------------------------------ */

static void tip_hash(const void *data, uint64_t len, uint8_t id[LAYER_ID])
{
	struct tip_header head;
	struct sha256 sha;

	memcpy(&head, data, sizeof(head));
	memset(head.id, 0, sizeof(head.id));
	sha256_start(&sha);
	sha256_add(&sha, &head, sizeof(head));
	sha256_add(&sha, (const uint8_t *)data + sizeof(head),
		   len - sizeof(head));
	sha256_end(&sha, id);
}

static const char *tip_check_header(const struct tip_header *head, uint64_t len)
{
	if (memcmp(head->magic, TIP_MAGIC, sizeof(head->magic)) != 0)
		return "it is no tip";
	if (head->version != LAYER_VERSION ||
	    head->header_bytes != sizeof(*head))
		return "it is a tip of another version";
	if (!head->layer_count || head->layer_count > LAYER_DEPTH_MOST)
		return "it has no layers, or too many";
	if (head->disk_count > TIP_DISKS_MOST || head->reserved)
		return "it has too many disks";
	if (!head->run_count || head->run_count > TIP_RUNS_MOST)
		return "it has no pieces, or too many";
	if (head->words_bytes > TIP_WORDS_MOST || head->has_working > 1)
		return "its words are too long";
	if (!head->ram_bytes || head->ram_bytes > LAYER_RAM_MOST ||
	    head->ram_bytes % LAYER_PAGE)
		return "its memory has an impossible size";
	if (head->file_bytes != len ||
	    len != sizeof(*head) +
			    (head->layer_count + head->disk_count) * LAYER_ID +
			    head->run_count * sizeof(struct tip_run) +
			    head->words_bytes)
		return "it is cut off, or too long";
	return NULL;
}

static const uint8_t (*tip_layers(const struct tip_header *head))[LAYER_ID]
{
	return (const void *)(head + 1);
}

static const struct tip_run *tip_runs(const struct tip_header *head)
{
	return (const void *)(tip_layers(head) + head->layer_count +
			      head->disk_count);
}

const char *tip_check(const void *data, uint64_t len)
{
	const struct tip_header *head = data;
	uint8_t id[LAYER_ID];
	const char *why, *words;

	if (len < sizeof(*head))
		return "it is cut off, or no tip";
	why = tip_check_header(head, len);
	if (why)
		return why;
	tip_hash(data, len, id);
	if (memcmp(id, head->id, sizeof(id)) != 0)
		return "it is damaged";
	words = (const char *)(tip_runs(head) + head->run_count);
	if (memchr(words, 0, head->words_bytes) ||
	    json_check(words, head->words_bytes, NULL) < 0)
		return "its words are damaged";
	return runs_check(tip_runs(head), head->run_count, head->ram_bytes,
			  head->layer_count);
}

/* ---- read ---------------------------------------------------------------- */

static int tip_load(const struct images *images, const char *name,
		    struct buf *data, struct err *err)
{
	auto_close int fd = -1;
	const char *why = NULL;
	struct stat st;

	if (!images_is_name(name))
		return err_set(err, -EINVAL, "%.64s is no name of a tip", name);
	if (images->tips < 0)
		return err_set(err, -ENOENT, "tip %s in %s", name,
			       images->folder);
	fd = images->is_given
		     ? store_object_open_given(images->tips, name, &st, &why)
		     : store_object_open(images->tips, name, false, &st, &why);
	if (fd < 0 && !why)
		return err_set(err, -ENOENT, "tip %s in %s", name,
			       images->folder);
	if (fd >= 0 && (uint64_t)st.st_size > TIP_BYTES_MOST)
		why = "it is too long";
	if (!why) {
		char *room = buf_room(data, (size_t)st.st_size);

		if (!room)
			return err_set(err, -ENOMEM, "read tip %s", name);
		if (fd_read_all(fd, room, (size_t)st.st_size, err) < 0)
			return err_wrap(err, "read tip %s", name);
		buf_used(data, (size_t)st.st_size);
		why = tip_check(data->data, data->len);
	}
	return why ? err_set(err, -EBADMSG, "tip %s/tips/%s: %s",
			     images->folder, name, why)
		   : 0;
}

static int tip_take(struct tip *tip, const char *name, const struct buf *data,
		    struct err *err)
{
	const struct tip_header *head = (const void *)data->data;
	size_t bytes = head->run_count * sizeof(*tip->runs);

	*tip = TIP_EMPTY;
	memcpy(tip->name, name, strlen(name) + 1);
	tip->ram_bytes = head->ram_bytes;
	tip->has_working = head->has_working;
	memcpy(tip->shape, head->shape, LAYER_ID);
	memcpy(tip->id, head->id, LAYER_ID);
	tip->run_count = head->run_count;
	tip->runs = malloc(bytes);
	tip->words = strndup((const char *)(tip_runs(head) + head->run_count),
			     head->words_bytes);
	if (!tip->runs || !tip->words) {
		tip_close(tip);
		return err_set(err, -ENOMEM, "read tip %s", name);
	}
	memcpy(tip->runs, tip_runs(head), bytes);
	return 0;
}

int tip_read(const struct images *images, const char *name, struct tip *tip,
	     struct tip_ids *ids, struct err *err)
{
	auto_buf struct buf data = { 0 };
	const struct tip_header *head;
	int rc = tip_load(images, name, &data, err);

	*tip = TIP_EMPTY;
	if (rc >= 0)
		rc = tip_take(tip, name, &data, err);
	if (rc < 0)
		return rc;
	head = (const void *)data.data;
	ids->layer_count = head->layer_count;
	ids->disk_count = head->disk_count;
	memcpy(ids->layers, tip_layers(head), head->layer_count * LAYER_ID);
	memcpy(ids->disks, tip_layers(head) + head->layer_count,
	       head->disk_count * LAYER_ID);
	memcpy(ids->state, head->state, LAYER_ID);
	return 0;
}

/* ---- chains -------------------------------------------------------------- */

/* Does the layer go on top of what is there?  CLAIM 2.11: a difference, on
 * its own parent alone. */
static int tip_fits(const struct tip *tip, const struct layer *layer,
		    struct err *err)
{
	const struct layer_header *head = &layer->head;
	const struct layer *below =
		tip->layer_count ? &tip->layers[tip->layer_count - 1] : NULL;

	if (tip->layer_count == LAYER_DEPTH_MOST) {
		err_set(err, -EINVAL,
			"a chain of more than %d layers; \"brood image fold\" "
			"makes one of them",
			LAYER_DEPTH_MOST);
		return -E2BIG;
	}
	if (!below)
		return head->kind == LAYER_BASE
			       ? 0
			       : err_set(err, -EINVAL, "layer %.16s is no base",
					 layer->hex);
	if (tip->has_working)
		return err_set(err, -EINVAL,
			       "layer %.16s stands on a working set",
			       layer->hex);
	if (memcmp(head->parent, below->head.id, LAYER_ID) != 0) {
		char parent[STORE_HEX + 1];

		store_hex(head->parent, LAYER_ID, parent);
		return err_set(err, -EINVAL,
			       "layer %.16s is a difference to %.16s, not to "
			       "%.16s",
			       layer->hex, parent, below->hex);
	}
	if (head->ram_bytes < below->head.ram_bytes)
		return err_set(err, -EINVAL,
			       "layer %.16s has %lu bytes of memory, its "
			       "parent %lu",
			       layer->hex, (unsigned long)head->ram_bytes,
			       (unsigned long)below->head.ram_bytes);
	if (memcmp(head->shape, below->head.shape, LAYER_ID) != 0)
		return err_set(err, -EINVAL,
			       "layer %.16s is of a machine of another shape "
			       "than its parent",
			       layer->hex);
	return 0;
}

static int tip_add(struct tip *tip, struct layer *layer, struct err *err)
{
	int rc = tip_fits(tip, layer, err);

	if (rc < 0)
		return rc;
	if (!tip->layer_count)
		memcpy(tip->shape, layer->head.shape, LAYER_ID);
	tip->ram_bytes = layer->head.ram_bytes;
	tip->has_working = layer->head.kind == LAYER_WORKING;
	log_event("image.use", "\"number\":%u,\"id\":\"%s\"", tip->layer_count,
		  layer->hex);
	tip->layers[tip->layer_count++] = *layer;
	*layer = LAYER_NONE;
	return 0;
}

static int tip_add_id(const struct images *images, struct tip *tip,
		      const uint8_t id[LAYER_ID], struct err *err)
{
	struct layer layer;
	int rc = layer_open(images, id, &layer, err);

	if (rc < 0)
		return rc;
	rc = tip_add(tip, &layer, err);
	layer_close(&layer);
	return rc;
}

static int tip_set_runs(struct tip *tip, struct err *err)
{
	free(tip->runs);
	tip->runs = NULL;
	return runs_of(tip->layers, tip->layer_count, &tip->runs,
		       &tip->run_count, err);
}

int tip_compose(const struct images *images, const uint8_t (*ids)[LAYER_ID],
		uint32_t count, struct tip *tip, struct err *err)
{
	int rc = 0;

	*tip = TIP_EMPTY;
	for (uint32_t i = 0; rc >= 0 && i < count; i++)
		rc = tip_add_id(images, tip, ids[i], err);
	if (rc >= 0)
		rc = tip->layer_count
			     ? tip_set_runs(tip, err)
			     : err_set(err, -EINVAL, "a chain without layers");
	if (rc < 0)
		tip_close(tip);
	return rc;
}

/* A layer that cannot be put on top stays its caller's, the tip as it was. */
int tip_push(struct tip *tip, struct layer *layer, struct err *err)
{
	bool had_working = tip->has_working;
	uint64_t ram_bytes = tip->ram_bytes;
	struct tip_run *runs = NULL;
	uint32_t count;
	int rc = tip_add(tip, layer, err);

	if (rc < 0)
		return rc;
	rc = runs_of(tip->layers, tip->layer_count, &runs, &count, err);
	if (rc < 0) {
		*layer = tip->layers[--tip->layer_count];
		tip->has_working = had_working;
		tip->ram_bytes = ram_bytes;
		return rc;
	}
	free(tip->runs);
	tip->runs = runs;
	tip->run_count = count;
	return 0;
}

int tip_pop(struct tip *tip, struct err *err)
{
	if (tip->layer_count < 2)
		return err_set(err, -EINVAL, "a tip without layers");
	layer_close(&tip->layers[--tip->layer_count]);
	tip->has_working = false;
	tip->ram_bytes = tip->layers[tip->layer_count - 1].head.ram_bytes;
	return tip_set_runs(tip, err);
}

/* ---- open ---------------------------------------------------------------- */

/* A tip says what its layers come to; that is believed as far as it stays
 * within their files. */
static int tip_check_files(const struct images *images, const struct tip *tip,
			   struct err *err)
{
	for (uint32_t i = 0; i < tip->run_count; i++) {
		const struct tip_run *run = &tip->runs[i];
		const struct layer_header *head;

		if (run->layer == TIP_ZERO)
			continue;
		head = &tip->layers[run->layer].head;
		if (run->file_at < head->data_at ||
		    run->file_at > head->file_bytes ||
		    run->bytes > head->file_bytes - run->file_at)
			return err_set(err, -EBADMSG,
				       "tip %s/tips/%s: a piece of it is out "
				       "of its layer",
				       images->folder, tip->name);
	}
	return 0;
}

/* A state or a disk of such a machine. */
static int tip_open_file(const struct images *images, const struct tip *tip,
			 enum layer_kind kind, const uint8_t id[LAYER_ID],
			 struct layer *layer, struct err *err)
{
	int rc = layer_open(images, id, layer, err);

	if (rc < 0)
		return rc;
	if (layer->head.kind == kind &&
	    memcmp(layer->head.shape, tip->shape, LAYER_ID) == 0)
		return 0;
	rc = err_set(err, -EBADMSG,
		     "layer %s/%s: it is no %s of such a machine",
		     images->folder, layer->hex,
		     kind == LAYER_DISK ? "disk" : "state");
	layer_close(layer);
	return rc;
}

static int tip_open_files(const struct images *images, struct tip *tip,
			  const struct tip_ids *ids, struct err *err)
{
	int rc = 0;

	if (layer_is_id(ids->state))
		rc = tip_open_file(images, tip, LAYER_STATE, ids->state,
				   &tip->state, err);
	for (uint32_t i = 0; rc >= 0 && i < ids->disk_count; i++) {
		rc = tip_open_file(images, tip, LAYER_DISK, ids->disks[i],
				   &tip->disks[i], err);
		tip->disk_count += rc >= 0;
	}
	return rc;
}

static int tip_open_layers(const struct images *images, struct tip *tip,
			   const struct tip_ids *ids, struct err *err)
{
	uint64_t ram_bytes = tip->ram_bytes;
	bool has_working = tip->has_working;
	uint8_t shape[LAYER_ID];
	int rc = 0;

	memcpy(shape, tip->shape, LAYER_ID);
	tip->has_working = false;
	for (uint32_t i = 0; rc >= 0 && i < ids->layer_count; i++)
		rc = tip_add_id(images, tip, ids->layers[i], err);
	if (rc == -EINVAL)
		err_wrap(err, "tip %s/tips/%s", images->folder, tip->name);
	if (rc < 0)
		return rc;
	if (tip->ram_bytes != ram_bytes || tip->has_working != has_working ||
	    memcmp(tip->shape, shape, LAYER_ID) != 0)
		return err_set(err, -EBADMSG,
			       "tip %s/tips/%s: its layers are of another "
			       "size, kind or shape than it says",
			       images->folder, tip->name);
	return 0;
}

static int tip_try(const struct images *images, const char *name,
		   struct tip *tip, struct err *err)
{
	struct tip_ids ids;
	int rc = tip_read(images, name, tip, &ids, err);

	if (rc < 0)
		return rc;
	rc = tip_open_layers(images, tip, &ids, err);
	if (rc >= 0)
		rc = tip_open_files(images, tip, &ids, err);
	if (rc >= 0)
		rc = tip_check_files(images, tip, err);
	if (rc < 0)
		tip_close(tip);
	return rc;
}

/* CLAIM 2.7 2.9: from a name to its layers, in their order.  Again when
 * something went away between reading its name and leasing it: then the tip
 * has been replaced.  Nothing goes while the lock is held; who may only read
 * this folder has to do without. */
int tip_open(const struct images *images, const char *name, struct tip *tip,
	     struct err *err)
{
	auto_close int lock = -1;
	int rc = tip_try(images, name, tip, err);

	if (rc != -ENOENT || images->tips < 0 ||
	    faccessat(images->tips, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return rc;
	lock = images_lock(images, true, NULL);
	for (int again = 0; rc == -ENOENT && again < (lock < 0 ? 3 : 1);
	     again++)
		rc = tip_try(images, name, tip, err);
	return rc;
}

/* ---- publish ------------------------------------------------------------- */

static void tip_build(struct tip *tip, struct buf *data)
{
	size_t words = tip->words ? strlen(tip->words) : 0;
	struct tip_header head = {
		.magic = TIP_MAGIC,
		.version = LAYER_VERSION,
		.header_bytes = sizeof(head),
		.ram_bytes = tip->ram_bytes,
		.layer_count = tip->layer_count,
		.run_count = tip->run_count,
		.words_bytes = (uint32_t)words,
		.has_working = tip->has_working,
		.disk_count = tip->disk_count,
	};

	head.file_bytes = sizeof(head) +
			  (tip->layer_count + tip->disk_count) * LAYER_ID +
			  tip->run_count * sizeof(*tip->runs) + words;
	memcpy(head.shape, tip->shape, LAYER_ID);
	if (tip->state.fd >= 0)
		memcpy(head.state, tip->state.head.id, LAYER_ID);
	buf_add(data, &head, sizeof(head));
	for (uint32_t i = 0; i < tip->layer_count; i++)
		buf_add(data, tip->layers[i].head.id, LAYER_ID);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		buf_add(data, tip->disks[i].head.id, LAYER_ID);
	buf_add(data, tip->runs, tip->run_count * sizeof(*tip->runs));
	buf_text(data, tip->words ? tip->words : "");
	if (data->failed)
		return;
	tip_hash(data->data, data->len, head.id);
	memcpy(data->data, &head, sizeof(head));
	memcpy(tip->id, head.id, LAYER_ID);
}

/* As objects are written, so that its litter is theirs. */
static int tip_write(const struct images *images, const char *name,
		     const struct buf *data, struct err *err)
{
	struct store_draft draft;
	int rc = store_draft_open(images->tips, &draft, err);

	if (rc >= 0)
		rc = fd_write_all(draft.fd, data->data, data->len, err);
	if (rc >= 0)
		rc = store_draft_sync(&draft, err);
	if (rc >= 0)
		rc = store_draft_replace(images->tips, &draft, name, err);
	store_draft_close(images->tips, &draft);
	return rc;
}

static int tip_check_is(const struct images *images, const char *name,
			const uint8_t id[LAYER_ID], struct err *err)
{
	struct tip_ids ids;
	struct tip now;
	int rc = tip_read(images, name, &now, &ids, err);
	bool same = rc >= 0 && memcmp(now.id, id, LAYER_ID) == 0;

	tip_close(&now);
	if (rc < 0 || same)
		return rc;
	err_set(err, -EINVAL, "tip %s was replaced meanwhile", name);
	return -ESTALE;
}

/* CLAIM 2.5 2.6: from here on the layers are what the name means. */
int tip_publish_over(const struct images *images, struct tip *tip,
		     const char *name, const uint8_t *was, struct err *err)
{
	auto_buf struct buf data = { 0 };
	auto_close int lock = -1;
	const char *why;
	int rc;

	if (!images_is_name(name))
		return err_set(err, -EINVAL,
			       "%.64s is no name of a tip: letters, digits, "
			       "\"._-\", at most 64",
			       name);
	if (images->tips < 0)
		return err_set(err, -ENOENT, "%s/tips", images->folder);
	tip_build(tip, &data);
	if (data.failed)
		return err_set(err, -ENOMEM, "write tip %s", name);
	why = tip_check(data.data, data.len);
	if (why)
		return err_set(err, -EINVAL, "write tip %s: %s", name, why);
	lock = images_lock(images, !was, err);
	if (lock < 0)
		return lock;
	rc = was ? tip_check_is(images, name, was, err) : 0;
	if (rc >= 0)
		rc = tip_write(images, name, &data, err);
	if (rc < 0) {
		err_wrap(err, "write tip %s/tips/%s", images->folder, name);
		return rc;
	}
	memmove(tip->name, name, strlen(name) + 1);
	log_event("image.tip", "\"name\":\"%s\",\"layers\":%u,\"runs\":%u",
		  name, tip->layer_count, tip->run_count);
	return 0;
}

int tip_publish(const struct images *images, struct tip *tip, const char *name,
		struct err *err)
{
	return tip_publish_over(images, tip, name, NULL, err);
}

int tip_remove(const struct images *images, const char *name, struct err *err)
{
	if (!images_is_name(name) || images->tips < 0)
		return err_set(err, -ENOENT, "tip %.64s in %s", name,
			       images->folder);
	if (unlinkat(images->tips, name, 0) < 0)
		return err_set(err, -errno, "tip %s in %s", name,
			       images->folder);
	return 0;
}

/* ---- all of them ----------------------------------------------------------
 */

static int tip_is_shown(const struct dirent *entry)
{
	return images_is_name(entry->d_name);
}

int tip_each(const struct images *images, tip_visit *visit, void *context,
	     struct err *err)
{
	struct dirent **entries;
	int count, rc = 0;

	if (images->tips < 0)
		return 0;
	count = scandirat(images->tips, ".", &entries, tip_is_shown, alphasort);
	if (count < 0)
		return err_set(err, -errno, "look into %s/tips",
			       images->folder);
	for (int i = 0; i < count; i++) {
		if (rc == 0)
			rc = visit(entries[i]->d_name, context);
		free(entries[i]);
	}
	free(entries);
	return rc;
}
