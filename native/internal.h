/*
 * What the C files share: the network's memory and the steps of a pass.
 *
 * Glossary: B sequences in a batch, T time steps, F features, H hidden units of a layer, I its inputs, O outputs,
 * P parameters. A "tile" is BARCAST_TILE sequences (inference also uses tiles of VW), a "slab" [rows, lanes] its
 * numbers at one place. Gate rows stand unit by unit: row 4 j + g is gate g (input, forget, cell, output) of unit j.
 */
#ifndef BARCAST_INTERNAL_H
#define BARCAST_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "barcast_kernel.h"
#include "pool.h"
#include "product.h"
#include "tiles.h"

/* Time steps whose weight gradient is taken at once, so that its sums are loaded and stored less often. */
enum { GRADIENT_STEPS = 4 };

#define FIXED_POINT 1099511627776.0 /* 2^40, GRADIENT_SCALE of kernel.ts */
#define FIXED_LIMIT 4194304.0       /* 2^22, GRADIENT_LIMIT of kernel.ts */

/* A linear map from `depth` inputs to `rows` outputs with a bias: the gates of an LSTM layer, or a dense layer. */
typedef struct {
  int rows, depth;
  int columns;              /* of its gradient: depth inputs, the bias, padding to whole vectors */
  int paneled, tail;        /* of its depth + 1 columns, those taken in panels and the few left over: see linear.c */
  int32_t *row_at;          /* [rows] */
  int32_t *column_at;       /* [depth + 1], the last one the bias's: parameter (r, c) is row_at[r] + column_at[c] */
  float *bias;              /* [rows padded to GROUP] */
  pack forward;             /* rows x depth */
  pack back[2];             /* transposed: the gradient of inputs 0 to back[0].rows - 1, and of those after them */
  int backs;
  size_t gradient_at;       /* its gradient [rows padded to GROUP, columns] in a worker's gradient array */
} linear;

typedef struct {
  linear gates;             /* inputs: the H hidden units, then the layer's I inputs */
  int units, inputs;
#if defined(BARCAST_AMX)
  tile_pack tiles;          /* in place of gates.forward and gates.bias */
#endif
} lstm_layer;

typedef struct {
  linear map;
  int relu;
} dense_layer;

/*
 * A worker's memory for one tile. A training pass keeps every step for the way back, inference two of them: step t
 * lies in slot t % slots.
 */
typedef struct {
  void *block;                         /* all of it */
  int slots;
  float *input[BARCAST_MAX_LSTM];      /* [slots][H + padded I, lanes]: h before the step, then its inputs */
  float *cell[BARCAST_MAX_LSTM];       /* [slots][H, lanes]: c before the step */
  float *gates[BARCAST_MAX_LSTM];      /* [T][4H padded, lanes] activated gates; inference: one slab of scratch */
  float *cell_tanh[BARCAST_MAX_LSTM];  /* [T][H, lanes] tanh(c) after the step; training only */
  float *dense[BARCAST_MAX_DENSE + 1]; /* [units padded, lanes]: the masked final h, then each dense layer's outputs */
  char *split;                         /* a step's inputs split for tiles */
  float *mask;                         /* [H, lanes] dropout multipliers */
  float *state_gradient;               /* [H padded, lanes] of h, going back in time */
  float *cell_gradient;                /* [H, lanes] of c */
  float *delta[2];                     /* [most dense units padded, lanes] of a dense layer's outputs */
  float *outer;                        /* [GRADIENT_STEPS][most rows padded, lanes] output gradients for dW */
  float *columns;                      /* panels of [GRADIENT_STEPS * lanes, vectors] inputs for dW */
  float *tail_columns;                 /* [GRADIENT_STEPS][tail, lanes] the inputs left over, as they lie */
  float *tail_sums;                    /* [most rows padded, tail, VW] their share of dW, not yet summed over lanes */
  float *gradient;                     /* [gradient_length] one tile's */
  int64_t *sums;                       /* [gradient_length] over this worker's tiles, fixed point */
  int64_t loss;                        /* likewise */
  int64_t bound;                       /* sum over its tiles of the largest |gradient|, rounded up */
} scratch;

typedef struct {
  float *weights, *m, *v;
} moments;

struct barcast_kernel {
  pool *pool;
};

struct barcast_network {
  barcast_kernel *kernel;
  pthread_mutex_t lock;
  barcast_shape shape;
  int lstm_count, dense_count, outputs;
  int64_t parameters;
  lstm_layer lstm[BARCAST_MAX_LSTM];
  dense_layer dense[BARCAST_MAX_DENSE];
  size_t gradient_length;
  moments now, next;                   /* an update writes `next`, which then takes the place of `now` */
  int64_t updates;
  scratch *inference, *training;       /* [threads], each filled by worker_scratch */
};

/* memory.c */
void *aligned_zeros(size_t bytes);
int network_build(barcast_network *network, const barcast_shape *shape);
void network_free(barcast_network *network);
scratch *worker_scratch(const barcast_network *network, int training, int worker);

/* linear.c */
int64_t pack_items(const barcast_network *network);
void pack_weights(barcast_network *network, int64_t item);
void gradient_begin(const linear *map, int steps, scratch *s);
void gradient_gather(const linear *map, const float *slab, int step, scratch *s);
void gradient_add(const linear *map, const float *outer, int steps, scratch *s);
void gradient_end(const linear *map, scratch *s);

/* One tile of a call: sequences first to first + count - 1, lanes beyond count hold zeros. */
typedef struct {
  const barcast_network *network;
  const barcast_windows *windows;
  int64_t first;
  int count;
} tile;

/* lstm_forward.c: both answer 0 when an input is not finite; the final h is then in the last layer's input slot. */
int lstm_forward(const tile *at, scratch *s);
int lstm_forward_narrow(const tile *at, scratch *s);
/* lstm_backward.c: from the final h's gradient in s->state_gradient, adds to s->gradient. */
void lstm_backward(const barcast_network *network, scratch *s);

/* head.c: dropout, dense layers and the loss */
void head_outputs(const tile *at, scratch *s, int lanes, float *outputs);
double head_gradient(const tile *at, const barcast_goal *goal, scratch *s);

/* optimizer.c */
int optimizer_step(barcast_network *network, const int64_t *sums, int64_t sequences, const barcast_optimizer *settings);

INLINE size_t padded(int rows) { return (size_t)((rows + GROUP - 1) / GROUP * GROUP); }

/* Rows of a layer's input slab: the way back writes whole groups over the layer's inputs. */
INLINE size_t input_rows(const lstm_layer *layer) { return (size_t)layer->units + padded(layer->inputs); }

/* Where step t of layer l lies. */
INLINE float *input_at(const barcast_network *network, const scratch *s, int l, int t, int lanes) {
  const lstm_layer *layer = &network->lstm[l];
  return s->input[l] + (size_t)(t % s->slots) * input_rows(layer) * (size_t)lanes;
}
INLINE float *cell_at(const barcast_network *network, const scratch *s, int l, int t, int lanes) {
  return s->cell[l] + (size_t)(t % s->slots) * (size_t)network->lstm[l].units * (size_t)lanes;
}

#endif
