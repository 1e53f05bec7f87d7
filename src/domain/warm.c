/* SPDX-License-Identifier: Apache-2.0 */
/* The steps to a warm tip. */
#include "domain/warm.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "domain/internal.h"
#include "image/layer.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct warm {
	struct ready *ready;
	const struct warm_options *options;
	struct wasi *wasi;
	struct domain *domain;
	struct tip tip; /* what the next layer stands on */
	struct warm_told *told;
	struct domain_outcome *outcome;
};

/* ---- to the point ---------------------------------------------------------- */

/* An export that may be missing; without parameters and results. */
static int warm_call(struct warm *warm, const char *name, bool must,
		     struct err *err)
{
	int r = domain_start(warm->domain, 0, name, strlen(name), warm->outcome,
			     err);

	if (r == -ENOENT && !must)
		return 0;
	if (r == -ENOENT || r == -ENOEXEC)
		return err_set(err, -EINVAL,
			       "no function \"%s\" without parameters and "
			       "results is exported",
			       name);
	return r;
}

static int warm_run_function(struct warm *warm, struct err *err)
{
	const char *name = warm->options->function;
	int r = 0;

	if (warm->domain->point == DOMAIN_POINT_CALL)
		return err_set(err, -EINVAL,
			       "the tip is in the middle of a call; no other "
			       "function can be called");
	if (!warm->options->from && strcmp(name, "_initialize") != 0)
		r = warm_call(warm, "_initialize", false, err);
	if (r < 0 || warm->outcome->trap)
		return r;
	return warm_call(warm, name, true, err);
}

/* 1: it ended before. */
static int warm_run(struct warm *warm, struct err *err)
{
	int r;

	domain_set_until(warm->domain, warm->options->until);
	if (warm->options->function) {
		r = warm_run_function(warm, err);
		return r < 0 ? r : warm->outcome->trap ? 1 : 0;
	}
	r = warm->domain->point == DOMAIN_POINT_CALL
		    ? domain_go_on(warm->domain, warm->outcome, err)
		    : warm_call(warm, "_start", true, err);
	if (r < 0)
		return r;
	return r == DOMAIN_STOPPED ? 0 : 1;
}

/* ---- kept ------------------------------------------------------------------- */

static int warm_keep_code(struct warm *warm, struct err *err)
{
	const struct domain_code *code = &warm->ready->program->code;
	auto_close int fd = memfd_create("brood-code", MFD_CLOEXEC);
	int r = fd < 0 ? err_set(err, -errno, "a program's code") : 0;

	if (r >= 0)
		r = fd_write_all(fd, code->image, code->len, err);
	if (r >= 0)
		r = layer_write_disk(warm->options->images, warm->tip.shape, fd,
				     &warm->tip.disks[0], err);
	if (r >= 0)
		warm->tip.disk_count = 1;
	warm->domain->codes[0].disk = 0;
	return r < 0 ? err_wrap(err, "keep the program's code") : 0;
}

/* The guest, booted: what a cache has of it is in another folder, and may go.
 * It is over before the program's domain begins: where this process is the
 * CPU there can be one only. */
static int warm_begin_base(struct warm *warm, struct err *err)
{
	struct domain *booted;
	int r = domain_boot(&booted, &warm->ready->options, err);

	if (r >= 0)
		r = snapshot_take(booted, warm->options->images, &warm->tip,
				  NULL, err);
	domain_close(booted);
	return r;
}

static int warm_begin_tip(struct warm *warm, struct err *err)
{
	const struct tip *from = &warm->ready->snapshot.tip;
	uint8_t ids[LAYER_DEPTH_MOST][LAYER_ID];

	for (uint32_t i = 0; i < from->layer_count; i++)
		memcpy(ids[i], from->layers[i].head.id, LAYER_ID);
	return tip_compose(warm->options->images, (const void *)ids,
			   from->layer_count, &warm->tip, err);
}

static int warm_publish(struct warm *warm, struct err *err)
{
	auto_buf struct buf wasi = { 0 };
	struct tip *tip = &warm->tip;
	int r = wasi_state_save(warm->wasi, &wasi, err);

	if (r >= 0)
		r = warm_keep_code(warm, err);
	if (r >= 0)
		r = snapshot_take(warm->domain, warm->options->images, tip,
				  &wasi, err);
	if (r >= 0)
		r = tip_publish(warm->options->images, tip, warm->options->name,
				err);
	if (r < 0)
		return r;
	r = images_note_made(warm->options->images, tip->id, err);
	if (r < 0)
		return r;
	*warm->told = (struct warm_told){
		.layers = tip->layer_count,
		.layer_bytes =
			tip->layers[tip->layer_count - 1].head.data_bytes,
		.state_bytes = tip->state.head.data_bytes,
		.code_bytes = tip->disks[0].head.data_bytes,
		.point = warm->domain->point,
	};
	log_event("domain.warm", "\"tip\":\"%s\"", warm->options->name);
	return 0;
}

/* What has the name is a domain's too, or there is none. */
static int warm_check_name(const struct warm_options *options, struct err *err)
{
	uint8_t shape[LAYER_ID];
	struct tip_ids ids;
	struct tip tip;
	bool is_domain;

	if (tip_read(options->images, options->name, &tip, &ids, NULL) < 0)
		return 0;
	snapshot_shape(shape);
	is_domain = memcmp(tip.shape, shape, LAYER_ID) == 0 ||
		    (tip.words && strstr(tip.words, "\"kind\":\"domain\""));
	tip_close(&tip);
	return is_domain ? 0
			 : err_set(err, -EINVAL,
				   "%s is the name of a machine's tip; another "
				   "name, or brood image rm %s",
				   options->name, options->name);
}

static int warm_steps(struct warm *warm, struct err *err)
{
	const struct warm_options *options = warm->options;
	int r = warm_check_name(options, err);

	if (r >= 0)
		r = options->from ? warm_begin_tip(warm, err)
				  : warm_begin_base(warm, err);

	if (r >= 0)
		r = ready_start(warm->ready, warm->wasi, options->deadline_ns,
				&warm->domain, warm->outcome, err);
	if (r >= 0 && warm->outcome->trap)
		return 1;
	/* The module's instance, as a difference to the guest. */
	if (r >= 0 && !options->from)
		r = snapshot_take(warm->domain, options->images, &warm->tip,
				  NULL, err);
	if (r >= 0)
		r = warm_run(warm, err);
	return r ? r : warm_publish(warm, err);
}

int warm_make(struct ready *ready, const struct warm_options *options,
	      struct wasi *wasi, struct warm_told *told,
	      struct domain_outcome *outcome, struct err *err)
{
	struct warm warm = { .ready = ready,
			     .options = options,
			     .wasi = wasi,
			     .tip = TIP_EMPTY,
			     .told = told,
			     .outcome = outcome };
	int r;

	*told = (struct warm_told){ 0 };
	*outcome = (struct domain_outcome){ 0 };
	r = warm_steps(&warm, err);
	domain_close(warm.domain);
	tip_close(&warm.tip);
	return r;
}
