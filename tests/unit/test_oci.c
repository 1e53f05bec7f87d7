/* SPDX-License-Identifier: Apache-2.0 */
/* The OCI runtime's reader, decision, rewriter and records: JSON in, JSON out,
 * and what a hostile bundle may try. */
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "oci/oci_bundle.h"
#include "oci/oci_edit.h"
#include "oci/oci_inside.h"
#include "oci/oci_kind.h"
#include "oci/oci_record.h"
#include "oci/oci_rewrite.h"
#include "oci/oci_words.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(list) ((int)(sizeof(list) / sizeof(*(list))))

/* ---- words --------------------------------------------------------------------- */

static struct oci_words read_words(int count, const char *const *word)
{
	struct oci_words words;

	oci_words_read(&words, count, (char **)word);
	return words;
}
#define WORDS(...)                                                \
	read_words(COUNT(((const char *const[]){ __VA_ARGS__ })), \
		   (const char *const[]){ __VA_ARGS__, NULL })

TEST(words_of_containerd)
{
	struct oci_words words =
		WORDS("brood-oci", "--root", "/run/r", "--log", "/l.json",
		      "--log-format", "json", "create", "--bundle", "/b",
		      "--pid-file", "/b/pid", "c1");

	CHECK_TEXT(words.root, "/run/r");
	CHECK_TEXT(words.log, "/l.json");
	CHECK(words.json);
	CHECK_TEXT(words.command, "create");
	CHECK_TEXT(words.bundle, "/b");
	CHECK_INT(words.bundle_at, 9);
	CHECK_TEXT(words.id, "c1");
	CHECK(!words.help && !words.version);
}

TEST(words_in_other_forms)
{
	struct oci_words words =
		WORDS("o", "-log=/x", "--systemd-cgroup", "--debug", "create",
		      "c2", "-b=/b", "--no-pivot", "--preserve-fds", "2");

	CHECK_TEXT(words.log, "/x");
	CHECK(!words.json);
	CHECK_TEXT(words.command, "create");
	CHECK_TEXT(words.id, "c2");
	CHECK_TEXT(words.bundle, "/b");
	CHECK_INT(words.bundle_at, 6);
}

TEST(words_of_exec_end_at_the_id)
{
	struct oci_words words =
		WORDS("o", "exec", "--cwd", "/w", "-e", "A=1", "--process",
		      "/p", "c3", "--process", "/other", "--version");

	CHECK_TEXT(words.id, "c3");
	CHECK_TEXT(words.process, "/p");
	CHECK_TEXT(words.cwd, "/w");
	CHECK(!words.version);
}

TEST(words_that_are_not_there)
{
	struct oci_words words = WORDS("o", "--root");

	CHECK(!words.root && !words.command && !words.id);
	words = WORDS("o", "--version");
	CHECK(words.version);
	words = WORDS("o", "create", "--bundle");
	CHECK(!words.bundle && words.bundle_at == 0);
	words = WORDS("o");
	CHECK(!words.command);
}

TEST(words_are_changed_in_their_form)
{
	static const char *const word[] = { "o", "create", "--bundle=/b", "c",
					    NULL };
	struct oci_words words = read_words(4, word);
	char *own = NULL, **to = oci_words_change(&words, "/runc",
						  words.bundle_at, "/n", &own);

	CHECK_TEXT(to[0], "/runc");
	CHECK_TEXT(to[2], "--bundle=/n");
	CHECK_TEXT(to[3], "c");
	CHECK(!to[4]);
	to = oci_words_insert(to, 4, 2, "--x", "y");
	CHECK_TEXT(to[1], "create");
	CHECK_TEXT(to[2], "--x");
	CHECK_TEXT(to[3], "y");
	CHECK_TEXT(to[5], "c");
	CHECK(!to[6]);
	free(own);
	free(to);
}

TEST(ids)
{
	static const char *const good[] = { "a", "A-9_+.x", "0" };
	static const char *const bad[] = { "",	  ".",	 "..",	"../x",	   ".x",
					   "a/b", "a b", "a\n", "\xc3\xbc" };
	char long_id[300];

	for (int i = 0; i < COUNT(good); i++)
		CHECK_INT(oci_words_check_id(good[i], NULL), 0);
	for (int i = 0; i < COUNT(bad); i++)
		CHECK_INT(oci_words_check_id(bad[i], NULL), -EINVAL);
	CHECK_INT(oci_words_check_id(NULL, NULL), -EINVAL);
	memset(long_id, 'a', sizeof long_id);
	long_id[256] = 0;
	CHECK_INT(oci_words_check_id(long_id, NULL), -EINVAL);
	long_id[255] = 0;
	CHECK_INT(oci_words_check_id(long_id, NULL), 0);
}

/* ---- edits ----------------------------------------------------------------------- */

static void edited(const char *from, bool add, const char *path,
		   const char *key, const char *value, const char *to)
{
	auto_buf struct buf text = { 0 };
	int rc;

	buf_text(&text, from);
	rc = add ? oci_edit_add(&text, path, key, value, NULL)
		 : oci_edit_set(&text, path, key, value, NULL);
	CHECK_INT(rc < 0, to == NULL);
	if (!to)
		return;
	CHECK_TEXT(buf_string(&text), to);
	CHECK_INT(json_check(text.data, text.len, NULL), 0);
}

TEST(members_are_set)
{
	edited("{}", false, "", "a", "1", "{\"a\":1}");
	edited("{ }", false, "", "a", "1", "{\"a\":1 }");
	edited("{\"b\":2}", false, "", "a", "1", "{\"a\":1,\"b\":2}");
	edited("{\"a\":[2] ,\"b\":2}", false, "", "a", "1",
	       "{\"a\":1 ,\"b\":2}");
	edited("{\"a\":{\"b\":{}}}", false, "a.b", "c", "true",
	       "{\"a\":{\"b\":{\"c\":true}}}");
	edited("{}", false, "a.b", "c", "1", "{\"a\":{\"b\":{\"c\":1}}}");
	edited("{\"a\":null}", false, "a", "c", "1", "{\"a\":{\"c\":1}}");
	edited("{\"a\":7}", false, "a", "c", "1", NULL);
	edited("{\"a\":7}", false, "a.b", "c", "1", NULL);
	edited("[]", false, "", "c", "1", NULL);
}

TEST(items_are_added)
{
	edited("{\"l\":[]}", true, "", "l", "1", "{\"l\":[ 1]}");
	edited("{\"l\":[0]}", true, "", "l", "1", "{\"l\":[0,1]}");
	edited("{\"l\":null}", true, "", "l", "1", "{\"l\":[1]}");
	edited("{}", true, "", "l", "{}", "{\"l\":[{}]}");
	edited("{}", true, "x.y", "l", "1", "{\"x\":{\"y\":{\"l\":[1]}}}");
	edited("{\"l\":{}}", true, "", "l", "1", NULL);
	edited("{\"l\":\"\"}", true, "", "l", "1", NULL);
}

/* ---- bundles --------------------------------------------------------------------- */

static char place[64];

static void make_place(void)
{
	snprintf(place, sizeof place, "/tmp/brood-oci.XXXXXX");
	CHECK(mkdtemp(place) != NULL);
}

static void drop_place(void)
{
	CHECK_INT(file_remove_tree(place, NULL), 0);
}

static void put(const char *name, const void *data, size_t len)
{
	auto_free char *path = file_join(place, name);
	auto_free char *folder = strdup(path);

	*strrchr(folder, '/') = 0;
	CHECK_INT(file_make_dirs(folder, 0755, NULL), 0);
	CHECK_INT(file_replace(path, data, len, 0644, NULL), 0);
}

static void put_link(const char *to, const char *name)
{
	auto_free char *path = file_join(place, name);

	CHECK_INT(symlink(to, path), 0);
}

static const char magic[] = "\0asm\1\0\0\0";

static int open_bundle(struct oci_bundle *bundle, const char *config,
		       size_t len, struct err *err)
{
	put("root/etc/text", "text", 4);
	put("root/app.wasm", magic, sizeof magic - 1);
	put("root/bin/tool", magic, sizeof magic - 1);
	put("config.json", config, len);
	return oci_bundle_open(bundle, place, err);
}

static void refused(const char *config, size_t len, const char *words)
{
	struct err err = { 0 };
	auto_bundle struct oci_bundle bundle;
	auto_free char *told = NULL;

	make_place();
	CHECK(open_bundle(&bundle, config, len, &err) < 0);
	if (!strstr(err.text, words))
		CHECK_TEXT(err.text, words);
	drop_place();
}

TEST(bundles_that_are_none)
{
	static const char *const texts[][2] = {
		{ "", "malformed" },
		{ "[]", "it is no object" },
		{ "7", "it is no object" },
		{ "{\"root\":", "malformed" },
		{ "{}", "root.path is missing" },
		{ "{\"root\":{\"path\":7}}", "root.path is no text" },
		{ "{\"root\":{\"path\":\"root\\u0000x\"}}", "is no text" },
		{ "{\"root\":{\"path\":\"none\"}}", "No such file" },
	};

	for (int i = 0; i < COUNT(texts); i++)
		refused(texts[i][0], strlen(texts[i][0]), texts[i][1]);
}

TEST(bundles_that_are_deep_or_large)
{
	size_t len = OCI_CONFIG_MOST + 1;
	char *text = malloc(len);

	memset(text, '[', len);
	refused(text, 1000, "malformed");
	memset(text, ' ', len);
	refused(text, len, "too large");
	free(text);
}

TEST(a_bundle_that_is_a_pipe)
{
	auto_bundle struct oci_bundle bundle;
	auto_free char *path = NULL;
	struct err err = { 0 };

	make_place();
	path = file_join(place, "config.json");
	CHECK_INT(mkfifo(path, 0600), 0);
	CHECK(oci_bundle_open(&bundle, place, &err) < 0);
	CHECK(strstr(err.text, "not a regular file"));
	drop_place();
}

TEST(processes_are_read)
{
	static const char json[] =
		"{\"process\":{\"args\":[\"a\",\"b\"],\"cwd\":\"/w\","
		"\"env\":[\"A=1\",\"PATH=/x\",\"PATH=/y:/z\",\"B\"]}}";
	auto_process struct oci_process process;

	CHECK_INT(oci_process_read(json, "process", &process, NULL), 0);
	CHECK_TEXT(process.program, "a");
	CHECK_TEXT(process.cwd, "/w");
	CHECK_TEXT(process.search, "/y:/z");
}

TEST(processes_that_say_nothing)
{
	auto_process struct oci_process process;

	CHECK_INT(oci_process_read("{}", "process", &process, NULL), 0);
	CHECK(!process.program && !process.search);
	CHECK_TEXT(process.cwd, "/");
	oci_process_fini(&process);
	CHECK_INT(oci_process_read("{\"args\":{},\"env\":7}", "", &process,
				   NULL),
		  0);
	CHECK(!process.program);
	oci_process_fini(&process);
	CHECK_INT(oci_process_read("{\"args\":[7]}", "", &process, NULL),
		  -EPROTO);
}

/* ---- names inside ------------------------------------------------------------------ */

static int look_inside(const char *json, const char *program, const char *cwd,
		       const char *search, char **name)
{
	auto_free char *path = file_join(place, "root");
	auto_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct oci_process process = { .program = (char *)program,
				       .cwd = (char *)cwd,
				       .search = (char *)search };
	struct err err = { 0 };

	return oci_inside_open(root, json, &process, name, &err);
}

static void found(const char *program, const char *cwd, const char *search,
		  const char *wanted)
{
	auto_free char *name = NULL;
	auto_close int fd = look_inside(NULL, program, cwd, search, &name);

	CHECK_INT(fd >= 0, wanted != NULL);
	if (wanted && fd >= 0)
		CHECK_TEXT(name, wanted);
}

static void make_inside(void)
{
	make_place();
	put("outside", "secret", 6);
	put("root/app.wasm", magic, sizeof magic - 1);
	put("root/bin/tool", magic, sizeof magic - 1);
	put("root/outside", "ours", 4);
	put_link("../../../outside", "root/up");
	put_link("/outside", "root/abs");
	put_link("loop", "root/loop");
	put_link("/proc/self/fd/0", "root/magic");
}

TEST(names_are_those_inside)
{
	make_inside();
	found("/app.wasm", "/", NULL, "/app.wasm");
	found("//app.wasm", "/", NULL, "/app.wasm");
	found("./app.wasm", "/", NULL, "/./app.wasm");
	found("../app.wasm", "/bin/", NULL, "/bin/../app.wasm");
	found("tool", "/", "/none:/bin", "/bin/tool");
	found("tool", "/bin", NULL, "/bin/tool");
	found("app.wasm", "/", "/bin", "/app.wasm");
	found("tool", "/", "", NULL);
	found("/none", "/", NULL, NULL);
	found("/bin", "/", NULL, NULL);
	found("", "/", NULL, NULL);
	found(NULL, "/", NULL, NULL);
	drop_place();
}

/* All ways out lead to the file inside. */
TEST(names_do_not_lead_out)
{
	static const char *const ways[] = { "/up", "/abs", "/../../outside",
					    "../../../../outside" };
	char bytes[8] = { 0 };

	make_inside();
	for (int i = 0; i < COUNT(ways); i++) {
		auto_free char *name = NULL;
		auto_close int fd =
			look_inside(NULL, ways[i], "/bin", NULL, &name);

		CHECK(fd >= 0 && read(fd, bytes, sizeof bytes) == 4);
		CHECK_TEXT(bytes, "ours");
	}
	found("/loop", "/", NULL, NULL);
	found("/magic", "/", NULL, NULL);
	drop_place();
}

TEST(no_device_and_no_pipe_is_opened)
{
	auto_free char *path = NULL;

	make_inside();
	path = file_join(place, "root/pipe");
	CHECK_INT(mkfifo(path, 0600), 0);
	found("/pipe", "/", NULL, NULL);
	drop_place();
}

TEST(what_is_mounted_over_a_name_counts)
{
	auto_free char *json = NULL, *name = NULL;
	auto_close int fd = -1;

	make_inside();
	put("volume/in/other", magic, sizeof magic - 1);
	json = file_format("{\"mounts\":[{\"destination\":\"/data\","
			   "\"source\":\"/none\"},{\"destination\":\"/data/\","
			   "\"source\":\"%s/volume\"}]}",
			   place);
	fd = look_inside(json, "/data/in/other", "/", NULL, &name);
	CHECK(fd >= 0 && oci_inside_is_module(fd));
	free(steal_ptr(&name));
	fd_close(&fd);
	fd = look_inside(json, "/data/../../../etc/passwd", "/", NULL, &name);
	CHECK(fd < 0);
	fd = look_inside(json, "/app.wasm", "/", NULL, &name);
	CHECK(fd >= 0);
	drop_place();
}

static bool has_folder(const char *json, const char *cwd, const char *name)
{
	struct oci_process process = { .cwd = (char *)cwd };
	auto_free char *path = file_join(place, "root");
	auto_close int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return oci_inside_has_folder(root, json, &process, name);
}

TEST(folders_are_found)
{
	auto_free char *json = NULL;

	make_inside();
	put("volume/in/other", magic, sizeof magic - 1);
	json = file_format("{\"mounts\":[{\"destination\":\"/data\","
			   "\"type\":\"bind\",\"source\":\"%s/volume\"},"
			   "{\"destination\":\"/run/a/b\",\"type\":\"tmpfs\","
			   "\"source\":\"tmpfs\"}]}",
			   place);
	CHECK(has_folder(json, "/", "/"));
	CHECK(has_folder(json, "/", "/data"));
	CHECK(has_folder(json, "/", "/data/in"));
	CHECK(has_folder(json, "/data", "in"));
	CHECK(has_folder(json, "/", "/run/a"));
	CHECK(has_folder(json, "/", "/run/a/b/later"));
	CHECK(has_folder("{}", "/", "/bin"));
	CHECK(has_folder("{}", "/bin", "."));
	CHECK(!has_folder(json, "/", "/data/none"));
	CHECK(!has_folder(json, "/", "/data/in/other"));
	CHECK(!has_folder("{}", "/", "/data"));
	CHECK(!has_folder("{}", "/", "/run/a"));
	CHECK(!has_folder("{}", "/", "/app.wasm"));
	drop_place();
}

/* ---- kinds --------------------------------------------------------------------------- */

#define MODULE	"/app.wasm"
#define PROGRAM "/etc/text"

static void decided(const char *program, const char *annotations, int kind,
		    const char *words)
{
	auto_free char *config = file_format(
		"{\"root\":{\"path\":\"root\"},\"process\":{\"args\":[\"%s\"]},"
		"\"annotations\":{%s}}",
		program, annotations);
	auto_bundle struct oci_bundle bundle;
	auto_decision struct oci_decision decision = { .module = -1 };
	struct err err = { 0 };
	int rc;

	make_place();
	CHECK_INT(open_bundle(&bundle, config, strlen(config), &err), 0);
	rc = oci_decide(&bundle, &decision, &err);
	if (!words)
		CHECK_TEXT(err.text, "");
	else if (!strstr(err.text, words))
		CHECK_TEXT(err.text, words);
	CHECK_INT(rc < 0, words != NULL);
	if (!words)
		CHECK_INT(decision.kind, kind);
	if (!words)
		CHECK_INT(decision.module >= 0,
			  kind == OCI_MODULE || kind == OCI_DOMAIN);
	if (!words && kind == OCI_TIP)
		CHECK_TEXT(decision.name, "warm-1");
	drop_place();
}

TEST(kinds)
{
	decided(MODULE, "", OCI_MODULE, NULL);
	decided(PROGRAM, "", OCI_ORDINARY, NULL);
	decided("/none", "", OCI_ORDINARY, NULL);
	decided(MODULE, "\"brood.kind\":\"module\"", OCI_MODULE, NULL);
	decided(MODULE, "\"brood.kind\":\"domain\"", OCI_DOMAIN, NULL);
	decided(MODULE, "\"brood.kind\":\"program\"", OCI_ORDINARY, NULL);
	decided(PROGRAM,
		"\"brood.isolation\":\"domain\","
		"\"io.kubernetes.cri.container-type\":\"sandbox\"",
		OCI_ORDINARY, NULL);
	decided(PROGRAM,
		"\"brood.kind\":\"module\","
		"\"io.kubernetes.cri-o.ContainerType\":\"sandbox\"",
		OCI_ORDINARY, NULL);
	decided(MODULE,
		"\"brood.kind\":\"module\","
		"\"io.kubernetes.cri.container-type\":\"container\"",
		OCI_MODULE, NULL);
	decided(MODULE, "\"brood.isolation\":\"domain\"", OCI_DOMAIN, NULL);
	decided(MODULE, "\"brood.isolation\":\"process\"", OCI_MODULE, NULL);
	decided(PROGRAM, "\"brood.isolation\":\"process\"", OCI_ORDINARY, NULL);
	decided(MODULE,
		"\"brood.kind\":\"module\",\"brood.isolation\":\"domain\"",
		OCI_DOMAIN, NULL);
	decided(MODULE, "\"module.wasm.image/variant\":\"compat\"", OCI_MODULE,
		NULL);
	decided(PROGRAM, "\"module.wasm.image/variant\":\"compat-smart\"",
		OCI_ORDINARY, NULL);
	decided(PROGRAM, "\"module.wasm.image/variant\":\"else\"", OCI_ORDINARY,
		NULL);
	decided(PROGRAM, "\"brood\":{\"kind\":\"module\"}", OCI_ORDINARY, NULL);
	decided(PROGRAM, "\"brood.app\":\"python\"", OCI_APP, NULL);
	decided(MODULE, "\"brood.app\":\"python/python3\"", OCI_APP, NULL);
	decided("/none", "\"brood.kind\":\"app\",\"brood.app\":\"python\"",
		OCI_APP, NULL);
	decided(PROGRAM,
		"\"brood.app\":\"python\",\"brood.isolation\":\"domain\"",
		OCI_APP, NULL);
	decided(PROGRAM,
		"\"brood.app\":\"python\","
		"\"io.kubernetes.cri.container-type\":\"sandbox\"",
		OCI_ORDINARY, NULL);
}

#define TIP "\"brood.tip\":\"warm-1\""

TEST(tips_are_of_domains)
{
	decided(PROGRAM, TIP, OCI_TIP, NULL);
	decided("", TIP, OCI_TIP, NULL);
	decided(MODULE, TIP ",\"brood.kind\":\"domain\"", OCI_TIP, NULL);
	decided("/none", TIP ",\"brood.isolation\":\"domain\"", OCI_TIP, NULL);
	decided(PROGRAM,
		TIP ",\"io.kubernetes.cri.container-type\":\"sandbox\"",
		OCI_ORDINARY, NULL);
	decided(MODULE, TIP ",\"brood.kind\":\"module\"", 0, "brood.tip says");
	decided(MODULE, TIP ",\"brood.kind\":\"program\"", 0, "brood.tip says");
	decided(MODULE, TIP ",\"brood.isolation\":\"process\"", 0,
		"brood.tip says");
	decided(MODULE, TIP ",\"module.wasm.image/variant\":\"compat\"", 0,
		"brood.tip says");
	decided(PROGRAM, TIP ",\"brood.kind\":\"machine\"", OCI_MACHINE, NULL);
	decided(MODULE,
		TIP ",\"brood.kind\":\"machine\","
		    "\"brood.isolation\":\"process\"",
		0, "brood.isolation is for a module");
	decided(MODULE, "\"brood.kind\":\"machine\"", 0,
		"brood.tip names none");
	decided(MODULE,
		TIP ",\"brood.kind\":\"machine\","
		    "\"module.wasm.image/variant\":\"compat\"",
		0, "brood.kind says a machine, module.wasm");
	decided(MODULE, "\"brood.kind\":\"machine\",\"brood.app\":\"x\"", 0,
		"brood.kind says another kind");
	decided(MODULE, TIP ",\"brood.app\":\"python\"", 0, "brood.tip says");
	decided(MODULE, "\"brood.tip\":\"../x\"", 0, "no name of a tip");
	decided(MODULE, "\"brood.tip\":\"\"", 0, "no name of a tip");
	decided(MODULE, "\"brood.tip\":\"a/b\"", 0, "no name of a tip");
	decided(MODULE, "\"brood.tip\":\"x\\u0000\"", 0, "is no text");
	decided(MODULE, "\"brood.tip\":[]", 0, "is no text");
}

TEST(kinds_that_are_refused)
{
	decided(PROGRAM, "\"brood.kind\":\"module\"", 0,
		"is no WebAssembly module");
	decided("/none", "\"brood.kind\":\"domain\"", 0, "No such file");
	decided(PROGRAM, "\"brood.isolation\":\"domain\"", 0,
		"is no WebAssembly module");
	decided(PROGRAM, "\"module.wasm.image/variant\":\"compat\"", 0,
		"is no WebAssembly module");
	decided(MODULE, "\"brood.kind\":\"machines\"", 0, "none of module");
	decided(MODULE, "\"brood.kind\":\"\"", 0, "none of module");
	decided(MODULE, "\"brood.kind\":7", 0, "is no text");
	decided(MODULE, "\"brood.kind\":\"module\\u0000\"", 0, "is no text");
	decided(MODULE, "\"brood.isolation\":\"vm\"", 0, "neither process");
	decided(MODULE,
		"\"brood.kind\":\"domain\",\"brood.isolation\":\"process\"", 0,
		"brood.kind does not");
	decided(MODULE,
		"\"brood.kind\":\"program\",\"brood.isolation\":\"domain\"", 0,
		"brood.kind does not");
	decided(MODULE,
		"\"brood.kind\":\"program\","
		"\"module.wasm.image/variant\":\"compat\"",
		0, "says a program");
	decided(MODULE, "\"brood.kind\":\"app\"", 0, "brood.app names none");
	decided(MODULE, "\"brood.app\":7", 0, "is no text");
	decided(MODULE, "\"brood.app\":\"a\\u0000\"", 0, "is no text");
	decided(MODULE, "\"brood.kind\":\"module\",\"brood.app\":\"a\"", 0,
		"says another kind");
	decided(MODULE, "\"brood.kind\":\"program\",\"brood.app\":\"a\"", 0,
		"says another kind");
	decided(MODULE,
		"\"brood.app\":\"a\","
		"\"module.wasm.image/variant\":\"compat\"",
		0, "says a module");
}

/* ---- rewriting ------------------------------------------------------------------------- */

static void is_text(const char *json, const char *path, const char *wanted)
{
	auto_free char *text = json_get_text(json, path);

	if (wanted)
		CHECK_TEXT(text, wanted);
	else
		CHECK(!text);
}

static void check_words(const char *json, const char *const *words)
{
	char path[32];

	for (int i = 0; !i || words[i - 1]; i++) {
		snprintf(path, sizeof path, "process.args.%d", i);
		is_text(json, path, words[i]);
	}
}

static const char rewritten[] =
	"{\"ociVersion\":\"1.0.2\",\"x\":{\"unknown\":[1, 2]},"
	"\"root\":{\"path\":\"root\",\"readonly\":true},"
	"\"process\":{\"user\":{\"uid\":7},\"args\":[ \"/app.wasm\" , \"a \\\"\","
	"\"--b\" ]},\"mounts\":[{\"destination\":\"/dev\",\"type\":\"tmpfs\"},"
	"{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"./vol\"}],"
	"\"linux\":{\"devices\":null}}";

static void rewrite(struct oci_bundle *bundle, const char *config,
		    const char *code, bool in_domain)
{
	struct oci_start start = { .module = "/app.wasm",
				   .starter = "/usr/bin/brood",
				   .code = code,
				   .in_domain = in_domain };
	struct err err = { 0 };

	make_place();
	CHECK_INT(open_bundle(bundle, config, strlen(config), &err), 0);
	start.place = oci_place(bundle->text.data);
	CHECK_INT(oci_rewrite(bundle, &start, &err), 0);
	CHECK_TEXT(err.text, "");
	CHECK_INT(json_check(bundle->text.data, bundle->text.len, NULL), 0);
	drop_place();
}

TEST(a_module_is_rewritten)
{
	static const char *const words[] = { "/dev/.brood/brood",
					     "run",
					     "--env-all",
					     "--dir",
					     "/::/",
					     "--cache",
					     "off",
					     "--code",
					     "/dev/.brood/code",
					     "/app.wasm",
					     "a \"",
					     "--b",
					     NULL };
	auto_bundle struct oci_bundle bundle;
	auto_free char *source = NULL;
	const char *json;

	rewrite(&bundle, rewritten, "/cache/0123", false);
	json = bundle.text.data;
	check_words(json, words);
	is_text(json, "root.path", bundle.root);
	source = file_format("%s/./vol", bundle.path);
	is_text(json, "mounts.1.source", source);
	is_text(json, "mounts.2.destination", "/dev/.brood/brood");
	is_text(json, "mounts.2.source", "/usr/bin/brood");
	is_text(json, "mounts.2.options.1", "ro");
	is_text(json, "mounts.3.destination", "/dev/.brood/code");
	is_text(json, "mounts.3.source", "/cache/0123");
	CHECK_INT(json_get_number(json, "process.user.uid", 0), 7);
	CHECK_INT(json_get_number(json, "root.readonly", 0), 1);
	CHECK_INT(json_get_number(json, "x.unknown.1", 0), 2);
	CHECK(strstr(json, "kvm") == NULL);
}

TEST(a_domain_gets_its_device)
{
	auto_bundle struct oci_bundle bundle;
	const char *json;

	rewrite(&bundle, rewritten, NULL, true);
	json = bundle.text.data;
	is_text(json, "process.args.7", "--in");
	is_text(json, "process.args.8", "domain");
	is_text(json, "process.args.9", "--require-kvm");
	is_text(json, "process.args.10", "/app.wasm");
	is_text(json, "linux.devices.0.path", "/dev/kvm");
	is_text(json, "linux.resources.devices.0.access", "rw");
	CHECK_INT(json_get_number(json, "linux.resources.devices.0.minor", 0),
		  232);
	CHECK(strstr(json, "/dev/.brood/code") == NULL);
}

/* Arguments that look as options do are the program's. */
TEST(a_tip_is_given)
{
	static const char *const words[] = { "/dev/.brood/brood",
					     "run",
					     "--env-all",
					     "--dir",
					     "/data::/data",
					     "--dir",
					     "near::near",
					     "--cache",
					     "off",
					     "--in",
					     "domain",
					     "--require-kvm",
					     "--kvm",
					     "/dev/.brood/kvm",
					     "--given",
					     "/dev/.brood/tip",
					     "--from",
					     "warm",
					     "--",
					     "a \"",
					     "--b",
					     NULL };
	auto_bundle struct oci_bundle bundle;
	auto_buf struct buf folders = { 0 };
	const struct oci_start start = { .module = "warm",
					 .starter = "/usr/bin/brood",
					 .kvm = "/kvm",
					 .tip = "/cache/warm.0",
					 .folders = &folders,
					 .place = "/dev/.brood",
					 .in_domain = true };
	struct err err = { 0 };

	buf_add(&folders, "/data\0near", sizeof "/data\0near");
	make_place();
	CHECK_INT(open_bundle(&bundle, rewritten, strlen(rewritten), &err), 0);
	CHECK_INT(oci_rewrite(&bundle, &start, &err), 0);
	check_words(bundle.text.data, words);
	is_text(bundle.text.data, "mounts.4.destination", "/dev/.brood/tip");
	is_text(bundle.text.data, "mounts.4.source", "/cache/warm.0");
	is_text(bundle.text.data, "mounts.4.options.1", "ro");
	is_text(bundle.text.data, "linux.devices.0.path", "/dev/kvm");
	buf_add(&folders, "a::b", sizeof "a::b");
	CHECK_INT(oci_rewrite(&bundle, &start, &err), -EINVAL);
	CHECK(strstr(err.text, "a::b"));
	drop_place();
}

TEST(a_device_is_there_once)
{
	static const char config[] =
		"{\"root\":{\"path\":\"root\"},\"process\":{\"args\":[\"/a\"]},"
		"\"linux\":{\"devices\":[{\"path\":\"/dev/kvm\"}],"
		"\"resources\":{\"devices\":[{\"allow\":false}]}}}";
	auto_bundle struct oci_bundle bundle;
	const char *json;

	rewrite(&bundle, config, NULL, true);
	json = bundle.text.data;
	is_text(json, "linux.devices.1.path", NULL);
	is_text(json, "linux.resources.devices.1.type", "c");
	/* No tmpfs on /dev. */
	is_text(json, "process.args.0", "/.brood/brood");
}

TEST(the_place_is_in_a_tmpfs_or_the_root)
{
	CHECK_TEXT(oci_place("{}"), "/.brood");
	CHECK_TEXT(oci_place("{\"mounts\":[{\"destination\":\"/dev/\","
			     "\"type\":\"tmpfs\"}]}"),
		   "/dev/.brood");
	/* The host's own folder. */
	CHECK_TEXT(oci_place("{\"mounts\":[{\"destination\":\"/dev\","
			     "\"type\":\"tmpfs\"},{\"destination\":\"/dev\","
			     "\"type\":\"bind\"}]}"),
		   "/.brood");
	CHECK_TEXT(oci_place("{\"mounts\":7}"), "/.brood");
}

TEST(what_cannot_be_rewritten)
{
	static const char *const configs[] = {
		"{\"root\":{\"path\":\"root\"}}",
		"{\"root\":{\"path\":\"root\"},\"process\":7}",
		"{\"root\":{\"path\":\"root\"},\"process\":{\"args\":[]}}",
		("{\"root\":{\"path\":\"root\"},"
		 "\"process\":{\"args\":[\"a\"]},\"mounts\":{}}"),
	};
	const struct oci_start start = { .module = "/a",
					 .starter = "/s",
					 .place = "/p" };

	for (int i = 0; i < COUNT(configs); i++) {
		auto_bundle struct oci_bundle bundle;
		struct err err = { 0 };

		make_place();
		CHECK_INT(open_bundle(&bundle, configs[i], strlen(configs[i]),
				      &err),
			  0);
		CHECK(oci_rewrite(&bundle, &start, &err) < 0);
		CHECK(*err.text);
		drop_place();
	}
}

/* ---- records ----------------------------------------------------------------------------- */

static const struct oci_record record = { .bundle = (char *)"/b\"",
					  .runtime = (char *)"/runc",
					  .module = (char *)"/m",
					  .place = (char *)"/p",
					  .has_code = true };

static int publish(const struct oci_words *words, int *lock)
{
	const struct buf config = { .data = (char *)"{}", .len = 2 };
	const struct buf kvm = { 0 };

	return oci_record_publish(words, &record, &config, &kvm, lock, NULL);
}

static struct oci_words words_of(char **root, const char *id)
{
	*root = file_join(place, "state/root/");
	return (struct oci_words){ .root = *root, .id = id };
}

TEST(a_record_is_there_whole_or_not_at_all)
{
	auto_free char *root = NULL, *path = NULL, *draft = NULL;
	auto_record_oci struct oci_record found_one;
	auto_close int lock = -1;
	struct oci_words words;
	int other;

	make_place();
	words = words_of(&root, "c1");
	CHECK_INT(oci_record_read(&words, &found_one, NULL), 0);
	CHECK_INT(oci_record_remove(&words, NULL), 0);
	CHECK_INT(publish(&words, &lock), 0);
	path = file_join(place, "state/root.brood/c1/config.json");
	CHECK_INT(access(path, F_OK), 0);
	CHECK_INT(oci_record_read(&words, &found_one, NULL), 1);
	CHECK_TEXT(found_one.bundle, "/b\"");
	CHECK_TEXT(found_one.runtime, "/runc");
	CHECK(found_one.has_code && !found_one.in_domain);
	CHECK_INT(publish(&words, &other), -EEXIST);
	/* Its maker holds it. */
	CHECK_INT(oci_record_lock(&words, &other, NULL), -EWOULDBLOCK);
	fd_close(&lock);
	CHECK_INT(oci_record_lock(&words, &other, NULL), 0);
	fd_close(&other);
	/* What one left who was killed. */
	draft = file_join(place, "state/root.brood/.draft");
	CHECK_INT(mkdir(draft, 0700), 0);
	CHECK_INT(oci_record_remove(&words, NULL), 0);
	CHECK(access(path, F_OK) < 0);
	CHECK(access(draft, F_OK) < 0);
	drop_place();
}

TEST(a_record_that_is_torn)
{
	auto_free char *root = NULL;
	auto_record_oci struct oci_record found_one;
	struct oci_words words;

	make_place();
	words = words_of(&root, "c1");
	put("state/root.brood/c1/record", "", 0);
	CHECK(oci_record_read(&words, &found_one, NULL) < 0);
	put("state/root.brood/c1/record", "{}", 2);
	CHECK(oci_record_read(&words, &found_one, NULL) < 0);
	words.id = "../c1";
	CHECK_INT(oci_record_read(&words, &found_one, NULL), 0);
	drop_place();
}

TEST_MAIN
