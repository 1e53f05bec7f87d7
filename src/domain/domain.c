/* SPDX-License-Identifier: Apache-2.0 */
/* A domain's life, and its commands: what the host puts into the call page
 * and its data, and what it takes out of them. */
#include "domain/domain.h"
#include "base/clock.h"
#include "domain/ground.h"
#include "domain/internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is the domain's own comes with its store: what is only booted is the
 * same in all of them, and all that is kept stands on the same bytes. */
static int domain_enter(struct domain *domain, struct err *err)
{
	uint64_t bytes;
	const struct guest_image *image = domain_image(&bytes);
	struct guest_call *page = space_call(&domain->space);
	struct cpu_registers at = { .rip = image->entry, .flags = 2 };

	at.general[4] = GUEST_VA + GUEST_STACK_AT + GUEST_STACK_BYTES;
	page->magic = GUEST_MAGIC;
	page->abi = GUEST_ABI;
	page->bell_is_store = domain->options.ground->bell_is_store;
	domain->cpu->kind->go(domain->cpu, &at);
	return domain_run(domain, err);
}

int domain_new(struct domain **made, const struct domain_options *options,
	       struct err *err)
{
	struct domain *domain = calloc(1, sizeof(*domain));
	int r;

	*made = NULL;
	if (!domain)
		return err_set(err, -ENOMEM, "a domain");
	domain->options = *options;
	r = space_init(&domain->space,
		       options->ground->has_kvm ? &cpu_kvm_kind
						: &cpu_process_kind,
		       err);
	if (r < 0) {
		free(domain);
		return r;
	}
	*made = domain;
	return 0;
}

int domain_open_cpu(struct domain *domain, struct err *err)
{
	struct ground *ground = domain->options.ground;
	int r = ground->has_kvm
			? cpu_open_kvm(&domain->cpu, &ground->kvm,
				       space_system(&domain->space), err)
			: cpu_open_process(&domain->cpu, err);

	if (r >= 0)
		r = space_attach(&domain->space, domain->cpu, err);
	return r < 0 ? r : domain_protect_system(domain->cpu, err);
}

static int domain_make(struct domain *domain, struct err *err)
{
	int r = domain_make_system(&domain->space, err);

	if (r >= 0)
		r = domain_open_cpu(domain, err);
	if (r >= 0)
		r = domain_enter(domain, err);
	if (r >= 0)
		domain->point = DOMAIN_POINT_FRESH;
	return r;
}

/* The command's own failure, in the engine's words. */
static int domain_failed(const struct domain *domain, struct err *err)
{
	if (domain->done.result >= 0)
		return 0;
	return err_set(err, -EINVAL, "%.*s",
		       (int)sizeof(domain->done.message) - 1,
		       domain->done.message);
}

static int domain_do(struct domain *domain, enum guest_command command,
		     struct err *err)
{
	int r = domain_command(domain, command, err);

	return r ? r : domain_failed(domain, err);
}

int domain_boot(struct domain **opened, const struct domain_options *options,
		struct err *err)
{
	struct domain *domain;
	int r = domain_new(&domain, options, err);

	*opened = NULL;
	if (r < 0)
		return r;
	r = domain_make(domain, err);
	if (r < 0) {
		domain_close(domain);
		return r;
	}
	*opened = domain;
	return 0;
}

int domain_open_store(struct domain *domain, struct err *err)
{
	int r;

	if (!space_call(&domain->space)->generation)
		domain_renew(domain);
	r = domain_do(domain, GUEST_COMMAND_OPEN, err);
	if (r >= 0)
		domain->point = DOMAIN_POINT_IDLE;
	return r;
}

int domain_open(struct domain **opened, const struct domain_options *options,
		struct err *err)
{
	int r = domain_boot(opened, options, err);

	if (r >= 0)
		r = domain_open_store(*opened, err);
	if (r < 0) {
		domain_close(*opened);
		*opened = NULL;
	}
	return r;
}

void domain_close(struct domain *domain)
{
	if (!domain)
		return;
	domain_timers_close(domain);
	if (domain->cpu)
		domain->cpu->kind->close(domain->cpu);
	space_fini(&domain->space);
	free(domain->codes);
	free(domain);
}

void domain_leave(struct domain *domain)
{
	if (!domain)
		return;
	domain_timers_close(domain);
	if (domain->cpu)
		domain->cpu->kind->leave(domain->cpu);
	space_forget(&domain->space);
	free(domain->codes);
	free(domain);
}

void domain_set_wasi(struct domain *domain, struct wasi *wasi)
{
	domain->wasi = wasi;
}

void domain_set_service(struct domain *domain, domain_serve *serve, void *env)
{
	domain->serve = serve;
	domain->serve_env = env;
}

void domain_set_until(struct domain *domain, enum domain_until until)
{
	domain->until = until;
}

void domain_set_deadline(struct domain *domain, int64_t deadline_ns)
{
	__atomic_store_n(&domain->deadline_ns, deadline_ns, __ATOMIC_RELAXED);
}

void domain_end(struct domain *domain)
{
	domain_set_deadline(domain, (int64_t)clock_ns());
	domain->cpu->kind->kick(domain->cpu);
}

/* ---- commands ------------------------------------------------------------- */

/* Of a command that has not ended there is none. */
static void domain_outcome(const struct domain *domain, int r,
			   struct domain_outcome *outcome)
{
	const struct guest_call *done = &domain->done;

	if (r) {
		*outcome = (struct domain_outcome){ 0 };
		return;
	}
	*outcome = (struct domain_outcome){ .trap = done->trap,
					    .exit_code = done->exit_code,
					    .trace_total = done->trace_total };
	memcpy(outcome->message, done->message, sizeof(outcome->message) - 1);
	outcome->trace_count = done->trace_count < GUEST_TRACE
				       ? done->trace_count
				       : GUEST_TRACE;
	memcpy(outcome->trace, done->trace, sizeof(outcome->trace));
	if (done->trap > WASM_TRAP_exit)
		outcome->trap = WASM_TRAP_host;
}

static int domain_note_code(struct domain *domain,
			    const struct domain_code *code, uint64_t at,
			    struct err *err)
{
	struct domain_state_code *codes = reallocarray(
		domain->codes, domain->code_count + 1, sizeof(*codes));

	if (!codes)
		return err_set(err, -ENOMEM, "a domain's code");
	domain->codes = codes;
	codes[domain->code_count++] = (struct domain_state_code){
		.virtual = at,
		.bytes = code->len,
		.module_at = code->module_at,
		.module_bytes = code->module_bytes,
		.has_code = code->has_code,
		.disk = UINT32_MAX,
	};
	return 0;
}

int domain_load(struct domain *domain, const struct domain_code *code,
		uint32_t *module, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	uint64_t at;
	int r = space_show_code(&domain->space, code->image, code->len, &at,
				err);

	if (r >= 0)
		r = domain_note_code(domain, code, at, err);
	if (r < 0)
		return r;
	page->command_words[0] = at + code->module_at;
	page->command_words[1] = code->module_bytes;
	page->command_words[2] = code->has_code ? at : 0;
	page->command_words[3] = code->has_code ? code->len : 0;
	r = domain_do(domain, GUEST_COMMAND_LOAD, err);
	*module = (uint32_t)domain->done.result;
	return r;
}

static int domain_make_instance(struct domain *domain, uint32_t module,
				uint64_t image, uint32_t *instance,
				struct domain_outcome *outcome, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	int r;

	page->command_words[0] = module;
	page->command_words[1] = image;
	r = domain_do(domain, GUEST_COMMAND_INSTANTIATE, err);
	*instance = (uint32_t)domain->done.result;
	domain_outcome(domain, r, outcome);
	return r;
}

int domain_instantiate(struct domain *domain, uint32_t module,
		       uint32_t *instance, struct domain_outcome *outcome,
		       struct err *err)
{
	return domain_make_instance(domain, module, 0, instance, outcome, err);
}

int domain_instantiate_from(struct domain *domain, uint32_t module,
			    const uint8_t *image, uint64_t len,
			    uint32_t *instance, struct domain_outcome *outcome,
			    struct err *err)
{
	uint64_t at;
	int r = space_show_data(&domain->space, image, len, &at, err);

	return r < 0 ? r
		     : domain_make_instance(domain, module, at, instance,
					    outcome, err);
}

/* A name into the data; the values behind it begin at a multiple of 16. */
static int domain_put_name(struct domain *domain, uint32_t instance,
			   const char *name, size_t len, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);

	if (len > GUEST_DATA_BYTES / 2)
		return err_set(err, -ENAMETOOLONG, "a name for a domain");
	memcpy(space_data(&domain->space), name, len);
	page->command_words[0] = instance;
	page->command_words[1] = len;
	return 0;
}

int domain_show_files(struct domain *domain, const struct domain_files *files,
		      struct err *err)
{
	domain->has_files_digest = files->has_digest;
	memcpy(domain->files_digest, files->digest,
	       sizeof(domain->files_digest));
	return space_show_files(&domain->space, files->fd, files->bytes, err);
}

int domain_set_files(struct domain *domain, const struct domain_files *files,
		     struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	size_t len = strlen(files->name);
	int r = len > GUEST_DATA_BYTES
			? err_set(err, -ENAMETOOLONG, "a folder for a domain")
			: domain_show_files(domain, files, err);

	if (r < 0)
		return r;
	memcpy(space_data(&domain->space), files->name, len);
	page->command_words[0] = files->bytes;
	page->command_words[1] = files->number;
	page->command_words[2] = len;
	r = domain_do(domain, GUEST_COMMAND_FILES, err);
	return r < 0 ? err_wrap(err, "an image of files") : 0;
}

int domain_register(struct domain *domain, uint32_t instance, const char *name,
		    size_t len, struct err *err)
{
	int r = domain_put_name(domain, instance, name, len, err);

	return r < 0 ? r : domain_do(domain, GUEST_COMMAND_REGISTER, err);
}

static int domain_take_item(struct domain *domain, struct domain_item *item,
			    struct err *err)
{
	const struct guest_item *from =
		(const struct guest_item *)space_data(&domain->space);
	struct guest_item head = *from;

	if (head.kind > WASM_EXTERN_TAG || head.param_count > DOMAIN_VALUES ||
	    head.result_count > DOMAIN_VALUES)
		return domain_break(domain, err, "it tells of no export");
	*item = (struct domain_item){ .kind = head.kind,
				      .param_count = head.param_count,
				      .result_count = head.result_count,
				      .types = from->types,
				      .type = head.type };
	return 0;
}

int domain_find(struct domain *domain, uint32_t instance, const char *name,
		size_t len, struct domain_item *item, struct err *err)
{
	int r = domain_put_name(domain, instance, name, len, err);

	if (r >= 0)
		r = domain_do(domain, GUEST_COMMAND_FIND, err);
	if (r == -EINVAL)
		return err_set(err, -ENOENT, "an export");
	return r < 0 ? r : domain_take_item(domain, item, err);
}

/* So many values, and what each matches. */
static int domain_take_values(struct domain *domain,
			      struct domain_values *values, struct err *err)
{
	const size_t one = sizeof(union wasm_value) + sizeof(uint32_t);
	const uint8_t *data = space_data(&domain->space);
	uint32_t count = domain->done.data_bytes / one;

	if (count > DOMAIN_VALUES)
		return domain_break(domain, err, "it tells too many values");
	values->count = count;
	memcpy(values->values, data, count * sizeof(union wasm_value));
	memcpy(values->matches, data + count * sizeof(union wasm_value),
	       count * sizeof(uint32_t));
	return 0;
}

int domain_call(struct domain *domain, uint32_t instance, const char *name,
		size_t len, const union wasm_value *arguments, uint32_t count,
		struct domain_values *results, struct domain_outcome *outcome,
		struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	int r = domain_put_name(domain, instance, name, len, err);

	if (r < 0)
		return r;
	if (count > DOMAIN_VALUES)
		return err_set(err, -E2BIG, "arguments for a domain");
	page->command_words[2] = count;
	if (count)
		memcpy(space_data(&domain->space) + ((len + 15) & ~(size_t)15),
		       arguments, count * sizeof(*arguments));
	r = domain_do(domain, GUEST_COMMAND_CALL, err);
	domain_outcome(domain, r, outcome);
	if (r || !results)
		return r;
	results->count = 0;
	return outcome->trap ? 0 : domain_take_values(domain, results, err);
}

int domain_go_on(struct domain *domain, struct domain_outcome *outcome,
		 struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	int r;

	if (domain->is_broken || domain->point != DOMAIN_POINT_CALL)
		return err_set(err, -EINVAL, "a domain that is in no call");
	page->ended = 0;
	/* What is answered cannot be asked again: all that may fail is first. */
	r = domain_timer_set(domain, DOMAIN_TIMER_DEADLINE, domain->deadline_ns,
			     err);
	if (r >= 0)
		r = domain_answer(domain, page->bell, err);
	if (r < 0)
		return r;
	domain->point = DOMAIN_POINT_IDLE;
	r = domain_run(domain, err);
	if (!r)
		r = domain_failed(domain, err);
	domain_outcome(domain, r, outcome);
	return r;
}

int domain_start(struct domain *domain, uint32_t instance, const char *name,
		 size_t len, struct domain_outcome *outcome, struct err *err)
{
	struct guest_call *page = space_call(&domain->space);
	int r;

	if (len > sizeof(page->message))
		return err_set(err, -ENOENT, "there is no such function");
	memcpy(page->message, name, len);
	page->command_words[0] = instance;
	page->command_words[1] = len;
	r = domain_command(domain, GUEST_COMMAND_START, err);
	domain_outcome(domain, r, outcome);
	if (r)
		return r;
	if (domain->done.result == GUEST_NO_FUNCTION)
		return err_set(err, -ENOENT, "there is no such function");
	if (domain->done.result == GUEST_NO_PLAIN)
		return err_set(err, -ENOEXEC,
			       "a function without parameters and results");
	return domain_failed(domain, err);
}

int domain_global(struct domain *domain, uint32_t instance, const char *name,
		  size_t len, struct domain_values *value, struct err *err)
{
	int r = domain_put_name(domain, instance, name, len, err);

	if (r >= 0)
		r = domain_do(domain, GUEST_COMMAND_GLOBAL, err);
	return r < 0 ? r : domain_take_values(domain, value, err);
}

void domain_counts(const struct domain *domain, struct domain_counts *counts)
{
	*counts = domain->counts;
	counts->parts = domain->space.part_count;
	for (uint32_t i = 0; i < domain->space.region_count; i++)
		counts->memory_bytes += domain->space.regions[i].open;
}

const char *domain_isolation(const struct domain *domain)
{
	return domain->cpu->kind->name;
}
