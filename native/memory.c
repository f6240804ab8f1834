/* A network's memory: what is allocated, how much, and where each part lies. */
#include <stdlib.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "internal.h"

enum { LINE = 64, HUGE_PAGE = 1 << 21 };

/* Aligned for every vector; large blocks for large pages, which spare the address translation. */
void *aligned_zeros(size_t bytes) {
  void *p = NULL;
  size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : LINE;
  bytes = (bytes + LINE - 1) / LINE * LINE;
  if (bytes == 0) bytes = LINE;
  if (posix_memalign(&p, alignment, bytes) != 0) return NULL;
#if defined(__linux__)
  if (alignment == HUGE_PAGE) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  memset(p, 0, bytes);
  return p;
}

/* Inner dimensions beyond this are cut: this many rows of a tile take 33 KB, about a first-level cache. */
enum { MOST_DEPTH = 264 };

static int pack_build(pack *p, int rows, int height, int depth, const int32_t *row_at, const int32_t *depth_at) {
  p->rows = rows;
  p->depth = depth;
  p->row_at = row_at;
  p->depth_at = depth_at;
  p->groups = (rows + height - 1) / height;
  p->height = height;
  p->part = least(ROWS, height);
  p->cuts = (depth + MOST_DEPTH - 1) / MOST_DEPTH;
  p->cut = (depth + p->cuts - 1) / p->cuts;
  p->data = aligned_zeros((size_t)p->groups * (size_t)height * (size_t)depth * sizeof(float));
  return p->data != NULL;
}

/*
 * `height`: rows of a group on the way forward, 0 when vectors do not go it; `back_split`: inputs of the first
 * transposed pack; `back_all`: whether the rest get one too.
 */
static int linear_build(barcast_network *network, linear *map, int height, int back_split, int back_all) {
  map->columns = (map->depth + 1 + VW - 1) / VW * VW;
  map->tail = (map->depth + 1) % VW;
  if (map->tail > TAIL) map->tail = 0;
  map->paneled = map->depth + 1 - map->tail;
  map->bias = aligned_zeros(padded(map->rows) * sizeof(float));
  map->gradient_at = network->gradient_length;
  network->gradient_length += padded(map->rows) * (size_t)map->columns;
  if (!map->bias || (height > 0 && !pack_build(&map->forward, map->rows, height, map->depth, map->row_at, map->column_at)))
    return 0;
  const int rest = map->depth - back_split;
  if (!pack_build(&map->back[map->backs++], back_split, height_of(back_split), map->rows, map->column_at, map->row_at))
    return 0;
  if (!back_all || rest == 0) return 1;
  return pack_build(&map->back[map->backs++], rest, height_of(rest), map->rows, map->column_at + back_split, map->row_at);
}

static int linear_tables(linear *map, int rows, int depth) {
  map->rows = rows;
  map->depth = depth;
  map->row_at = calloc((size_t)rows, sizeof(int32_t));
  map->column_at = calloc((size_t)depth + 1, sizeof(int32_t));
  return map->row_at && map->column_at;
}

static int lstm_build(barcast_network *network, int l, int inputs, int32_t *offset) {
  lstm_layer *layer = &network->lstm[l];
  const int units = network->shape.lstm_units[l];
  layer->units = units;
  layer->inputs = inputs;
  linear *map = &layer->gates;
  if (!linear_tables(map, 4 * units, units + inputs)) return 0;
  for (int r = 0; r < 4 * units; r++) map->row_at[r] = r % 4 * units + r / 4;
  const int32_t recurrent = *offset + inputs * 4 * units, bias = recurrent + units * 4 * units;
  for (int k = 0; k < units; k++) map->column_at[k] = recurrent + k * 4 * units;
  for (int i = 0; i < inputs; i++) map->column_at[units + i] = *offset + i * 4 * units;
  map->column_at[units + inputs] = bias;
  *offset = bias + 4 * units;
#if defined(BARCAST_AMX)
  tile_pack *tiles = &layer->tiles;
  tiles->groups = (map->rows + TILE_GROUP - 1) / TILE_GROUP;
  tiles->blocks = blocks_of(map->depth);
  tiles->data = aligned_zeros(tile_pack_bytes(tiles));
  tiles->bias = aligned_zeros((size_t)tiles->groups * TILE_GROUP * VW * sizeof(float));
  return tiles->data && tiles->bias && linear_build(network, map, 0, units, l > 0);
#else
  return linear_build(network, map, GROUP, units, l > 0);
#endif
}

static int dense_build(barcast_network *network, int d, int inputs, int32_t *offset) {
  dense_layer *layer = &network->dense[d];
  const int units = network->shape.dense_units[d];
  layer->relu = network->shape.dense_activations[d] == BARCAST_RELU;
  linear *map = &layer->map;
  if (!linear_tables(map, units, inputs)) return 0;
  for (int u = 0; u < units; u++) map->row_at[u] = u;
  for (int i = 0; i <= inputs; i++) map->column_at[i] = *offset + i * units;
  *offset += (inputs + 1) * units;
  return linear_build(network, map, height_of(units), inputs, 0);
}

/* Fills a zeroed network for a checked shape, without weights. Answers 0 when there is no memory. */
int network_build(barcast_network *network, const barcast_shape *shape) {
  network->shape = *shape;
  network->lstm_count = shape->lstm_layers;
  network->dense_count = shape->dense_layers;
  network->outputs = shape->dense_units[shape->dense_layers - 1];
  int32_t offset = 0;
  int inputs = shape->features;
  for (int l = 0; l < shape->lstm_layers; l++) {
    if (!lstm_build(network, l, inputs, &offset)) return 0;
    inputs = shape->lstm_units[l];
  }
  for (int d = 0; d < shape->dense_layers; d++) {
    if (!dense_build(network, d, inputs, &offset)) return 0;
    inputs = shape->dense_units[d];
  }
  network->parameters = offset;
  for (int i = 0; i < 2; i++) {
    moments *state = i ? &network->next : &network->now;
    state->weights = aligned_zeros((size_t)offset * sizeof(float));
    state->m = aligned_zeros((size_t)offset * sizeof(float));
    state->v = aligned_zeros((size_t)offset * sizeof(float));
    if (!state->weights || !state->m || !state->v) return 0;
  }
  const size_t threads = (size_t)pool_threads(network->kernel->pool);
  network->inference = calloc(threads, sizeof(scratch));
  network->training = calloc(threads, sizeof(scratch));
  return network->inference && network->training;
}

static void linear_free(linear *map) {
  free(map->row_at);
  free(map->column_at);
  free(map->bias);
  free(map->forward.data);
  for (int b = 0; b < map->backs; b++) free(map->back[b].data);
}

void network_free(barcast_network *network) {
  for (int l = 0; l < network->lstm_count; l++) {
    linear_free(&network->lstm[l].gates);
#if defined(BARCAST_AMX)
    free(network->lstm[l].tiles.data);
    free(network->lstm[l].tiles.bias);
#endif
  }
  for (int d = 0; d < network->dense_count; d++) linear_free(&network->dense[d].map);
  for (int i = 0; i < 2; i++) {
    moments *state = i ? &network->next : &network->now;
    free(state->weights);
    free(state->m);
    free(state->v);
  }
  for (int i = 0; i < pool_threads(network->kernel->pool); i++) {
    if (network->inference) free(network->inference[i].block);
    if (network->training) free(network->training[i].block);
  }
  free(network->inference);
  free(network->training);
  free(network);
}

/* Hands out parts of a block; without one it only counts. */
typedef struct {
  char *block;
  size_t used;
} arena;

static void *take(arena *a, size_t bytes) {
  void *p = a->block ? a->block + a->used : NULL;
  a->used += (bytes + LINE - 1) / LINE * LINE;
  return p;
}

static float *take_slabs(arena *a, size_t slabs, size_t rows) {
  return take(a, slabs * rows * BARCAST_TILE * sizeof(float));
}

static void scratch_lay_out(const barcast_network *network, int training, scratch *s, arena *a) {
  const size_t steps = (size_t)network->shape.window_length;
  size_t most_rows = 0, most_columns = 0, most_units = 0, last = 0;
  s->slots = training ? (int)steps + 1 : 2;
  for (int l = 0; l < network->lstm_count; l++) {
    const lstm_layer *layer = &network->lstm[l];
    const size_t rows = padded(layer->gates.rows);
    last = (size_t)layer->units;
    s->input[l] = take_slabs(a, (size_t)s->slots, input_rows(layer));
    s->cell[l] = take_slabs(a, (size_t)s->slots, last);
    s->gates[l] = take_slabs(a, training ? steps : 1, rows);
    if (training) s->cell_tanh[l] = take_slabs(a, steps, last);
    if (rows > most_rows) most_rows = rows;
    if ((size_t)layer->gates.columns > most_columns) most_columns = (size_t)layer->gates.columns;
    if (last > most_units) most_units = last;
  }
#if defined(BARCAST_AMX)
  int most_depth = 0;
  for (int l = 0; l < network->lstm_count; l++) {
    if (network->lstm[l].gates.depth > most_depth) most_depth = network->lstm[l].gates.depth;
  }
  s->split = take(a, split_bytes(most_depth));
#endif
  s->dense[0] = take_slabs(a, 1, last);
  for (int d = 0; d < network->dense_count; d++) {
    const linear *map = &network->dense[d].map;
    s->dense[d + 1] = take_slabs(a, 1, padded(map->rows));
    if (padded(map->rows) > most_rows) most_rows = padded(map->rows);
    if ((size_t)map->columns > most_columns) most_columns = (size_t)map->columns;
  }
  if (!training) return;
  s->mask = take_slabs(a, 1, last);
  s->state_gradient = take_slabs(a, 1, padded((int)most_units));
  s->cell_gradient = take_slabs(a, 1, most_units);
  for (int i = 0; i < 2; i++) s->delta[i] = take_slabs(a, 1, most_rows);
  s->outer = take_slabs(a, GRADIENT_STEPS, most_rows);
  s->columns = take_slabs(a, GRADIENT_STEPS, most_columns);
  s->tail_columns = take_slabs(a, GRADIENT_STEPS, TAIL);
  s->tail_sums = take(a, most_rows * TAIL * VW * sizeof(float));
  s->gradient = take(a, network->gradient_length * sizeof(float));
  s->sums = take(a, network->gradient_length * sizeof(int64_t));
}

/*
 * A worker's memory for inference or training, made when it first has a tile, by itself, so that it lies near its core.
 * Answers NULL when there is none.
 */
scratch *worker_scratch(const barcast_network *network, int training, int worker) {
  scratch *s = training ? &network->training[worker] : &network->inference[worker];
  if (s->block) return s;
  arena measure = {0};
  scratch_lay_out(network, training, s, &measure);
  arena real = {.block = aligned_zeros(measure.used)};
  if (!real.block) return NULL;
  scratch_lay_out(network, training, s, &real);
  s->block = real.block;
  return s;
}
