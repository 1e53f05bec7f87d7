/* SPDX-License-Identifier: Apache-2.0 */
/* brood image verify: all bytes against all checksums, and each image's
 * pieces against what its layers come to. */
#include "base/fd.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/runs.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct verify {
	struct image_work *work;
	struct json json;
	struct buf out, seen; /* seen: names of objects, STORE_HEX each */
	struct progress progress;
	int right, wrong;
};

static void verify_tell(struct verify *verify, const struct err *err)
{
	verify->wrong += err->code != 0;
	verify->right += err->code == 0;
	progress_tick(&verify->progress);
	if (!err->code)
		return;
	if (verify->work->words->json)
		json_text(&verify->json, NULL, err->text);
	else
		buf_format(&verify->out, "%s\n", err->text);
}

static bool verify_was_seen(struct verify *verify, const char *hex)
{
	for (size_t at = 0; at < verify->seen.len; at += STORE_HEX)
		if (memcmp(verify->seen.data + at, hex, STORE_HEX) == 0)
			return true;
	buf_add(&verify->seen, hex, STORE_HEX);
	return false;
}

static void verify_object(struct verify *verify, const char *hex)
{
	struct err err = { 0 };

	if (verify_was_seen(verify, hex))
		return;
	layer_verify(&verify->work->images, hex, &err);
	verify_tell(verify, &err);
}

static void verify_id(struct verify *verify, const uint8_t id[LAYER_ID])
{
	char hex[STORE_HEX + 1];

	if (!layer_is_id(id))
		return;
	store_hex(id, LAYER_ID, hex);
	verify_object(verify, hex);
}

/* A tip is believed as to its pieces; here they are found anew. */
static int verify_pieces(const struct tip *tip, struct err *err)
{
	struct tip_run *runs;
	uint32_t count;
	bool same;
	int rc = runs_of(tip->layers, tip->layer_count, &runs, &count, err);

	if (rc < 0)
		return rc;
	same = count == tip->run_count &&
	       memcmp(runs, tip->runs, count * sizeof(*runs)) == 0;
	free(runs);
	return same ? 0
		    : err_set(err, -EBADMSG,
			      "tip %s: its pieces are not what its layers come "
			      "to",
			      tip->name);
}

static int verify_tip(const char *name, void *context)
{
	struct verify *verify = context;
	const struct images *images = &verify->work->images;
	struct tip_ids ids;
	struct err err = { 0 };
	struct tip tip;
	int rc = tip_read(images, name, &tip, &ids, &err);

	tip_close(&tip);
	if (rc >= 0) {
		for (uint32_t i = 0; i < ids.layer_count; i++)
			verify_id(verify, ids.layers[i]);
		for (uint32_t i = 0; i < ids.disk_count; i++)
			verify_id(verify, ids.disks[i]);
		verify_id(verify, ids.state);
		rc = tip_open(images, name, &tip, &err);
		if (rc >= 0)
			verify_pieces(&tip, &err);
		tip_close(&tip);
	}
	verify_tell(verify, &err);
	return 0;
}

static int verify_all(struct verify *verify, struct err *err)
{
	const struct images *images = &verify->work->images;
	int rc = tip_each(images, verify_tip, verify, err);
	auto_close int fd =
		openat(images->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return err_set(err, -errno, "look into %s", images->folder);
	steal_fd(&fd);
	while ((entry = readdir(dir)))
		if (store_is_name(entry->d_name))
			verify_object(verify, entry->d_name);
	closedir(dir);
	return rc;
}

static int verify_work(struct verify *verify, struct err *err)
{
	struct image_work *work = verify->work;

	if (work->name_count == 0 ||
	    (work->name_count == 1 && strcmp(work->names[0], "all") == 0))
		return work->none ? 0 : verify_all(verify, err);
	if (work->none)
		return err_set(err, -ENOENT, "open the store");
	for (int i = 0; i < work->name_count; i++)
		verify_tip(work->names[i], verify);
	return 0;
}

static int verify_print(struct verify *verify)
{
	if (verify->work->words->json) {
		json_list_close(&verify->json);
		json_number(&verify->json, "right", verify->right);
		json_number(&verify->json, "wrong", verify->wrong);
		json_close(&verify->json);
		buf_text(&verify->out, "\n");
	} else {
		buf_format(&verify->out, "%d right, %d wrong\n", verify->right,
			   verify->wrong);
	}
	return image_print(&verify->out);
}

int image_verify_run(struct image_work *work)
{
	struct verify verify = { .work = work };
	struct err err = { 0 };
	int code;

	progress_start(&verify.progress, "verify");
	if (work->words->json) {
		json_start(&verify.json, &verify.out);
		json_open(&verify.json, NULL);
		json_list_open(&verify.json, "problems");
	}
	if (verify_work(&verify, &err) < 0)
		code = cli_fail(&err, NULL);
	else
		code = verify_print(&verify);
	progress_end(&verify.progress);
	buf_fini(&verify.out);
	buf_fini(&verify.seen);
	return code ? code : verify.wrong ? IMAGE_WRONG : 0;
}
