/*
 * Linear maps: their weights laid out for the products, and the gradient of those weights.
 *
 * The gradient dW[r][c] += sum over steps and lanes of dout[r] in[c] takes `in` transposed, one row a (step, lane) and
 * the columns in vectors, cut into panels of PANEL vectors so that a panel stays in the first-level cache; `dout` is
 * read as it lies, one number broadcast at a time. A column of ones after the inputs gives the bias's gradient.
 *
 * Where at most half a vector of columns is left over (53 columns are three vectors of 16 and 5), padding them would
 * waste more than half of a vector's work: they are multiplied lane by lane instead, which takes as many operations as
 * there are columns, and summed over the lanes once a tile.
 */
#include "internal.h"

static void pack_rows(const pack *p, const float *weights, int group) {
  for (int block = 0; block < p->cuts; block++) {
    const pack_part part = pack_group(p, block, group);
    float *to = (float *)part.data;
    const int32_t *depth_at = p->depth_at + block * p->cut;
    for (int first = group * p->height; first < (group + 1) * p->height; first += p->part) {
      for (int k = 0; k < part.depth; k++) {
        for (int r = first; r < first + p->part; r++)
          *to++ = r < p->rows ? weights[p->row_at[r] + depth_at[k]] : 0.0f;
      }
    }
  }
}

static void pack_bias(linear *map, const float *weights) {
  for (int r = 0; r < map->rows; r++) map->bias[r] = weights[map->row_at[r] + map->column_at[map->depth]];
}

#if defined(BARCAST_AMX)

/* Two tiles of rows, and their bias. */
static void pack_tiles(const lstm_layer *layer, const float *weights, int group) {
  const linear *map = &layer->gates;
  const tile_pack *p = &layer->tiles;
  for (int r = group * TILE_GROUP; r < least((group + 1) * TILE_GROUP, map->rows); r++) {
    const float *row = weights + map->row_at[r];
    char *to = p->data + (size_t)(r / TILE_ROWS) * (size_t)p->blocks * BLOCK_BYTES + r % TILE_ROWS * 64;
    for (int block = 0; block < p->blocks; block++, to += BLOCK_BYTES) {
      float pairs[2][VW] __attribute__((aligned(64))) = {0};
      const int first = block * 2 * BLOCK_PAIRS;
      for (int k = first; k < least(first + 2 * BLOCK_PAIRS, map->depth); k++)
        pairs[k % 2][(k - first) / 2] = row[map->column_at[k]];
      split_pairs(load(pairs[0]), load(pairs[1]), to);
    }
    store(p->bias + r * VW, splat(row[map->column_at[map->depth]]));
  }
}

#endif

INLINE linear *linear_of(barcast_network *network, int index) {
  return index < network->lstm_count ? &network->lstm[index].gates : &network->dense[index - network->lstm_count].map;
}

/* Work items of pack_weights: one a group of rows of every pack, then one for all biases. */
int64_t pack_items(const barcast_network *network) {
  int64_t items = 1;
  for (int i = 0; i < network->lstm_count + network->dense_count; i++) {
    const linear *map = linear_of((barcast_network *)network, i);
    items += map->forward.groups;
    for (int b = 0; b < map->backs; b++) items += map->back[b].groups;
  }
#if defined(BARCAST_AMX)
  for (int l = 0; l < network->lstm_count; l++) items += network->lstm[l].tiles.groups;
#endif
  return items;
}

void pack_weights(barcast_network *network, int64_t item) {
  const float *weights = network->now.weights;
  int maps = network->lstm_count + network->dense_count;
  for (int i = 0; i < maps; i++) {
    const linear *map = linear_of(network, i);
    for (int b = -1; b < map->backs; b++) {
      const pack *p = b < 0 ? &map->forward : &map->back[b];
      if (item < p->groups) {
        pack_rows(p, weights, (int)item);
        return;
      }
      item -= p->groups;
    }
  }
#if defined(BARCAST_AMX)
  for (int l = 0; l < network->lstm_count; l++) {
    if (item < network->lstm[l].tiles.groups) {
      pack_tiles(&network->lstm[l], weights, (int)item);
      return;
    }
    item -= network->lstm[l].tiles.groups;
  }
#endif
  for (int i = 0; i < maps; i++) pack_bias(linear_of(network, i), weights);
}

/* Columns of the panels in memory: whole vectors. */
INLINE int panel_columns(const linear *map) { return map->tail > 0 ? map->paneled : map->columns; }

/* Where column c of row `row` lies among panels of `height` rows. */
INLINE size_t column_place(const linear *map, int c, int height, int row) {
  int panel = c / (PANEL * VW);
  int width = least(PANEL * VW, panel_columns(map) - panel * PANEL * VW);
  return (size_t)panel * PANEL * VW * (size_t)height + (size_t)row * (size_t)width + (size_t)(c - panel * PANEL * VW);
}

/* Before a tile's first gradient_gather: what no step changes, for up to `steps` steps at once. */
void gradient_begin(const linear *map, int steps, scratch *s) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  if (map->tail > 0) {
    for (int step = 0; step < steps; step++) {
      float *ones = s->tail_columns + (step * map->tail + map->tail - 1) * BARCAST_TILE;
      for (int lane = 0; lane < BARCAST_TILE; lane++) ones[lane] = 1.0f;
    }
    memset(s->tail_sums, 0, padded(map->rows) * (size_t)map->tail * VW * sizeof(float));
    return;
  }
  for (int c = map->depth; c < map->columns; c++) {
    for (int row = 0; row < steps * BARCAST_TILE; row++)
      s->columns[column_place(map, c, height, row)] = c == map->depth ? 1.0f : 0.0f;
  }
}

/* Takes the slab [depth, BARCAST_TILE] of inputs as step `step` of the next gradient_add. */
void gradient_gather(const linear *map, const float *slab, int step, scratch *s) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  const int inputs = least(map->depth, map->paneled);
  int c = 0;
  for (; c + 4 <= inputs; c += 4) {
    int panel = c / (PANEL * VW);
    size_t width = (size_t)least(PANEL * VW, panel_columns(map) - panel * PANEL * VW);
    float *to = s->columns + column_place(map, c, height, step * BARCAST_TILE);
    for (int lane = 0; lane < BARCAST_TILE; lane += 4)
      transpose4(slab + (size_t)c * BARCAST_TILE + lane, BARCAST_TILE, to + (size_t)lane * width, width);
  }
  for (; c < inputs; c++) {
    for (int lane = 0; lane < BARCAST_TILE; lane++)
      s->columns[column_place(map, c, height, step * BARCAST_TILE + lane)] = slab[(size_t)c * BARCAST_TILE + lane];
  }
  if (map->tail > 1)
    memcpy(s->tail_columns + step * map->tail * BARCAST_TILE, slab + (size_t)inputs * BARCAST_TILE,
           (size_t)(map->tail - 1) * BARCAST_TILE * sizeof(float));
}

/*
 * `rows` rows by `vectors` vectors of dW: out [rows, vectors * VW] of `stride` floats a row. outer: the first of the
 * rows at the first step, [steps][rows, BARCAST_TILE]; panel: [steps * BARCAST_TILE, vectors * VW].
 */
INLINE void gradient_block(const int rows, const int vectors, const float *outer, size_t step_stride,
                           const float *panel, int steps, float *out, size_t stride) {
  vector sum[GROUP][PANEL];
#pragma GCC unroll 12
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
    for (int n = 0; n < vectors; n++) sum[r][n] = load(out + r * stride + n * VW);
  }
  for (int step = 0; step < steps; step++) {
    const float *d = outer + step * step_stride;
    for (int lane = 0; lane < BARCAST_TILE; lane++) {
      if (vectors >= rows) {
        vector b[GROUP];
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) b[r] = splat(d[r * BARCAST_TILE + lane]);
#pragma GCC unroll 4
        for (int n = 0; n < vectors; n++) {
          vector x = load(panel + n * VW);
#pragma GCC unroll 12
          for (int r = 0; r < rows; r++) sum[r][n] = multiply_add(b[r], x, sum[r][n]);
        }
      } else {
        vector x[PANEL];
#pragma GCC unroll 4
        for (int n = 0; n < vectors; n++) x[n] = load(panel + n * VW);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
          vector b = splat(d[r * BARCAST_TILE + lane]);
#pragma GCC unroll 4
          for (int n = 0; n < vectors; n++) sum[r][n] = multiply_add(b, x[n], sum[r][n]);
        }
      }
      panel += vectors * VW;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
    for (int n = 0; n < vectors; n++) store(out + r * stride + n * VW, sum[r][n]);
  }
}

INLINE void gradient_panel(const int vectors, const linear *map, const float *outer, const float *panel, int steps,
                           float *out) {
  const size_t stride = (size_t)map->columns, step_stride = padded(map->rows) * BARCAST_TILE;
  /* Where `rows` rows do not share a group out, the last group's are taken four at a time. */
  const int rows = GRADIENT_ROWS(vectors), rest = GROUP % rows == 0 ? rows : 4;
  int r = 0;
  for (; r + rows <= map->rows; r += rows)
    gradient_block(rows, vectors, outer + (size_t)r * BARCAST_TILE, step_stride, panel, steps, out + (size_t)r * stride,
                   stride);
  for (; r < map->rows; r += rest)
    gradient_block(rest, vectors, outer + (size_t)r * BARCAST_TILE, step_stride, panel, steps, out + (size_t)r * stride,
                   stride);
}

/* `tail` columns of all rows, a few rows at a time: as many as the registers hold (rows divide a group). */
INLINE void tail_gradient(const int rows, const int tail, const linear *map, const float *outer, int steps,
                          const scratch *s) {
  const size_t step_stride = padded(map->rows) * BARCAST_TILE;
  for (int first = 0; first < map->rows; first += rows) {
    vector sum[GROUP][TAIL];
    float *sums = s->tail_sums + first * tail * VW;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
      for (int c = 0; c < tail; c++) sum[r][c] = load(sums + (r * tail + c) * VW);
    }
    for (int step = 0; step < steps; step++) {
      const float *d = outer + step * step_stride + (size_t)first * BARCAST_TILE;
      const float *in = s->tail_columns + step * tail * BARCAST_TILE;
      for (int n = 0; n < BARCAST_TILE; n += VW) {
        vector x[TAIL];
#pragma GCC unroll 8
        for (int c = 0; c < tail; c++) x[c] = load(in + c * BARCAST_TILE + n);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
          vector b = load(d + r * BARCAST_TILE + n);
#pragma GCC unroll 8
          for (int c = 0; c < tail; c++) sum[r][c] = multiply_add(b, x[c], sum[r][c]);
        }
      }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
      for (int c = 0; c < tail; c++) store(sums + (r * tail + c) * VW, sum[r][c]);
    }
  }
}

/*
 * Adds to the map's gradient [rows padded, columns] what `steps` gathered steps give: outer [steps][rows padded,
 * BARCAST_TILE]. The tail's part of it stands there after gradient_end.
 */
void gradient_add(const linear *map, const float *outer, int steps, scratch *s) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  float *gradient = s->gradient + map->gradient_at;
  for (int c = 0; c < panel_columns(map); c += PANEL * VW) {
    const float *panel = s->columns + (size_t)c * (size_t)height;
    switch (least(PANEL, (panel_columns(map) - c) / VW)) {
      case 4: gradient_panel(4, map, outer, panel, steps, gradient + c); break;
      case 3: gradient_panel(3, map, outer, panel, steps, gradient + c); break;
      case 2: gradient_panel(2, map, outer, panel, steps, gradient + c); break;
      default: gradient_panel(1, map, outer, panel, steps, gradient + c); break;
    }
  }
  switch (map->tail) {
    case 0: break;
    case 1: tail_gradient(TAIL_ROWS(1), 1, map, outer, steps, s); break;
    case 2: tail_gradient(TAIL_ROWS(2), 2, map, outer, steps, s); break;
#if VW >= 8
    case 3: tail_gradient(TAIL_ROWS(3), 3, map, outer, steps, s); break;
    case 4: tail_gradient(TAIL_ROWS(4), 4, map, outer, steps, s); break;
#endif
#if VW == 16
    case 5: tail_gradient(TAIL_ROWS(5), 5, map, outer, steps, s); break;
    case 6: tail_gradient(TAIL_ROWS(6), 6, map, outer, steps, s); break;
    case 7: tail_gradient(TAIL_ROWS(7), 7, map, outer, steps, s); break;
    case 8: tail_gradient(TAIL_ROWS(8), 8, map, outer, steps, s); break;
#endif
  }
}

/* After a tile's last gradient_add: sums the tail over the lanes, in their order. */
void gradient_end(const linear *map, scratch *s) {
  for (int r = 0; r < map->rows; r++) {
    float *gradient = s->gradient + map->gradient_at + (size_t)r * (size_t)map->columns + map->paneled;
    for (int c = 0; c < map->tail; c++) {
      const float *lanes = s->tail_sums + (r * map->tail + c) * VW;
      float sum = lanes[0];
      for (int lane = 1; lane < VW; lane++) sum += lanes[lane];
      gradient[c] = sum;
    }
  }
}
