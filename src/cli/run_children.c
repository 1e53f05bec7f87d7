/* SPDX-License-Identifier: Apache-2.0 */
/* Each name is a program of its own: opened when it is first asked for. */
#include "cli/run_children.h"
#include "base/fd.h"
#include "cli/cli.h"
#include "jit/jit.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct run_child {
	const char *name, *file; /* the name ends at "=" */
	struct buf bytes;
	struct vm vm;
	struct program program;
	struct ready ready;
	bool is_open;
};

struct run_children {
	struct run *run;
	struct children *children;
	int count;
	struct run_child child[];
};

static void run_child_close(struct run_child *child)
{
	ready_close(&child->ready);
	program_close(&child->program);
	if (child->vm.store)
		vm_fini(&child->vm);
	buf_fini(&child->bytes);
}

static int run_child_load(struct run_child *child, struct run *run,
			  struct err *err)
{
	const struct cache_options cache = { .place = run->options->cache };
	struct vm_options vm = {
		.cache = &cache,
		.code = { .via = run->vm.options.code.via,
			  .without_features =
				  jit_features() & ~run->ground.features },
		.store = { .fuel = run->options->fuel },
	};
	struct wasm_module *module;
	int r = wasm_file_read_module(child->file, &child->bytes, err);

	if (r >= 0)
		r = vm_init(&child->vm, &vm, err);
	if (r >= 0)
		r = vm_load_compiled(&child->vm, child->bytes.data,
				     child->bytes.len, &module, err);
	return r < 0 ? r
		     : program_open(&child->program, &child->vm, module, err);
}

static int run_child_open(struct run_child *child, struct run *run,
			  struct err *err)
{
	const struct cache_options cache = { .place = run->options->cache };
	const struct domain_options domain = {
		.ground = &run->ground,
		.fuel = (uint64_t)run->options->fuel,
		.memory_bytes = (uint64_t)run->options->max_memory,
	};
	auto_free char *folder = ready_folder(&cache);
	int r = run_child_load(child, run, err);

	if (r >= 0)
		r = ready_open(&child->ready, &domain, &child->program, folder,
			       err);
	child->is_open = r >= 0;
	if (r < 0)
		run_child_close(child);
	return r < 0 ? err_wrap(err, "%s", child->file) : 0;
}

static int run_children_find(void *env, const char *name, struct ready **ready,
			     struct err *err)
{
	struct run_children *children = env;
	size_t len = strlen(name);

	for (int i = 0; i < children->count; i++) {
		struct run_child *child = &children->child[i];

		if (strncmp(child->name, name, len) != 0 ||
		    child->name[len] != '=')
			continue;
		*ready = &child->ready;
		if (!child->is_open &&
		    run_child_open(child, children->run, err) < 0)
			return -EIO; /* granted, but not there */
		return 0;
	}
	return err_set(err, -ENOENT, "a program \"%s\" to start", name);
}

static void run_children_tell(void *env, const char *name, const char *text)
{
	(void)env;
	fprintf(stderr, "brood: %s: %s%s", name, text,
		strchr(text, '\n') ? "" : "\n");
}

int run_children_open(struct run_children **opened, struct run *run,
		      struct err *err)
{
	int count = run->options->start.count, r;
	struct run_children *children;
	struct children_options options = {
		.find = run_children_find,
		.tell = run_children_tell,
		.stdio = { run->stdio[0], run->stdio[1], run->stdio[2] },
		.deadline_ns = run->vm.deadline_ns,
	};

	*opened = NULL;
	if (!count)
		return 0;
	children =
		calloc(1, sizeof(*children) +
				  (size_t)count * sizeof(children->child[0]));
	if (!children)
		return err_set(err, -ENOMEM, "programs to start");
	children->run = run;
	children->count = count;
	for (int i = 0; i < count; i++) {
		children->child[i].name = run->options->start.item[i];
		children->child[i].file =
			strchr(run->options->start.item[i], '=') + 1;
	}
	options.env = children;
	r = children_open(&children->children, &options, err);
	*opened = children;
	return r;
}

void run_children_close(struct run_children *children)
{
	if (!children)
		return;
	children_close(children->children);
	for (int i = 0; i < children->count; i++)
		if (children->child[i].is_open)
			run_child_close(&children->child[i]);
	free(children);
}

void run_children_serve(struct run_children *children, struct domain *domain)
{
	if (children)
		domain_set_service(domain, children_serve, children->children);
}
