/*
 * The door: every function of barcast_kernel.h that takes a kernel or a network. It checks what can be checked and
 * shares out the tiles.
 */
#include <math.h>
#include <stdlib.h>

#include "internal.h"

int32_t barcast_abi(void) { return BARCAST_ABI; }

barcast_kernel *barcast_kernel_create(int32_t threads) {
  if (threads < 1 || threads > BARCAST_MAX_THREADS || barcast_machine_runs() < barcast_built_for()) return NULL;
  barcast_kernel *kernel = malloc(sizeof *kernel);
  if (!kernel) return NULL;
  kernel->pool = pool_create(threads);
  if (kernel->pool) return kernel;
  free(kernel);
  return NULL;
}

void barcast_kernel_destroy(barcast_kernel *kernel) {
  if (!kernel) return;
  pool_destroy(kernel->pool);
  free(kernel);
}

INLINE int within(int64_t value, int64_t low, int64_t high) { return value >= low && value <= high; }

static int shape_is_good(const barcast_shape *s) {
  if (!s || !(s->dropout >= 0 && s->dropout < 1)) return 0;
  if (!within(s->window_length, 1, BARCAST_MAX_STEPS) || !within(s->features, 1, BARCAST_MAX_FEATURES)) return 0;
  if (!within(s->lstm_layers, 1, BARCAST_MAX_LSTM) || !within(s->dense_layers, 1, BARCAST_MAX_DENSE)) return 0;
  for (int l = 0; l < s->lstm_layers; l++) {
    if (!within(s->lstm_units[l], 1, BARCAST_MAX_UNITS)) return 0;
  }
  for (int d = 0; d < s->dense_layers; d++) {
    if (!within(s->dense_units[d], 1, BARCAST_MAX_UNITS)) return 0;
    if (!within(s->dense_activations[d], BARCAST_LINEAR, BARCAST_RELU)) return 0;
  }
  return 1;
}

static void pack_item(void *context, int worker, int64_t item) {
  (void)worker;
  pack_weights(context, item);
}

static void pack_all(barcast_network *network) {
  pool_run(network->kernel->pool, pack_items(network), network->parameters < 8192, pack_item, network);
}

barcast_network *barcast_network_create(barcast_kernel *kernel, const barcast_shape *shape, const float *weights,
                                        int64_t parameters, int32_t *status) {
  int32_t ignored;
  if (!status) status = &ignored;
  *status = BARCAST_SHAPE;
  if (!kernel || !weights || !shape_is_good(shape)) return NULL;
  *status = BARCAST_MEMORY;
  barcast_network *network = calloc(1, sizeof *network);
  if (!network) return NULL;
  network->kernel = kernel;
  if (!network_build(network, shape)) {
    network_free(network);
    return NULL;
  }
  if (parameters != network->parameters) {
    network_free(network);
    *status = BARCAST_SHAPE;
    return NULL;
  }
  pthread_mutex_init(&network->lock, NULL);
  memcpy(network->now.weights, weights, (size_t)parameters * sizeof(float));
  pack_all(network);
  *status = BARCAST_OK;
  return network;
}

void barcast_network_destroy(barcast_network *network) {
  if (!network) return;
  pthread_mutex_destroy(&network->lock);
  network_free(network);
}

int64_t barcast_network_parameters(const barcast_network *network) { return network->parameters; }

void barcast_network_read_weights(barcast_network *network, float *weights) {
  pthread_mutex_lock(&network->lock);
  memcpy(weights, network->now.weights, (size_t)network->parameters * sizeof(float));
  pthread_mutex_unlock(&network->lock);
}

void barcast_network_write_weights(barcast_network *network, const float *weights) {
  pthread_mutex_lock(&network->lock);
  memcpy(network->now.weights, weights, (size_t)network->parameters * sizeof(float));
  pack_all(network);
  pthread_mutex_unlock(&network->lock);
}

int64_t barcast_network_read_optimizer(barcast_network *network, float *m, float *v) {
  pthread_mutex_lock(&network->lock);
  memcpy(m, network->now.m, (size_t)network->parameters * sizeof(float));
  memcpy(v, network->now.v, (size_t)network->parameters * sizeof(float));
  int64_t updates = network->updates;
  pthread_mutex_unlock(&network->lock);
  return updates;
}

void barcast_network_write_optimizer(barcast_network *network, const float *m, const float *v, int64_t updates) {
  pthread_mutex_lock(&network->lock);
  memcpy(network->now.m, m, (size_t)network->parameters * sizeof(float));
  memcpy(network->now.v, v, (size_t)network->parameters * sizeof(float));
  network->updates = updates;
  pthread_mutex_unlock(&network->lock);
}

static int windows_are_good(const barcast_network *network, const barcast_windows *w) {
  if (!w || w->sequences < 0 || w->sequences > INT32_MAX || w->rows < 0) return 0;
  if (w->scale_stride != 0 && w->scale_stride != network->shape.features) return 0;
  if (!within(w->columns, 1, network->shape.features)) return 0;
  if (w->sequences > 0 && (!w->matrix || !w->starts || !w->shift || !w->gain)) return 0;
  for (int64_t b = 0; b < w->sequences; b++) {
    if (!within(w->starts[b], 0, w->rows - network->shape.window_length)) return 0;
  }
  return 1;
}

static int goal_status(const barcast_network *network, const barcast_windows *w, const barcast_goal *goal) {
  if (!goal || (w->sequences > 0 && !goal->targets)) return BARCAST_SHAPE;
  if (goal->first_sequence < 0 || goal->first_sequence % BARCAST_TILE != 0) return BARCAST_SHAPE;
  if (goal->loss == BARCAST_MSE) return BARCAST_OK;
  if (goal->loss == BARCAST_HUBER) return goal->delta > 0 && isfinite(goal->delta) ? BARCAST_OK : BARCAST_SETTING;
  if (goal->loss != BARCAST_PINBALL || !goal->levels) return BARCAST_SETTING;
  for (int o = 0; o < network->outputs; o++) {
    if (!(goal->levels[o] > 0 && goal->levels[o] < 1)) return BARCAST_SETTING;
  }
  return BARCAST_OK;
}

static int optimizer_is_good(const barcast_optimizer *o) {
  if (!o || !(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1)) return 0;
  if (!(o->epsilon > 0 && isfinite(o->epsilon)) || !within(o->kind, BARCAST_ADAM, BARCAST_LARS)) return 0;
  return o->learning_rate >= 0 && isfinite(o->learning_rate) && o->weight_decay >= 0 && isfinite(o->weight_decay) &&
         o->clip_norm >= 0 && isfinite(o->clip_norm);
}

/* A call's tiles, shared out to the workers. */
typedef struct {
  const barcast_network *network;
  const barcast_windows *windows;
  const barcast_goal *goal;
  float *outputs;
  atomic_int status;
} call;

/* An inference is cut into tiles of BARCAST_TILE, and what is left into tiles of VW where that wastes fewer lanes. */
INLINE int64_t wide_tiles(int64_t sequences) {
  int64_t left = sequences % BARCAST_TILE;
  return sequences / BARCAST_TILE + (left > BARCAST_TILE - VW);
}

static int64_t inference_tiles(int64_t sequences) {
  int64_t left = sequences - wide_tiles(sequences) * BARCAST_TILE;
  return wide_tiles(sequences) + (left > 0 ? (left + VW - 1) / VW : 0);
}

static void infer_tile(void *context, int worker, int64_t item) {
  call *c = context;
  if (atomic_load_explicit(&c->status, memory_order_relaxed) != BARCAST_OK) return;
  const int64_t sequences = c->windows->sequences, wide = wide_tiles(sequences);
  const int lanes = item < wide ? BARCAST_TILE : VW;
  const int64_t first = item < wide ? item * BARCAST_TILE : wide * BARCAST_TILE + (item - wide) * VW;
  const tile at = {c->network, c->windows, first, sequences - first < lanes ? (int)(sequences - first) : lanes};
  scratch *s = worker_scratch(c->network, 0, worker);
  if (!s) {
    atomic_store(&c->status, BARCAST_MEMORY);
    return;
  }
  tiles_begin();
  if (lanes == VW ? lstm_forward_narrow(&at, s) : lstm_forward(&at, s)) head_outputs(&at, s, lanes, c->outputs);
  else atomic_store(&c->status, BARCAST_NOT_FINITE);
  tiles_end();
}

int32_t barcast_network_forward(barcast_network *network, const barcast_windows *windows, float *outputs) {
  if (!network || !windows_are_good(network, windows) || (windows->sequences > 0 && !outputs)) return BARCAST_SHAPE;
  call c = {.network = network, .windows = windows, .outputs = outputs};
  pthread_mutex_lock(&network->lock);
  pool_run(network->kernel->pool, inference_tiles(windows->sequences), windows->sequences <= VW, infer_tile, &c);
  pthread_mutex_unlock(&network->lock);
  return atomic_load(&c.status);
}

/*
 * A number as a whole number of FIXED_POINT parts, below 2^11 in size: adding 1.5 * 2^52 leaves a unit of one and so
 * rounds as llrint does, but in vectors (1% of a training step).
 */
INLINE int64_t fixed_point_small(float x) {
  const double shifter = 6755399441055744.0;
  double shifted = (double)x * FIXED_POINT + shifter;
  int64_t bits, zero;
  memcpy(&bits, &shifted, sizeof bits);
  memcpy(&zero, &shifter, sizeof zero);
  return bits - zero;
}

/* Adds a tile's gradient and loss to the worker's fixed-point sums. Answers 0 when one is beyond the limit. */
static int add_fixed_point(const barcast_network *network, scratch *s, double loss) {
  const size_t length = network->gradient_length;
  /* Without their signs, numbers order as their bits do, infinities and NaN last. */
  int32_t largest_bits = 0;
  for (size_t p = 0; p < length; p++) {
    int32_t bits;
    memcpy(&bits, &s->gradient[p], sizeof bits);
    bits &= 0x7fffffff;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  float largest;
  memcpy(&largest, &largest_bits, sizeof largest);
  if (!(largest <= (float)FIXED_LIMIT) || !(fabs(loss) <= FIXED_LIMIT)) return 0;
  /* Wraps as two's complement does, so that no order of addition matters. */
  uint64_t *sums = (uint64_t *)s->sums;
  const float *gradient = s->gradient;
  if (largest < 2048.0f) {
    for (size_t p = 0; p < length; p++) sums[p] += (uint64_t)fixed_point_small(gradient[p]);
  } else {
    for (size_t p = 0; p < length; p++) sums[p] += (uint64_t)llrint((double)gradient[p] * FIXED_POINT);
  }
  s->loss = (int64_t)((uint64_t)s->loss + (uint64_t)llrint(loss * FIXED_POINT));
  s->bound += (int64_t)ceil(fmax(loss, largest));
  return 1;
}

/* Adds one tile's gradient and loss to the worker's sums. */
static barcast_status add_tile(const tile *at, const barcast_goal *goal, scratch *s) {
  if (!lstm_forward(at, s)) return BARCAST_NOT_FINITE;
  memset(s->gradient, 0, at->network->gradient_length * sizeof(float));
  double loss = head_gradient(at, goal, s);
  lstm_backward(at->network, s);
  return add_fixed_point(at->network, s, loss) ? BARCAST_OK : BARCAST_DIVERGED;
}

static void gradient_tile(void *context, int worker, int64_t item) {
  call *c = context;
  if (atomic_load_explicit(&c->status, memory_order_relaxed) != BARCAST_OK) return;
  const int64_t first = item * BARCAST_TILE, left = c->windows->sequences - first;
  const tile at = {c->network, c->windows, first, left < BARCAST_TILE ? (int)left : BARCAST_TILE};
  scratch *s = worker_scratch(c->network, 1, worker);
  if (!s) {
    atomic_store(&c->status, BARCAST_MEMORY);
    return;
  }
  tiles_begin();
  const barcast_status status = add_tile(&at, c->goal, s);
  tiles_end();
  if (status != BARCAST_OK) atomic_store(&c->status, status);
}

static void add_sums(const linear *map, const int64_t *from, int64_t *sums) {
  for (int r = 0; r < map->rows; r++) {
    for (int c = 0; c <= map->depth; c++) {
      int64_t *to = &sums[map->row_at[r] + map->column_at[c]];
      *to = (int64_t)((uint64_t)*to + (uint64_t)from[(size_t)r * (size_t)map->columns + (size_t)c]);
    }
  }
}

/* The workers' sums in the order of the parameters. Answers 0 when a total may be beyond 64 bits. */
static int collect_sums(const barcast_network *network, int64_t *sums) {
  int64_t bound = 0;
  memset(sums, 0, (size_t)(network->parameters + 1) * sizeof(int64_t));
  for (int worker = 0; worker < pool_threads(network->kernel->pool); worker++) {
    const scratch *s = &network->training[worker];
    bound += s->bound;
    if (s->bound == 0) continue;
    for (int l = 0; l < network->lstm_count; l++)
      add_sums(&network->lstm[l].gates, s->sums + network->lstm[l].gates.gradient_at, sums);
    for (int d = 0; d < network->dense_count; d++)
      add_sums(&network->dense[d].map, s->sums + network->dense[d].map.gradient_at, sums);
    sums[network->parameters] = (int64_t)((uint64_t)sums[network->parameters] + (uint64_t)s->loss);
  }
  return bound < (int64_t)(2 * FIXED_LIMIT);
}

static void clear_sums(void *context, int worker, int64_t item) {
  (void)worker;
  const barcast_network *network = context;
  scratch *s = &network->training[item];
  if (!s->block) return;
  memset(s->sums, 0, network->gradient_length * sizeof(int64_t));
  s->loss = s->bound = 0;
}

static int gradient(barcast_network *network, const barcast_windows *windows, const barcast_goal *goal, int64_t *sums) {
  pool *threads = network->kernel->pool;
  call c = {.network = network, .windows = windows, .goal = goal};
  pool_run(threads, pool_threads(threads), network->parameters < 8192, clear_sums, network);
  pool_run(threads, (windows->sequences + BARCAST_TILE - 1) / BARCAST_TILE, 0, gradient_tile, &c);
  int status = atomic_load(&c.status);
  if (status != BARCAST_OK) return status;
  return collect_sums(network, sums) ? BARCAST_OK : BARCAST_DIVERGED;
}

int32_t barcast_network_gradient(barcast_network *network, const barcast_windows *windows, const barcast_goal *goal,
                                 int64_t *sums) {
  if (!network || !sums || !windows_are_good(network, windows)) return BARCAST_SHAPE;
  int status = goal_status(network, windows, goal);
  if (status != BARCAST_OK) return status;
  pthread_mutex_lock(&network->lock);
  status = gradient(network, windows, goal, sums);
  pthread_mutex_unlock(&network->lock);
  return status;
}

int32_t barcast_network_update(barcast_network *network, const int64_t *sums, int64_t sequences,
                               const barcast_optimizer *optimizer) {
  if (!network || !sums || sequences < 1) return BARCAST_SHAPE;
  if (!optimizer_is_good(optimizer)) return BARCAST_SETTING;
  pthread_mutex_lock(&network->lock);
  int status = optimizer_step(network, sums, sequences, optimizer);
  pthread_mutex_unlock(&network->lock);
  return status;
}

int32_t barcast_network_train(barcast_network *network, const barcast_windows *windows, const barcast_goal *goal,
                              const barcast_optimizer *optimizer, double *loss) {
  if (!network || !loss || !windows_are_good(network, windows) || windows->sequences < 1) return BARCAST_SHAPE;
  int status = goal_status(network, windows, goal);
  if (status != BARCAST_OK) return status;
  if (!optimizer_is_good(optimizer)) return BARCAST_SETTING;
  int64_t *sums = malloc((size_t)(network->parameters + 1) * sizeof(int64_t));
  if (!sums) return BARCAST_MEMORY;
  pthread_mutex_lock(&network->lock);
  status = gradient(network, windows, goal, sums);
  if (status == BARCAST_OK) status = optimizer_step(network, sums, windows->sequences, optimizer);
  pthread_mutex_unlock(&network->lock);
  if (status == BARCAST_OK) *loss = (double)sums[network->parameters] / FIXED_POINT / (double)windows->sequences;
  free(sums);
  return status;
}
