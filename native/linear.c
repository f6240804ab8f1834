/*
 * Linear maps: their weights laid out for the products, and the gradient of those weights.
 *
 * The gradient dW[r][c] += sum over steps and lanes of dout[r] in[c] takes `in` transposed, one row a (step, lane) and
 * the columns in vectors, cut into panels of PANEL vectors so that a panel stays in the first-level cache; `dout` is
 * read as it lies, one number broadcast at a time. A column of ones after the inputs gives the bias's gradient.
 */
#include "internal.h"

static void pack_rows(const pack *p, const float *weights, int group) {
  for (int block = 0; block < p->cuts; block++) {
    const pack_part part = pack_group(p, block, group);
    float *to = (float *)part.data;
    const int32_t *depth_at = p->depth_at + block * p->cut;
    for (int first = group * GROUP; first < (group + 1) * GROUP; first += ROWS) {
      for (int k = 0; k < part.depth; k++) {
        for (int r = first; r < first + ROWS; r++)
          *to++ = r < p->rows ? weights[p->row_at[r] + depth_at[k]] : 0.0f;
      }
    }
  }
}

static void pack_bias(linear *map, const float *weights) {
  for (int r = 0; r < map->rows; r++) map->bias[r] = weights[map->row_at[r] + map->column_at[map->depth]];
}

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
  for (int i = 0; i < maps; i++) pack_bias(linear_of(network, i), weights);
}

/* Where column c of row `row` lies among panels of `height` rows. */
INLINE size_t column_place(const linear *map, int c, int height, int row) {
  int panel = c / (PANEL * VW);
  int width = least(PANEL * VW, map->columns - panel * PANEL * VW);
  return (size_t)panel * PANEL * VW * (size_t)height + (size_t)row * (size_t)width + (size_t)(c - panel * PANEL * VW);
}

/* Puts the slab [depth, BARCAST_TILE] of inputs, transposed, where step `step` of the panels lies. */
void gather_columns(const linear *map, const float *slab, int step, float *columns) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  int c = 0;
  for (; c + 4 <= map->depth; c += 4) {
    int panel = c / (PANEL * VW);
    size_t width = (size_t)least(PANEL * VW, map->columns - panel * PANEL * VW);
    float *to = columns + column_place(map, c, height, step * BARCAST_TILE);
    for (int lane = 0; lane < BARCAST_TILE; lane += 4)
      transpose4(slab + (size_t)c * BARCAST_TILE + lane, BARCAST_TILE, to + (size_t)lane * width, width);
  }
  for (; c < map->depth; c++) {
    for (int lane = 0; lane < BARCAST_TILE; lane++)
      columns[column_place(map, c, height, step * BARCAST_TILE + lane)] = slab[(size_t)c * BARCAST_TILE + lane];
  }
}

/* The column of ones and the padding of the first `steps` steps. */
void finish_columns(const linear *map, int steps, float *columns) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  for (int c = map->depth; c < map->columns; c++) {
    for (int row = 0; row < steps * BARCAST_TILE; row++)
      columns[column_place(map, c, height, row)] = c == map->depth ? 1.0f : 0.0f;
  }
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
  const int rows = GRADIENT_ROWS(vectors);
  for (int r = 0; r < map->rows; r += rows)
    gradient_block(rows, vectors, outer + (size_t)r * BARCAST_TILE, step_stride, panel, steps, out + (size_t)r * stride,
                   stride);
}

/*
 * Adds to gradient [rows padded, columns] what `steps` steps give: outer [steps][rows padded, BARCAST_TILE] against the
 * gathered columns.
 */
void add_gradient(const linear *map, const float *outer, const float *columns, int steps, float *gradient) {
  const int height = GRADIENT_STEPS * BARCAST_TILE;
  for (int c = 0; c < map->columns; c += PANEL * VW) {
    const float *panel = columns + (size_t)c * (size_t)height;
    switch (least(PANEL, (map->columns - c) / VW)) {
      case 4: gradient_panel(4, map, outer, panel, steps, gradient + c); break;
      case 3: gradient_panel(3, map, outer, panel, steps, gradient + c); break;
      case 2: gradient_panel(2, map, outer, panel, steps, gradient + c); break;
      default: gradient_panel(1, map, outer, panel, steps, gradient + c); break;
    }
  }
}
