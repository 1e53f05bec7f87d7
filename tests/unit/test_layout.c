/* SPDX-License-Identifier: Apache-2.0 */
/* OCI image layouts: what is written is found again, whatever was there; what
 * a hostile one says is refused with one line. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "layout/index.h"
#include "layout/package.h"
#include "layout/tar.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG "application/x.config"
#define LAYER  "application/x.layer"

static char folder[] = "/tmp/brood-layout-XXXXXX";
static char *dir; /* the layout, below it */

static void begin(void)
{
	file_remove_tree(dir, NULL);
}

static char *in_dir(const char *name)
{
	return file_join(dir, name);
}

static void put_file(const char *name, const char *text)
{
	auto_free char *path = in_dir(name);

	CHECK(file_publish(path, text, strlen(text), 0644, NULL) == 0);
}

static void put_index(const char *text)
{
	put_file("index.json", text);
}

static char *read_file(const char *name)
{
	auto_free char *path = in_dir(name);
	auto_buf struct buf text = { 0 };

	CHECK(file_read(path, &text, 1 << 22, NULL) == 0);
	return buf_steal(&text);
}

static int make(const char *name, const char *config, const char *layer,
		struct err *err)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	const char *const notes[] = { "a=b", "c=\xc3\xbc \"d\"=" };
	struct package package = { .config_kind = CONFIG,
				   .layer_kind = LAYER,
				   .layer_count = 1,
				   .title = "t" };
	int rc = layout_make(dir, &layout, err);

	if (rc >= 0)
		rc = layout_put(&layout, config, strlen(config),
				&package.config, err);
	if (rc >= 0)
		rc = layout_put(&layout, layer, strlen(layer),
				&package.layers[0], err);
	return rc < 0 ? rc
		      : package_set(&layout, name, &package, notes, 2, err);
}

/* Its layer's text; NULL and err where something is refused. */
static char *look(const char *name, struct err *err)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct package package = { .config_kind = CONFIG,
				   .layer_kind = LAYER,
				   .layer_count = 1 };
	auto_buf struct buf text = { 0 };

	err_clear(err);
	if (layout_open(dir, &layout, err) < 0 ||
	    package_find(&layout, name, &package, err) < 0 ||
	    layout_get(&layout, &package.config, "its config", 100, &text,
		       err) < 0)
		return NULL;
	buf_clear(&text);
	return layout_get(&layout, &package.layers[0], "its layer", 100, &text,
			  err) < 0
		       ? NULL
		       : buf_steal(&text);
}

static void refused(const char *name, const char *words)
{
	struct err err = { 0 };
	auto_free char *text = look(name, &err);

	CHECK(!text);
	CHECK(err.code < 0);
	if (!strstr(err.text, words))
		CHECK_TEXT(err.text, words);
	CHECK(!strchr(err.text, '\n'));
}

static void found(const char *name, const char *layer)
{
	struct err err = { 0 };
	auto_free char *text = look(name, &err);

	CHECK_TEXT(text ? text : err.text, layer);
}

/* The manifest of what was made, as an item of an index whose digest, size
 * and kind are those. */
static char *item(const char *digest, const char *size, const char *kind)
{
	return file_format("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
			   "\"%s\",\"digest\":\"%s\",\"size\":%s}]}",
			   kind, digest, size);
}

static void put_item(const char *digest, const char *size, const char *kind)
{
	auto_free char *text = item(digest, size, kind);

	put_index(text);
}

/* text becomes the manifest of the only item. */
static void put_manifest(const char *text)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct layout_blob blob;
	auto_free char *digest = NULL;
	char size[24];

	CHECK(layout_make(dir, &layout, NULL) == 0);
	CHECK(layout_put(&layout, text, strlen(text), &blob, NULL) == 0);
	digest = file_format("sha256:%s", blob.hex);
	snprintf(size, sizeof size, "%lu", (unsigned long)blob.bytes);
	put_item(digest, size, LAYOUT_MANIFEST);
}

/* ---- what is right --------------------------------------------------------------- */

TEST(is_found_again)
{
	struct err err = { 0 };

	begin();
	CHECK_INT(make("one:1", "{}", "first", &err), 0);
	CHECK_TEXT(err.text, "");
	found("one:1", "first");
	found(NULL, "first");
	refused("two", "two in ");
}

TEST(more_names)
{
	begin();
	CHECK_INT(make("one", "{}", "first", NULL), 0);
	CHECK_INT(make("two", "{}", "second", NULL), 0);
	found("one", "first");
	found("two", "second");
	refused(NULL, "has 2 of them: which one?");
	CHECK_INT(make("one", "{}", "third", NULL), 0);
	found("one", "third");
	found("two", "second");
}

TEST(same_bytes)
{
	auto_free char *before = NULL;
	auto_free char *after = NULL;

	begin();
	make("one", "{}", "first", NULL);
	make("two", "{}", "first", NULL);
	before = read_file("index.json");
	make("one", "{}", "first", NULL);
	after = read_file("index.json");
	CHECK_TEXT(after, before);
}

TEST(items_of_others_stay)
{
	auto_free char *text = NULL;
	const char *other = "{\"mediaType\":\"x/y\",\"more\":[1,{}],"
			    "\"annotations\":{\"a.b\":\"c\"}}";
	auto_free char *before = file_format(
		"{\"schemaVersion\":2,\"annotations\":{\"k\":\"v\"},"
		"\"manifests\":[ %s ] }",
		other);

	begin();
	make("one", "{}", "first", NULL);
	put_index(before);
	CHECK_INT(make("two", "{}", "second", NULL), 0);
	text = read_file("index.json");
	CHECK(strstr(text, other));
	CHECK(strstr(text, "\"annotations\":{\"k\":\"v\"}"));
	found("two", "second");
}

TEST(damaged_blobs_are_written_anew)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct layout_blob blob;
	auto_free char *name = NULL;

	begin();
	CHECK_INT(layout_make(dir, &layout, NULL), 0);
	layout_put(&layout, "first", 5, &blob, NULL);
	layout_close(&layout);
	make("one", "{}", "first", NULL);
	name = file_format("blobs/sha256/%s", blob.hex);
	put_file(name, "wrong");
	refused("one", "another digest");
	make("one", "{}", "first", NULL);
	found("one", "first");
}

TEST(what_writers_left)
{
	auto_free char *blobs = in_dir("blobs");
	auto_free char *draft = in_dir("oci-layout.draft.999999999.1");

	begin();
	CHECK_INT(mkdir(dir, 0755), 0);
	CHECK_INT(mkdir(blobs, 0755), 0);
	put_file("oci-layout.draft.999999999.1", "{");
	refused(NULL, "oci-layout: No such file");
	CHECK_INT(make("one", "{}", "first", NULL), 0);
	CHECK(access(draft, F_OK) < 0);
	found("one", "first");
}

TEST(names)
{
	CHECK(index_is_name("hello"));
	CHECK(index_is_name("localhost:5000/a/hello-1_x.y:1"));
	CHECK(!index_is_name(""));
	CHECK(!index_is_name("a/"));
	CHECK(!index_is_name("/a"));
	CHECK(!index_is_name("a//b"));
	CHECK(!index_is_name("../a"));
	CHECK(!index_is_name("a b"));
	CHECK(!index_is_name("a\xc3\xbc"));
}

TEST(annotations)
{
	const struct {
		const char *word[2];
		int rc;
	} list[] = {
		{ { "a=b", "b=" }, 0 },
		{ { "a=b", "a=c" }, -EINVAL },
		{ { "a=b", "aa=c" }, 0 },
		{ { "a=b", "=c" }, -EINVAL },
		{ { "a=b", "c" }, -EINVAL },
		{ { "a=b", "c=\n" }, -EINVAL },
		{ { "a=b", "c=\xc3\xa9\xe2\x82\xac\xf0\x9f\x90\xa3" }, 0 },
		{ { "a=b", "c=\xc3" }, -EINVAL },
		{ { "a=b", "c=\xff" }, -EINVAL },
		{ { "a=b", "c=\xc0\x80" }, -EINVAL },
		{ { "a=b", "c=\xed\xa0\x80" }, -EINVAL },
	};

	for (size_t i = 0; i < sizeof list / sizeof *list; i++)
		CHECK_INT(package_check_annotations(list[i].word, 2, NULL),
			  list[i].rc);
}

TEST(tars)
{
	auto_buf struct buf one = { 0 };
	auto_buf struct buf two = { 0 };
	char name[101];

	memset(name, 'a', 100);
	name[100] = 0;
	CHECK_INT(tar_one("m.wasm", "abc", 3, &one, NULL), 0);
	CHECK_INT(one.len, 4 * 512);
	CHECK(memcmp(one.data + 512, "abc", 4) == 0);
	CHECK_INT(tar_one("m.wasm", one.data, 512, &two, NULL), 0);
	CHECK_INT(two.len, 4 * 512);
	CHECK_INT(tar_one(name, "abc", 3, &two, NULL), -EFBIG);
}

TEST(packages_of_many_layers)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct package package = { .config_kind = CONFIG, .layer_kind = LAYER };
	struct package found = package;
	struct err err = { 0 };
	char text[16];

	begin();
	CHECK_INT(layout_make(dir, &layout, NULL), 0);
	layout_put(&layout, "{}", 2, &package.config, NULL);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof text, "layer %d", i);
		layout_put(&layout, text, strlen(text),
			   &package.layers[package.layer_count++], NULL);
	}
	CHECK_INT(package_set(&layout, "five", &package, NULL, 0, NULL), 0);
	found.layer_count = PACKAGE_LAYERS_MOST;
	CHECK_INT(package_find(&layout, "five", &found, NULL), 0);
	CHECK_INT(found.layer_count, 5);
	for (int i = 0; i < 5; i++)
		CHECK_TEXT(found.layers[i].hex, package.layers[i].hex);
	found.layer_count = 4;
	CHECK_INT(package_find(&layout, "five", &found, &err), -EINVAL);
	CHECK(strstr(err.text, "layers more"));
	package.layer_count = 0;
	CHECK_INT(package_set(&layout, "none", &package, NULL, 0, NULL), 0);
	found.layer_count = 4;
	CHECK_INT(package_find(&layout, "none", &found, &err), -EINVAL);
	CHECK(strstr(err.text, "its layer is no"));
}

TEST(blobs_whose_digest_comes_last)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct layout_blob blob, same;
	struct file_draft draft;
	auto_buf struct buf text = { 0 };
	uint8_t sum[32];
	struct err err = { 0 };
	int fd;

	begin();
	sha256_of("first", 5, sum);
	CHECK_INT(layout_make(dir, &layout, NULL), 0);
	for (int there = 0; there < 2; there++) {
		CHECK_INT(layout_draft_open(&layout, &draft, NULL), 0);
		CHECK_INT(fd_write_all(draft.fd, "first", 5, NULL), 0);
		CHECK_INT(layout_draft_put(&layout, &draft, sum, 5, &blob,
					   NULL),
			  there);
		file_draft_close(&draft);
	}
	layout_put(&layout, "first", 5, &same, NULL);
	CHECK_TEXT(blob.hex, same.hex);
	CHECK_INT(layout_get(&layout, &blob, "it", 5, &text, NULL), 0);
	CHECK_TEXT(buf_string(&text), "first");
	fd = layout_open_blob(&layout, &blob, "it", NULL);
	CHECK(fd >= 0);
	close(fd);
	CHECK_INT(layout_check_sum(&blob, "it", sum, NULL), 0);
	sum[31] ^= 1;
	CHECK_INT(layout_check_sum(&blob, "it", sum, &err), -EBADMSG);
	CHECK(strstr(err.text, "it: blob"));
	blob.bytes = 4;
	CHECK_INT(layout_open_blob(&layout, &blob, "it", &err), -EINVAL);
}

/* ---- what is not ------------------------------------------------------------------ */

TEST(folders_of_something_else)
{
	auto_free char *path = in_dir("mine");
	struct err err = { 0 };

	begin();
	mkdir(dir, 0755);
	put_file("mine", "x");
	CHECK_INT(make("one", "{}", "first", &err), -EINVAL);
	CHECK(strstr(err.text, "not empty: it has mine"));
	CHECK_INT(unlink(path), 0);
	CHECK_INT(rmdir(dir), 0);
}

TEST(versions)
{
	begin();
	make("one", "{}", "first", NULL);
	put_file("oci-layout", "{\"imageLayoutVersion\":\"2.0.0\"}");
	refused("one", "no OCI layout of version 1.0.0");
	CHECK_INT(make("two", "{}", "first", NULL), -EINVAL);
	put_file("oci-layout", "[{}]");
	refused("one", "no JSON object");
	put_file("oci-layout", "");
	refused("one", "malformed");
}

TEST(indexes)
{
	const char *const wrong[][2] = {
		{ "", "malformed" },
		{ "{", "malformed" },
		{ "{}", "schemaVersion" },
		{ "{\"schemaVersion\":1,\"manifests\":[]}", "schemaVersion" },
		{ "{\"schemaVersion\":2}", "no list" },
		{ "{\"schemaVersion\":2,\"manifests\":{}}", "no list" },
		{ "{\"schemaVersion\":2,\"manifests\":[]}", "an artifact in " },
		{ "{\"schemaVersion\":2,\"manifests\":[7]}", "no manifest" },
		{ "{\"schemaVersion\":2,\"manifests\":[{}]}", "no manifest" },
	};

	begin();
	make("one", "{}", "first", NULL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		put_index(wrong[i][0]);
		refused(NULL, wrong[i][1]);
	}
}

TEST(descriptors)
{
	static const char hex[] = "00000000000000000000000000000000"
				  "00000000000000000000000000000000";
	auto_free char *good = file_format("sha256:%s", hex);
	auto_free char *upper = file_format("sha256:A%s", hex + 1);
	auto_free char *more = file_format("sha256:%s/", hex);
	auto_free char *other = file_format("sha512:%s", hex);
	const char *const wrong[] = {
		"",	     "sha256:", "sha256:../../../../etc/passwd",
		upper,	     more,	other,
		"sha256:..", hex,
	};

	begin();
	make("one", "{}", "first", NULL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		put_item(wrong[i], "5", LAYOUT_MANIFEST);
		refused(NULL, "no digest sha256:HEX");
	}
	put_item(good, "-1", LAYOUT_MANIFEST);
	refused(NULL, "no size");
	put_item(good, "\"5\"", LAYOUT_MANIFEST);
	refused(NULL, "no size");
	put_item(good, "5", LAYOUT_MANIFEST);
	refused(NULL, "No such file");
	put_item(good, "99999999999999999999999", LAYOUT_MANIFEST);
	refused(NULL, "too large");
	put_item(good, "5", "application/vnd.oci.image.index.v1+json");
	refused(NULL, "an index within an index");
}

TEST(manifests)
{
	const char *const wrong[][2] = {
		{ "nothing", "the manifest: JSON: malformed" },
		{ "[{}]", "the manifest is no JSON object" },
		{ "{}", "none of OCI" },
		{ "{\"schemaVersion\":2}", "its config is no " CONFIG },
		{ "{\"schemaVersion\":2,\"mediaType\":\"x\"}", "none of OCI" },
		{ "{\"schemaVersion\":2,\"config\":7}", "its config is no" },
		{ "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" CONFIG
		  "\"}}",
		  "its config has no digest" },
	};

	begin();
	make("one", "{}", "first", NULL);
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		put_manifest(wrong[i][0]);
		refused(NULL, wrong[i][1]);
	}
}

TEST(deep_and_long)
{
	auto_free char *deep = malloc(200001);
	auto_buf struct buf many = { 0 };
	auto_free char *large = malloc(LAYOUT_JSON_MOST + 2);

	memset(deep, '[', 200000);
	deep[200000] = 0;
	begin();
	make("one", "{}", "first", NULL);
	put_index(deep);
	refused(NULL, "malformed");
	put_manifest(deep);
	refused(NULL, "the manifest: JSON: malformed");
	memset(large, ' ', LAYOUT_JSON_MOST + 1);
	large[LAYOUT_JSON_MOST + 1] = 0;
	put_index(large);
	refused(NULL, "too large");
	put_manifest(large);
	refused(NULL, "too large");
	buf_text(&many, "{\"schemaVersion\":2,\"manifests\":[{}");
	for (int i = 0; i < INDEX_ENTRIES_MOST; i++)
		buf_text(&many, ",{}");
	buf_text(&many, "]}");
	put_index(many.data);
	refused(NULL, "too many manifests");
	many.data[many.len - 5] = ' '; /* one ,{} less */
	many.data[many.len - 4] = ' ';
	many.data[many.len - 3] = ' ';
	put_index(many.data);
	refused(NULL, "has 1024 of them");
	CHECK_INT(make("two", "{}", "first", NULL), -EINVAL);
	refused(NULL, "has 1024 of them");
}

TEST(links_and_kinds)
{
	auto_free char *index = in_dir("index.json");
	auto_free char *mark = in_dir("oci-layout");
	auto_free char *blobs = in_dir("blobs");
	auto_free char *away = file_join(folder, "away");
	auto_free char *moved = file_join(folder, "moved");

	begin();
	make("one", "{}", "first", NULL);
	CHECK_INT(rename(index, away), 0);
	CHECK_INT(symlink(away, index), 0);
	refused("one", "index.json");
	CHECK_INT(make("two", "{}", "first", NULL), -ELOOP);
	unlink(index);
	CHECK_INT(mkfifo(index, 0600), 0);
	refused("one", "is no file");
	CHECK_INT(rename(away, index), 0);
	found("one", "first");
	CHECK_INT(rename(blobs, moved), 0);
	CHECK_INT(symlink(moved, blobs), 0);
	refused("one", "blobs");
	CHECK(make("two", "{}", "first", NULL) < 0);
	unlink(blobs);
	CHECK_INT(rename(moved, blobs), 0);
	CHECK_INT(rename(mark, away), 0);
	CHECK_INT(symlink(away, mark), 0);
	refused("one", "oci-layout");
	unlink(away);
}

TEST(blobs)
{
	auto_layout struct layout layout = LAYOUT_NONE;
	struct layout_blob blob;
	auto_free char *name = NULL;
	auto_free char *path = NULL;
	auto_free char *away = file_join(folder, "away");

	begin();
	make("one", "{}", "first", NULL);
	CHECK_INT(layout_open(dir, &layout, NULL), 0);
	layout_put(&layout, "first", 5, &blob, NULL);
	name = file_format("blobs/sha256/%s", blob.hex);
	path = in_dir(name);
	put_file(name, "firsT");
	refused("one", "its layer: blob ");
	refused("one", "another digest");
	put_file(name, "first and more");
	refused("one", "has 14 bytes, and should have 5");
	CHECK_INT(rename(path, away), 0);
	refused("one", "No such file");
	CHECK_INT(symlink(away, path), 0);
	refused("one", "its layer: blob ");
	unlink(path);
	CHECK_INT(mkfifo(path, 0600), 0);
	refused("one", "is no file");
	unlink(path);
	CHECK_INT(mkdir(path, 0700), 0);
	refused("one", "is no file");
	CHECK(make("two", "{}", "first", NULL) < 0);
	unlink(away);
}

int main(int argc, char **argv)
{
	int rc;

	if (!mkdtemp(folder))
		return 111;
	dir = file_join(folder, "layout");
	rc = test_main(argc, argv);
	file_remove_tree(folder, NULL);
	free(dir);
	return rc;
}
