/* SPDX-License-Identifier: Apache-2.0 */
/* Found, or made and kept. */
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/sha256.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include "domain/ready_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { READY_NAME = 65, READY_DIGITS = 40 };

char *ready_folder(const struct cache_options *cache)
{
	auto_free char *folder = cache_folder(cache, NULL);

	return folder ? file_join(folder, "domains") : NULL;
}

/* ---- names ---------------------------------------------------------------- */

static void ready_name(const char *word, const uint8_t hash[SHA256_BYTES],
		       char name[READY_NAME])
{
	char hex[STORE_HEX + 1];

	store_hex(hash, SHA256_BYTES, hex);
	snprintf(name, READY_NAME, "%s.%.*s", word, READY_DIGITS, hex);
}

static const struct code_header *ready_code(const struct program *program)
{
	return (const struct code_header *)program->code.image;
}

/* One that was made here has no checksum yet; its file will have this. */
static void ready_sum(const struct program *program, uint8_t sum[SHA256_BYTES])
{
	static const uint8_t none[SHA256_BYTES];
	const struct code_header *header = ready_code(program);

	if (memcmp(header->sum, none, sizeof(none)) != 0)
		memcpy(sum, header->sum, SHA256_BYTES);
	else
		sha256_of(program->code.image, program->code.len, sum);
}

static void ready_module_name(const struct ready *ready, char name[READY_NAME])
{
	const struct domain_options *options = &ready->options;
	const uint64_t words[] = { options->ground->features,
				   options->memory_bytes, options->stack_bytes,
				   options->fuel != 0,
				   options->ground->bell_is_store };
	uint8_t shape[LAYER_ID], hash[SHA256_BYTES];
	struct sha256 sha;

	snapshot_shape(shape);
	sha256_start(&sha);
	sha256_add(&sha, shape, sizeof(shape));
	sha256_add(&sha, ready_code(ready->program)->key, CODE_KEY_BYTES);
	sha256_add(&sha, words, sizeof(words));
	sha256_end(&sha, hash);
	ready_name("module", hash, name);
}

static void ready_base_name(char name[READY_NAME])
{
	uint8_t shape[LAYER_ID];

	snapshot_shape(shape);
	ready_name("base", shape, name);
}

/* ---- the guest, booted ---------------------------------------------------- */

static int base_find(const struct ready *ready, struct snapshot *base,
		     struct err *err)
{
	struct tip tip = TIP_EMPTY;
	char name[READY_NAME];
	int r;

	ready_base_name(name);
	r = tip_open(&ready->images, name, &tip, err);
	if (r >= 0)
		r = snapshot_open(base, &tip, err);
	if (r >= 0 && base->state->point != DOMAIN_POINT_FRESH) {
		snapshot_close(base);
		r = err_set(err, -EBADMSG, "tip %s is no fresh guest", name);
	}
	return r;
}

static int base_make(const struct ready *ready, struct snapshot *base,
		     struct err *err)
{
	struct tip tip = TIP_EMPTY;
	struct domain *domain;
	char name[READY_NAME];
	int r = domain_boot(&domain, &ready->options, err);

	if (r < 0)
		return r;
	ready_base_name(name);
	r = snapshot_take(domain, &ready->images, &tip, NULL, err);
	domain_close(domain);
	if (r >= 0)
		r = tip_publish(&ready->images, &tip, name, err);
	if (r >= 0)
		return snapshot_open(base, &tip, err);
	tip_close(&tip);
	return r;
}

/* ---- the module's instance ------------------------------------------------ */

static int make_instance(struct ready *ready, struct domain *domain,
			 struct domain_outcome *outcome, struct err *err)
{
	uint32_t module, instance;
	int r = domain_load(domain, &ready->program->code, &module, err);

	if (r < 0)
		return r;
	return ready->init
		       ? domain_instantiate_from(domain, module, ready->init,
						 ready->init_bytes, &instance,
						 outcome, err)
		       : domain_instantiate(domain, module, &instance, outcome,
					    err);
}

/* Of a tip it is there already, as the guest sees it. */
static int ready_give_files(const struct ready *ready, struct domain *domain,
			    struct err *err)
{
	if (!ready->files || domain->space.files)
		return 0;
	return ready->has_snapshot && ready->snapshot.state->files_bytes
		       ? domain_show_files(domain, ready->files, err)
		       : domain_set_files(domain, ready->files, err);
}

/* What runs while the module is made may read files. */
static bool make_reads_files(const struct ready *ready)
{
	return ready->files && ready->program->module &&
	       ready->program->module->start != WASM_NO_FUNCTION;
}

static int make_store(const struct ready *ready, struct domain *domain,
		      struct wasi *wasi, int64_t deadline_ns, struct err *err)
{
	int r;

	domain_set_wasi(domain, wasi);
	domain_set_deadline(domain, deadline_ns);
	r = domain_open_store(domain, err);
	if (r >= 0 && make_reads_files(ready))
		r = ready_give_files(ready, domain, err);
	return r;
}

static void make_name_code(const struct ready *ready, struct domain *domain)
{
	const struct code_header *header = ready_code(ready->program);

	memcpy(domain->codes[0].key, header->key, CODE_KEY_BYTES);
	ready_sum(ready->program, domain->codes[0].sum);
}

static int make_keep(struct ready *ready, struct domain *domain,
		     struct err *err)
{
	struct tip tip = TIP_EMPTY;
	char name[READY_NAME];
	int r = tip_compose(&ready->images,
			    (const void *)ready->base.tip.layers[0].head.id, 1,
			    &tip, err);

	ready_module_name(ready, name);
	make_name_code(ready, domain);
	if (r >= 0)
		r = snapshot_take(domain, &ready->images, &tip, NULL, err);
	if (r >= 0)
		r = tip_publish(&ready->images, &tip, name, err);
	if (r >= 0)
		r = snapshot_open(&ready->snapshot, &tip, err);
	else
		tip_close(&tip);
	ready->has_snapshot = r >= 0;
	if (r < 0)
		return r;
	log_event("domain.keep", "\"tip\":\"%s\"", name);
	ready_sweep_images(&ready->images, &ready_sweep_usual);
	return 0;
}

/* Why the instance is one of its own, or NULL. */
static const char *make_refuses(const struct ready *ready,
				const struct domain *domain,
				const struct domain_outcome *outcome)
{
	if (outcome->trap)
		return "it traps when it is made";
	if (domain->counts.wasi || domain->counts.bells_for[GUEST_BELL_HOST])
		return "it asks for something when it is made";
	if (!ready->program->code.has_code)
		return "it is interpreted";
	if (domain->space.files)
		return "it may read files when it is made";
	return NULL;
}

static void ready_say(struct ready *ready, const char *why)
{
	snprintf(ready->why, sizeof(ready->why), "%s", why);
}

static bool make_has_base(struct ready *ready)
{
	struct err err = { 0 };

	if (ready->base.state || base_find(ready, &ready->base, NULL) >= 0 ||
	    base_make(ready, &ready->base, &err) >= 0)
		return true;
	ready_say(ready, err.text);
	return false;
}

/* From the booted guest, so that what is kept is a difference to it. */
static int make_on_base(struct ready *ready, struct wasi *wasi,
			int64_t deadline_ns, struct domain **domain,
			struct domain_outcome *outcome, struct err *err)
{
	struct err failed = { 0 };
	const char *why;
	int r = snapshot_start(domain, &ready->options, &ready->base, NULL,
			       err);

	if (r >= 0)
		r = make_store(ready, *domain, wasi, deadline_ns, err);
	if (r >= 0)
		r = make_instance(ready, *domain, outcome, err);
	if (r < 0)
		return r;
	why = make_refuses(ready, *domain, outcome);
	if (!why && make_keep(ready, *domain, &failed) < 0)
		why = failed.text;
	if (why)
		ready_say(ready, why);
	return 0;
}

static int make_plain(struct ready *ready, struct wasi *wasi,
		      int64_t deadline_ns, struct domain **domain,
		      struct domain_outcome *outcome, struct err *err)
{
	int r = domain_boot(domain, &ready->options, err);

	if (r >= 0)
		r = make_store(ready, *domain, wasi, deadline_ns, err);
	return r < 0 ? r : make_instance(ready, *domain, outcome, err);
}

/* ---- start ---------------------------------------------------------------- */

/* What the program had open is opened again. */
int ready_grant(const struct ready *ready, struct domain *domain,
		struct wasi *wasi, int64_t deadline_ns, struct err *err)
{
	const struct snapshot *snapshot = &ready->snapshot;
	int r;

	domain_set_wasi(domain, wasi);
	domain_set_deadline(domain, deadline_ns);
	r = ready_give_files(ready, domain, err);
	if (r < 0)
		return r;
	if (!wasi || !snapshot->state->wasi_bytes)
		return 0;
	return wasi_state_restore(wasi, snapshot->wasi,
				  snapshot->state->wasi_bytes, err);
}

static int start_kept(struct ready *ready, struct wasi *wasi,
		      int64_t deadline_ns, struct domain **domain,
		      struct err *err)
{
	int r = snapshot_start(domain, &ready->options, &ready->snapshot,
			       &ready->program->code, err);

	if (r < 0)
		return r;
	return ready_grant(ready, *domain, wasi, deadline_ns, err);
}

int ready_start(struct ready *ready, struct wasi *wasi, int64_t deadline_ns,
		struct domain **domain, struct domain_outcome *outcome,
		struct err *err)
{
	int r;

	*domain = NULL;
	*outcome = (struct domain_outcome){ 0 };
	if (ready->has_snapshot)
		r = start_kept(ready, wasi, deadline_ns, domain, err);
	else if (ready->images.folder && !ready->why[0] && make_has_base(ready))
		r = make_on_base(ready, wasi, deadline_ns, domain, outcome,
				 err);
	else
		r = make_plain(ready, wasi, deadline_ns, domain, outcome, err);
	if (r >= 0 && !outcome->trap)
		r = ready_give_files(ready, *domain, err);
	if (r < 0) {
		domain_close(*domain);
		*domain = NULL;
	}
	return r;
}

int ready_bind(struct ready *ready, struct domain *domain, struct wasi *wasi,
	       int64_t deadline_ns, struct err *err)
{
	int r = ready->has_snapshot
			? snapshot_bind(&ready->snapshot, domain,
					&ready->options, &ready->program->code,
					err)
			: err_set(err, -ENOTSUP, "nothing is kept to bind");

	return r < 0 ? r : ready_grant(ready, domain, wasi, deadline_ns, err);
}

/* ---- used ----------------------------------------------------------------- */

static int ready_call_start(struct domain *domain, uint32_t instance,
			    struct domain_outcome *outcome, struct err *err)
{
	static const char start[] = "_start";
	int r = domain_start(domain, instance, start, sizeof(start) - 1,
			     outcome, err);

	return r == -ENOEXEC
		       ? err_set(err, -ENOENT, "a _start without parameters")
		       : r;
}

int ready_run(struct ready *ready, struct domain *domain,
	      struct domain_outcome *outcome, struct err *err)
{
	(void)ready;
	if (domain->point == DOMAIN_POINT_CALL)
		return domain_go_on(domain, outcome, err);
	return ready_call_start(domain, 0, outcome, err);
}

/* Nobody runs in them any more. */
static void ready_drop_memories(struct domain *domain, uint32_t first)
{
	for (uint32_t i = first; i < domain->space.region_count; i++) {
		struct space_region *region = &domain->space.regions[i];

		region->is_dropped = true;
		madvise(region->at, region->open, MADV_DONTNEED);
	}
}

int ready_run_again(struct ready *ready, struct domain *domain,
		    struct domain_outcome *outcome, struct err *err)
{
	uint32_t instance, first = domain->space.region_count;
	int r = domain_instantiate(domain, 0, &instance, outcome, err);

	(void)ready;
	if (r >= 0 && !outcome->trap)
		r = ready_call_start(domain, instance, outcome, err);
	ready_drop_memories(domain, first);
	return r;
}

int ready_reset(struct ready *ready, struct domain *domain, int pagemap,
		struct wasi *wasi, int64_t deadline_ns, struct err *err)
{
	int r = ready->has_snapshot
			? snapshot_reset(&ready->snapshot, domain, pagemap, err)
			: err_set(err, -ENOTSUP, "reset a domain");

	return r < 0 ? r : ready_grant(ready, domain, wasi, deadline_ns, err);
}

/* ---- opened --------------------------------------------------------------- */

static bool ready_is_of(const struct snapshot *snapshot,
			const struct program *program)
{
	const struct domain_state *state = snapshot->state;
	const struct code_header *header = ready_code(program);
	uint8_t sum[SHA256_BYTES];

	ready_sum(program, sum);
	return state->point == DOMAIN_POINT_IDLE && state->code_count == 1 &&
	       memcmp(snapshot->codes[0].key, header->key, CODE_KEY_BYTES) ==
		       0 &&
	       memcmp(snapshot->codes[0].sum, sum, CODE_SUM_BYTES) == 0;
}

static void ready_find(struct ready *ready)
{
	struct tip tip = TIP_EMPTY;
	char name[READY_NAME];

	if (!ready->program->code.has_code)
		return;
	ready_module_name(ready, name);
	if (tip_open(&ready->images, name, &tip, NULL) < 0 ||
	    snapshot_open(&ready->snapshot, &tip, NULL) < 0)
		return;
	ready->has_snapshot = ready_is_of(&ready->snapshot, ready->program);
	ready->was_found = ready->has_snapshot;
	if (!ready->has_snapshot)
		snapshot_close(&ready->snapshot);
}

int ready_open(struct ready *ready, const struct domain_options *options,
	       struct program *program, const char *folder, struct err *err)
{
	*ready = (struct ready){ .program = program, .options = *options };
	ready->images = IMAGES_NONE;
	if (!folder) {
		ready_say(ready, "the cache is off");
		return 0;
	}
	if (images_open(&ready->images, folder, true, err) < 0) {
		ready_say(ready, err ? err->text : "no folder");
		if (err)
			err_clear(err);
		return 0;
	}
	ready_find(ready);
	return 0;
}

int ready_open_given(struct ready *ready, const struct domain_options *options,
		     struct program *program, const char *folder,
		     struct err *err)
{
	int r = ready_open(ready, options, program, NULL, err);

	if (r >= 0)
		r = images_open(&ready->images, folder, false, err);
	if (r < 0)
		return r;
	ready_find(ready);
	if (!ready->has_snapshot)
		ready_say(ready, "it is not in the folder that was given");
	return 0;
}

void ready_close(struct ready *ready)
{
	if (ready->code)
		munmap(ready->code, ready->code_bytes);
	if (ready->has_snapshot)
		snapshot_close(&ready->snapshot);
	if (ready->base.state)
		snapshot_close(&ready->base);
	if (ready->images.folder)
		images_close(&ready->images);
	*ready = (struct ready){ 0 };
}
