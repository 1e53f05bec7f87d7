/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of a node, in Prometheus's text format. */
#include "cli/cli.h"
#include "cli/node.h"
#include <string.h>

static void metrics_head(struct buf *out, const char *name, const char *kind,
			 const char *help)
{
	buf_format(out, "# HELP brood_%s %s\n# TYPE brood_%s %s\n", name, help,
		   name, kind);
}

static void metrics_gauge(struct buf *out, const char *name, const char *help,
			  int64_t value)
{
	metrics_head(out, name, "gauge", help);
	buf_format(out, "brood_%s %lld\n", name, (long long)value);
}

/* A label's value: what would end it, and line ends, are escaped; what is no
 * text is left out. */
static void metrics_label(struct buf *out, const char *name, const char *value)
{
	buf_format(out, "%s=\"", name);
	for (; *value; value++) {
		if (*value == '\\' || *value == '"')
			buf_format(out, "\\%c", *value);
		else if (*value == '\n')
			buf_text(out, "\\n");
		else if ((unsigned char)*value >= ' ')
			buf_add(out, value, 1);
	}
	buf_text(out, "\"");
}

typedef int64_t metrics_value(const struct listing_row *row);

static int64_t metrics_serving(const struct listing_row *row)
{
	return strcmp(row->state, "serving") == 0;
}

static int64_t metrics_launches(const struct listing_row *row)
{
	return row->launches;
}

static int64_t metrics_live(const struct listing_row *row)
{
	return row->live;
}

static int64_t metrics_generation(const struct listing_row *row)
{
	return row->generation;
}

static const struct metrics_of_template {
	const char *name, *kind, *help;
	metrics_value *value;
} metrics_templates[] = {
	{ "template_serving", "gauge", "Whether a warm copy serves now.",
	  metrics_serving },
	{ "template_launches_total", "counter",
	  "Launches since the template is kept.", metrics_launches },
	{ "template_live", "gauge", "Copies that run.", metrics_live },
	{ "template_generation", "gauge", "How often a fresh copy took over.",
	  metrics_generation },
};

static void metrics_template(const struct metrics_of_template *metric,
			     const struct listing *listing, struct buf *out)
{
	if (!listing->count)
		return;
	metrics_head(out, metric->name, metric->kind, metric->help);
	for (int i = 0; i < listing->count; i++) {
		const struct listing_row *row = &listing->row[i];

		buf_format(out, "brood_%s{", metric->name);
		metrics_label(out, "key", row->key);
		buf_text(out, ",");
		metrics_label(out, "program", row->program);
		buf_format(out, "} %lld\n", (long long)metric->value(row));
	}
}

void node_metrics(const struct node *node, struct buf *out)
{
	enum { KINDS = sizeof metrics_templates / sizeof *metrics_templates };
	const struct node_code *code = &node->code;

	metrics_head(out, "info", "gauge", "The version, as a label.");
	buf_text(out, "brood_info{");
	metrics_label(out, "version", BROOD_VERSION);
	buf_text(out, "} 1\n");
	metrics_gauge(out, "domains_kvm", "Whether domains have KVM here.",
		      node->kvm.usable);
	metrics_gauge(out, "templates", "Programs that have a template.",
		      node->templates.count);
	for (unsigned i = 0; i < KINDS; i++)
		metrics_template(&metrics_templates[i], &node->templates, out);
	metrics_gauge(out, "code_objects", "Modules that are compiled.",
		      code->objects);
	metrics_gauge(out, "code_unusable",
		      "Of these, of another build or CPU, or damaged.",
		      code->unusable);
	metrics_gauge(out, "code_bytes", "Size of all compiled modules.",
		      code->bytes);
	metrics_gauge(out, "code_users", "Processes that map compiled code.",
		      code->users);
	metrics_gauge(out, "code_compiling", "Modules being compiled now.",
		      code->compiling);
	metrics_gauge(out, "code_functions", "Functions of these modules.",
		      code->functions);
	metrics_gauge(out, "code_functions_optimised",
		      "Functions that are optimised.", code->optimised);
	metrics_gauge(out, "images", "Images of memory to start from.",
		      node->images.tips);
	metrics_gauge(out, "apps_shared", "Applications that are shared.",
		      node->apps.shared);
	metrics_gauge(out, "apps_independent",
		      "Applications that have left what they shared.",
		      node->apps.independent);
	metrics_gauge(out, "damaged",
		      "Images and applications that are damaged.",
		      node->images.wrong + node->apps.damaged);
}
