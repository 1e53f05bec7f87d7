/* SPDX-License-Identifier: Apache-2.0 */
/* The map of an image's memory as a picture: a colour for each layer. */
#include "cli/cli.h"
#include "cli/image.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SVG_COLUMNS = 128,
	SVG_ROWS = 96,
	SVG_CELL = 6,
	SVG_EDGE = 12,
	SVG_TITLE = 40,
	SVG_LINE = 18,
};

/* The base is grey; the others are as far apart on the circle of colours as
 * the golden angle puts them. */
static void svg_colour(uint32_t cell, char text[32])
{
	if (cell == 0)
		snprintf(text, 32, "#eceff1");
	else if (cell == 1)
		snprintf(text, 32, "#90a4ae");
	else
		snprintf(text, 32, "hsl(%u,70%%,%u%%)", (cell - 2) * 137 % 360,
			 cell % 2 ? 42 : 55);
}

static void svg_rect(struct buf *out, uint64_t x, uint64_t y, uint64_t width,
		     uint64_t height, uint32_t cell)
{
	char colour[32];

	svg_colour(cell, colour);
	buf_format(out,
		   "<rect x=\"%lu\" y=\"%lu\" width=\"%lu\" height=\"%lu\" "
		   "fill=\"%s\"/>\n",
		   (unsigned long)x, (unsigned long)y, (unsigned long)width,
		   (unsigned long)height, colour);
}

/* Cells of one colour beside each other are one rectangle. */
static void svg_row(const struct tip *tip, const struct image_map *map,
		    uint32_t row, struct buf *out)
{
	const uint64_t first = (uint64_t)row * map->columns;
	uint32_t from = 0;

	while (from < map->columns &&
	       (first + from) * map->cell_bytes < tip->ram_bytes) {
		uint32_t to = from + 1;

		while (to < map->columns &&
		       map->cell[first + to] == map->cell[first + from] &&
		       (first + to) * map->cell_bytes < tip->ram_bytes)
			to++;
		svg_rect(out, SVG_EDGE + (uint64_t)from * SVG_CELL,
			 SVG_TITLE + (uint64_t)row * SVG_CELL,
			 (uint64_t)(to - from) * SVG_CELL, SVG_CELL,
			 map->cell[first + from]);
		from = to;
	}
}

static void svg_text(struct buf *out, uint64_t x, uint64_t y, const char *text)
{
	buf_format(out, "<text x=\"%lu\" y=\"%lu\">%s</text>\n",
		   (unsigned long)x, (unsigned long)y, text);
}

/* Nothing in it needs escapes: names and ids are of plain letters. */
static void svg_legend(const struct tip *tip, uint64_t y, struct buf *out)
{
	for (uint32_t cell = 0; cell <= tip->layer_count; cell++) {
		const struct layer *layer =
			cell ? &tip->layers[cell - 1] : NULL;
		char text[128] = "zeros", size[16];

		if (layer) {
			cli_size(layer->head.data_bytes, size);
			snprintf(text, sizeof(text), "%u %s %.*s, %s", cell - 1,
				 layer_kind_name(layer->head.kind), IMAGE_SHOWN,
				 layer->hex, size);
		}
		svg_rect(out, SVG_EDGE, y, SVG_EDGE, SVG_EDGE, cell);
		svg_text(out, 3 * SVG_EDGE, y + 11, text);
		y += SVG_LINE;
	}
}

void image_map_svg(const struct tip *tip, struct buf *out)
{
	struct image_map map;
	char text[160], ram[16], cell[16];
	uint64_t bottom, height;

	if (image_map_make(tip, SVG_COLUMNS, SVG_ROWS, &map) < 0) {
		out->failed = true;
		return;
	}
	bottom = SVG_TITLE + (uint64_t)map.rows * SVG_CELL + SVG_EDGE;
	height = bottom + (tip->layer_count + 1u) * SVG_LINE + SVG_EDGE;
	cli_size(tip->ram_bytes, ram);
	cli_size(map.cell_bytes, cell);
	buf_format(out,
		   "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" "
		   "height=\"%lu\" font-family=\"sans-serif\" "
		   "font-size=\"12\">\n"
		   "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		   2 * SVG_EDGE + SVG_COLUMNS * SVG_CELL,
		   (unsigned long)height);
	snprintf(text, sizeof(text), "%s: %s of memory, %s a cell", tip->name,
		 ram, cell);
	svg_text(out, SVG_EDGE, SVG_TITLE - SVG_EDGE, text);
	buf_text(out, "<g shape-rendering=\"crispEdges\">\n");
	for (uint32_t row = 0; row < map.rows; row++)
		svg_row(tip, &map, row, out);
	buf_text(out, "</g>\n");
	svg_legend(tip, bottom, out);
	buf_text(out, "</svg>\n");
	free(map.cell);
}
