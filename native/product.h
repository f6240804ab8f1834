/*
 * Matrix products with sequences in the lanes. A "slab" is [rows, lanes]: one row a unit, one column a sequence, lanes
 * either BARCAST_TILE or VW. Three products make the whole network:
 *
 *     forward     out[r][n]  = bias[r] + sum_k W[r][k] in[k][n]          weights broadcast, lanes in vectors
 *     backward    din[k][n]  = sum_r W[r][k] dout[r][n]                  the same against the transposed weights
 *     gradient    dW[r][k]  += sum_n dout[r][n] in[k][n]                 dout broadcast, columns k in vectors
 *
 * Each keeps a block of outputs in registers over the whole inner sum. An output's terms are added in one fixed order,
 * whatever the number of lanes, so an answer does not depend on what shares its tile.
 */
#ifndef BARCAST_PRODUCT_H
#define BARCAST_PRODUCT_H

#include "barcast_kernel.h"
#include "vector.h"

/* Outputs are made in groups of 12 rows: three LSTM units of four gates. */
enum { GROUP = 12 };

/*
 * ROWS x VECTORS accumulators for the first two products; for the gradient, rows by the number of vectors in a panel.
 * Chosen to fill the registers: 32 on AVX-512 and NEON, 16 on the others. Where ROWS is a whole group, a pack may share
 * its rows out evenly instead (50 rows as 5 times 10, not 4 times 12 and 2): its `height`.
 */
#if VW == 16
enum { ROWS = GROUP, VECTORS = 2 };
#define GRADIENT_ROWS(vectors) ((vectors) == 4 ? 6 : (vectors) == 3 ? 8 : 12)
#elif VW == 8
enum { ROWS = 3, VECTORS = 4 };
#define GRADIENT_ROWS(vectors) ((vectors) == 4 ? 3 : (vectors) == 3 ? 4 : (vectors) == 2 ? 6 : 12)
#elif defined(__aarch64__)
enum { ROWS = 4, VECTORS = 4 };
#define GRADIENT_ROWS(vectors) ((vectors) == 4 ? 4 : (vectors) == 3 ? 6 : 12)
#else
enum { ROWS = 2, VECTORS = 4 };
#define GRADIENT_ROWS(vectors) ((vectors) == 4 ? 2 : (vectors) == 3 ? 2 : (vectors) == 2 ? 4 : 6)
#endif

/* Vectors in a full panel of columns. */
enum { PANEL = 4 };

/* Columns left over that are taken lane by lane, at most, and the rows that go with so many of them. */
enum { TAIL = VW / 2 };
#if VW == 16
#define TAIL_ROWS(tail) ((tail) <= 2 ? 6 : (tail) <= 5 ? 4 : (tail) <= 7 ? 3 : 2)
#else
#define TAIL_ROWS(tail) ((tail) == 1 ? 6 : (tail) == 2 ? 4 : (tail) == 3 ? 3 : 2)
#endif

/*
 * Weights laid out for the first two products: for each block of the inner dimension, for each group of `height` rows,
 * for each `part` of them, [depth of the block, part]. Rows are padded with zeros to whole groups. The inner dimension
 * is cut so that a block of the input slab stays in the first-level cache.
 */
typedef struct {
  float *data;
  const int32_t *row_at;   /* [rows] and ... */
  const int32_t *depth_at; /* ... [depth]: weight (r, k) is weights[row_at[r] + depth_at[k]] */
  int rows, depth;
  int groups, height;      /* rows of a group, at most GROUP */
  int part;                /* ROWS, or the height where that is less */
  int cut;                 /* depth of a block, the last one's may be less */
  int cuts;                /* blocks of the inner dimension */
} pack;

/* One group's share of one block of a pack. */
typedef struct {
  const float *data;
  size_t rows_stride;      /* floats between its parts */
  int depth;
  int rows;                /* 1 to the pack's height that matter */
} pack_part;

INLINE int least(int a, int b) { return a < b ? a : b; }

INLINE pack_part pack_group(const pack *p, int block, int group) {
  int depth = least(p->cut, p->depth - block * p->cut);
  const float *data = p->data + ((size_t)block * p->cut * p->groups + (size_t)group * depth) * p->height;
  return (pack_part){data, (size_t)depth * p->part, depth, least(p->height, p->rows - group * p->height)};
}

/*
 * parts * part rows by `vectors` vectors of a slab: out = initial + W in. `initial` is the rows' bias; without one the
 * sum goes on from what stands in `out`, or from zero with `fresh`.
 */
INLINE void multiply_block(const pack_part *w, const int parts, const int part, const int vectors, const int lanes, const float *in,
                           const float *bias, const int fresh, float *out) {
  vector sum[GROUP][8];
  const float *weights = w->data;
  const size_t stride = w->rows_stride;
#pragma GCC unroll 12
  for (int r = 0; r < parts * part; r++) {
#pragma GCC unroll 8
    for (int n = 0; n < vectors; n++)
      sum[r][n] = bias ? splat(bias[r]) : fresh ? splat(0.0f) : load(out + r * lanes + n * VW);
  }
  for (int k = 0; k < w->depth; k++) {
    if (vectors >= part && parts == 1) {
      vector b[GROUP];
#pragma GCC unroll 12
      for (int r = 0; r < part; r++) b[r] = splat(weights[r]);
#pragma GCC unroll 8
      for (int n = 0; n < vectors; n++) {
        vector x = load(in + n * VW);
#pragma GCC unroll 12
        for (int r = 0; r < part; r++) sum[r][n] = multiply_add(b[r], x, sum[r][n]);
      }
    } else {
      vector x[8];
#pragma GCC unroll 8
      for (int n = 0; n < vectors; n++) x[n] = load(in + n * VW);
#pragma GCC unroll 12
      for (int r = 0; r < parts * part; r++) {
        vector b = splat(weights[(r / part) * stride + r % part]);
#pragma GCC unroll 8
        for (int n = 0; n < vectors; n++) sum[r][n] = multiply_add(b, x[n], sum[r][n]);
      }
    }
    weights += part;
    in += lanes;
  }
#pragma GCC unroll 12
  for (int r = 0; r < parts * part; r++) {
#pragma GCC unroll 8
    for (int n = 0; n < vectors; n++) store(out + r * lanes + n * VW, sum[r][n]);
  }
}

/* One group of output rows: out [height, lanes] (padding rows may stay unwritten). See multiply_block. */
INLINE void multiply_group(const pack_part *w, const int height, const int lanes, const float *in, const float *bias,
                           const int fresh, float *out) {
  if (height < GROUP || (int)ROWS == GROUP || lanes == VW) {
    const int part = least(ROWS, height);
    for (int n = 0; n < lanes; n += VECTORS * VW)
      multiply_block(w, height / part, part, least(VECTORS, lanes / VW), lanes, in + n, bias, fresh, out + n);
    return;
  }
  for (int first = 0; first < w->rows; first += ROWS) {
    const pack_part part = {w->data + first / ROWS * w->rows_stride, w->rows_stride, w->depth, ROWS};
    const float *part_bias = bias ? bias + first : bias;
    for (int n = 0; n < lanes; n += VECTORS * VW)
      multiply_block(&part, 1, ROWS, VECTORS, lanes, in + n, part_bias, fresh, out + first * lanes + n);
  }
}

INLINE void multiply_groups(const pack *p, const int height, const int lanes, const float *in, const float *bias,
                            float *out) {
  for (int block = 0; block < p->cuts; block++) {
    for (int group = 0; group < p->groups; group++) {
      const pack_part part = pack_group(p, block, group);
      float *rows = out + (size_t)group * height * lanes;
      const float *x = in + (size_t)block * p->cut * lanes;
      if (block > 0) multiply_group(&part, height, lanes, x, NULL, 0, rows);
      else if (bias) multiply_group(&part, height, lanes, x, bias + group * height, 0, rows);
      else multiply_group(&part, height, lanes, x, NULL, 1, rows);
    }
  }
}

/* The heights there is code for; a group of fewer rows is padded to the next. */
INLINE int height_of(int rows) {
  const int groups = (rows + GROUP - 1) / GROUP, even = (rows + groups - 1) / groups;
  return (int)ROWS < GROUP ? GROUP : even <= 4 ? 4 : even <= 8 ? 8 : even;
}

/* All of a product: out [rows padded to GROUP, lanes] = bias + W in [depth, lanes]. */
INLINE void multiply(const pack *p, const int lanes, const float *in, const float *bias, float *out) {
#if VW == 16
  switch (p->height) {
    case 4: multiply_groups(p, 4, lanes, in, bias, out); return;
    case 8: multiply_groups(p, 8, lanes, in, bias, out); return;
    case 9: multiply_groups(p, 9, lanes, in, bias, out); return;
    case 10: multiply_groups(p, 10, lanes, in, bias, out); return;
    case 11: multiply_groups(p, 11, lanes, in, bias, out); return;
  }
#endif
  multiply_groups(p, GROUP, lanes, in, bias, out);
}

#endif
