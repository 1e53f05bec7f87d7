/* SPDX-License-Identifier: Apache-2.0 */
/* brood image show: one image, its layers, and a drawing of its memory. */
#include "base/fd.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/image.h"
#include "image/fold.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { SHOW_COLUMNS = 64, SHOW_COLUMNS_LEAST = 16, SHOW_ROWS = 16 };

/* ---- the map ------------------------------------------------------------- */

struct image_weights {
	const struct image_map *map;
	uint32_t layers;
	uint64_t *bytes; /* of each layer in each cell */
};

static void image_weigh(struct image_weights *weights, uint64_t from,
			uint64_t end, uint32_t layer)
{
	uint64_t cell_bytes = weights->map->cell_bytes;

	while (from < end) {
		uint64_t cell = from / cell_bytes;
		uint64_t stop = (cell + 1) * cell_bytes;

		stop = stop < end ? stop : end;
		weights->bytes[cell * weights->layers + layer] += stop - from;
		from = stop;
	}
}

/* A base's file has holes; only its extents are data. */
static void image_weigh_base(struct image_weights *weights,
			     const struct layer *base,
			     const struct tip_run *run, uint64_t *next)
{
	uint64_t stop = run->offset + run->bytes;

	for (; *next < base->head.extent_count; ++*next) {
		const struct layer_extent *extent = &base->extents[*next];
		uint64_t from = extent->offset, end = from + extent->bytes;

		if (from >= stop)
			return;
		from = from > run->offset ? from : run->offset;
		if (!(extent->flags & LAYER_ZERO))
			image_weigh(weights, from, end < stop ? end : stop, 0);
		if (end > stop)
			return;
	}
}

static uint8_t image_heaviest(const uint64_t *bytes, uint32_t layers)
{
	uint32_t found = 0;

	for (uint32_t i = 1; i < layers; i++)
		if (bytes[i] && (!found || bytes[i] >= bytes[found]))
			found = i;
	return found || bytes[0] ? (uint8_t)(found + 1) : 0;
}

static void image_map_fill(const struct tip *tip, struct image_weights *weights,
			   struct image_map *map)
{
	uint64_t next = 0;

	for (uint32_t i = 0; i < tip->run_count; i++) {
		const struct tip_run *run = &tip->runs[i];

		if (run->layer == 0)
			image_weigh_base(weights, &tip->layers[0], run, &next);
		else if (run->layer != TIP_ZERO)
			image_weigh(weights, run->offset,
				    run->offset + run->bytes, run->layer);
	}
	for (uint32_t i = 0; i < map->columns * map->rows; i++)
		map->cell[i] = image_heaviest(
			weights->bytes + i * weights->layers, weights->layers);
}

int image_map_make(const struct tip *tip, uint32_t columns, uint32_t most_rows,
		   struct image_map *map)
{
	uint64_t cells = (uint64_t)columns * most_rows;
	uint64_t pages = tip->ram_bytes / LAYER_PAGE;
	uint64_t cell_pages = (pages + cells - 1) / cells;
	struct image_weights weights = { .map = map,
					 .layers = tip->layer_count };

	map->columns = columns;
	map->cell_bytes = cell_pages * LAYER_PAGE;
	map->rows = (uint32_t)((pages + cell_pages * columns - 1) /
			       (cell_pages * columns));
	cells = (uint64_t)columns * map->rows;
	map->cell = calloc(cells, 1);
	weights.bytes = calloc(cells * weights.layers, sizeof(uint64_t));
	if (!map->cell || !weights.bytes) {
		free(weights.bytes);
		mem_free(&map->cell);
		return -ENOMEM;
	}
	image_map_fill(tip, &weights, map);
	free(weights.bytes);
	return 0;
}

/* "." for zeros, 0 for the base, 1 ... 9 a ... z A ... for what is above it,
 * "w" for a working set. */
static char image_map_letter(const struct tip *tip, uint8_t cell)
{
	static const char letters[] = "0123456789abcdefghijklmnopqrstuvxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ?";
	uint32_t layer = cell - 1u;

	if (!cell)
		return '.';
	if (tip->has_working && layer == tip->layer_count - 1)
		return 'w';
	return letters[layer < sizeof(letters) - 2 ? layer
						   : sizeof(letters) - 2];
}

static bool image_map_has(const struct image_map *map, uint64_t cell,
			  const struct tip *tip)
{
	return cell * map->cell_bytes < tip->ram_bytes;
}

static void image_map_row(const struct tip *tip, const struct image_map *map,
			  uint32_t row, struct buf *out)
{
	for (uint32_t i = 0; i < map->columns; i++) {
		uint64_t cell = (uint64_t)row * map->columns + i;
		char letter = image_map_letter(tip, map->cell[cell]);

		if (image_map_has(map, cell, tip))
			buf_add(out, &letter, 1);
	}
}

static uint32_t image_columns(void)
{
	const char *told = getenv("COLUMNS");
	int columns = told ? atoi(told) : 0;
	struct winsize size;

	if (columns <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
		columns = size.ws_col;
	columns -= 2;
	if (columns <= 0 || columns > SHOW_COLUMNS)
		return SHOW_COLUMNS;
	return columns < SHOW_COLUMNS_LEAST ? SHOW_COLUMNS_LEAST
					    : (uint32_t)columns;
}

/* ---- text ---------------------------------------------------------------- */

static uint64_t image_zeros(const struct layer *layer)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < layer->head.extent_count; i++)
		if (layer->extents[i].flags & LAYER_ZERO)
			bytes += layer->extents[i].bytes;
	return bytes;
}

static void image_show_layer(const struct tip *tip, uint32_t i,
			     const struct fold_counts *counts, struct buf *out)
{
	const struct layer *layer = &tip->layers[i];
	char data[16], zeros[16], live[16] = "-";

	cli_size(layer->head.data_bytes, data);
	cli_size(image_zeros(layer), zeros);
	if (layer->head.kind != LAYER_WORKING)
		cli_size(counts->live[i], live);
	buf_format(out, "%c  %-8s %-*.*s %6s %6s %7lu %6s\n",
		   image_map_letter(tip, (uint8_t)(i + 1)),
		   layer_kind_name(layer->head.kind), IMAGE_SHOWN, IMAGE_SHOWN,
		   layer->hex, data, live,
		   (unsigned long)layer->head.extent_count, zeros);
}

static void image_show_file(const struct layer *layer, struct buf *out)
{
	char size[16];

	cli_size(layer->head.data_bytes, size);
	buf_format(out, "%-10s %.*s, %s\n", layer_kind_name(layer->head.kind),
		   IMAGE_SHOWN, layer->hex, size);
}

static void image_show_head(const struct tip *tip, const char *due,
			    struct buf *out)
{
	char id[STORE_HEX + 1], shape[STORE_HEX + 1], ram[16], all[16];
	auto_free char *words = strdup(tip->words);

	if (words)
		cli_plain(words);
	store_hex(tip->id, LAYER_ID, id);
	store_hex(tip->shape, LAYER_ID, shape);
	cli_size(tip->ram_bytes, ram);
	cli_size(image_tip_bytes(tip), all);
	buf_format(out,
		   "name       %s\nid         %s\nshape      %s\n"
		   "memory     %s\nbytes      %s\npieces     %u\n"
		   "fold       %s\nwords      %s\n",
		   tip->name, id, shape, ram, all, tip->run_count,
		   due ? due : "not due", words ? words : "");
	if (tip->state.fd >= 0)
		image_show_file(&tip->state, out);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		image_show_file(&tip->disks[i], out);
}

static void image_show_text(const struct tip *tip, const char *due,
			    const struct fold_counts *counts,
			    const struct image_map *map, struct buf *out)
{
	char size[16];

	image_show_head(tip, due, out);
	buf_format(out, "\n   %-8s %-*s %6s %6s %7s %6s\n", "LAYER",
		   IMAGE_SHOWN, "ID", "DATA", "SEEN", "EXTENTS", "ZEROS");
	for (uint32_t i = 0; i < tip->layer_count; i++)
		image_show_layer(tip, i, counts, out);
	cli_size(map->cell_bytes, size);
	buf_format(out, "\nmemory by layer, %s a character; . is zeros\n",
		   size);
	for (uint32_t row = 0; row < map->rows; row++) {
		image_map_row(tip, map, row, out);
		buf_text(out, "\n");
	}
}

/* ---- JSON ---------------------------------------------------------------- */

static void image_json_layer(const struct layer *layer, const uint64_t *live,
			     struct json *json)
{
	json_open(json, NULL);
	json_text(json, "id", layer->hex);
	json_text(json, "kind", layer_kind_name(layer->head.kind));
	json_number(json, "data_bytes", (int64_t)layer->head.data_bytes);
	json_number(json, "file_bytes", (int64_t)layer->head.file_bytes);
	json_number(json, "extents", (int64_t)layer->head.extent_count);
	json_number(json, "zero_bytes", (int64_t)image_zeros(layer));
	if (live && layer->head.kind != LAYER_WORKING)
		json_number(json, "seen_bytes", (int64_t)*live);
	json_close(json);
}

static void image_json_map(const struct tip *tip, const struct image_map *map,
			   struct json *json)
{
	json_open(json, "map");
	json_number(json, "cell_bytes", (int64_t)map->cell_bytes);
	json_list_open(json, "rows");
	for (uint32_t row = 0; row < map->rows; row++) {
		auto_buf struct buf text = { 0 };

		image_map_row(tip, map, row, &text);
		json_text(json, NULL, buf_string(&text));
	}
	json_list_close(json);
	json_close(json);
}

static void image_show_json(const struct tip *tip, const char *due,
			    const struct fold_counts *counts,
			    const struct image_map *map, struct buf *out)
{
	char hex[STORE_HEX + 1];
	struct json json;

	json_start(&json, out);
	json_open(&json, NULL);
	json_text(&json, "name", tip->name);
	store_hex(tip->id, LAYER_ID, hex);
	json_text(&json, "id", hex);
	store_hex(tip->shape, LAYER_ID, hex);
	json_text(&json, "shape", hex);
	json_number(&json, "ram_bytes", (int64_t)tip->ram_bytes);
	json_number(&json, "bytes", (int64_t)image_tip_bytes(tip));
	json_number(&json, "pieces", tip->run_count);
	json_bool(&json, "fold_due", due != NULL);
	json_text(&json, "words", tip->words);
	json_list_open(&json, "layers");
	for (uint32_t i = 0; i < tip->layer_count; i++)
		image_json_layer(&tip->layers[i], &counts->live[i], &json);
	json_list_close(&json);
	json_list_open(&json, "files");
	if (tip->state.fd >= 0)
		image_json_layer(&tip->state, NULL, &json);
	for (uint32_t i = 0; i < tip->disk_count; i++)
		image_json_layer(&tip->disks[i], NULL, &json);
	json_list_close(&json);
	image_json_map(tip, map, &json);
	json_close(&json);
	buf_text(out, "\n");
}

/* ---- the verb ------------------------------------------------------------ */

static int image_show_svg(const struct tip *tip, const char *path)
{
	auto_buf struct buf out = { 0 };
	struct err err = { 0 };

	image_map_svg(tip, &out);
	if (out.failed)
		err_set(&err, -ENOMEM, "draw %s", path);
	else
		file_publish(path, out.data, out.len, 0644, &err);
	return err.code ? cli_fail(&err, NULL) : 0;
}

int image_show(struct image_work *work)
{
	auto_tip struct tip tip = TIP_EMPTY;
	auto_buf struct buf out = { 0 };
	struct image_map map = { 0 };
	struct fold_counts counts;
	struct err err = { 0 };
	const char *due;
	int code = image_open(work, work->names[0], &tip);

	if (code)
		return code;
	if (fold_count(&tip, &counts) < 0 || fold_is_due(&tip, &due) < 0 ||
	    image_map_make(&tip, image_columns(), SHOW_ROWS, &map) < 0) {
		err_set(&err, -ENOMEM, "show %s", tip.name);
		return cli_fail(&err, NULL);
	}
	if (work->words->svg)
		code = image_show_svg(&tip, work->words->svg);
	if (work->words->json)
		image_show_json(&tip, due, &counts, &map, &out);
	else
		image_show_text(&tip, due, &counts, &map, &out);
	free(map.cell);
	return code ? code : image_print(&out);
}
