/*
 * The LSTM layers, forward in time, all layers step by step (Hochreiter & Schmidhuber 1997; Gers et al. 2000):
 *
 *     i, f, o = sigmoid(W [h, x] + b)   g = tanh(W [h, x] + b)   c' = f c + i g   h' = o tanh(c')
 *
 * The sums of three units are made in registers and turned into c and h before the next three, so that they need no
 * memory beyond the first-level cache.
 */
#include "internal.h"

/* Numbers that are fetched at once: a line of memory. */
enum { FETCHED = 16 };

/*
 * Fetches step t of the windows ahead of time. Windows of a shuffled batch lie far apart, and the processor foresees
 * none of them (3% of a training step).
 */
INLINE void fetch_inputs(const tile *at, int t) {
  const barcast_windows *w = at->windows;
  const int columns = w->columns;
  for (int lane = 0; lane < at->count; lane++) {
    const float *row = w->matrix + ((int64_t)w->starts[at->first + lane] + t) * columns;
    for (int f = 0; f < columns; f += FETCHED) __builtin_prefetch(row + f);
    __builtin_prefetch(row + columns - 1);
  }
}

INLINE float scaled(float raw, float shift, float gain, uint32_t *bad) {
  const float value = (raw - shift) * gain;
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  *bad |= (bits & 0x7f800000u) == 0x7f800000u;
  return value;
}

/*
 * Step t of the windows, scaled, into x [F, lanes]. Features that the matrix does not hold are the same at every step:
 * those of `before`, the last step's x, unless it is NULL. Answers 0 when one is not finite.
 */
INLINE int gather_inputs(const tile *at, int t, const int lanes, const float *before, float *x) {
  const barcast_windows *w = at->windows;
  const int features = at->network->shape.features, columns = w->columns;
  const int made = before ? columns : features;
  uint32_t bad = 0;
  for (int lane = 0; lane < at->count; lane++) {
    const int64_t sequence = at->first + lane;
    const float *row = w->matrix + ((int64_t)w->starts[sequence] + t) * columns;
    const float *shift = w->shift + sequence * w->scale_stride, *gain = w->gain + sequence * w->scale_stride;
    for (int f = 0; f < columns; f++) x[f * lanes + lane] = scaled(row[f], shift[f], gain[f], &bad);
    for (int f = columns; f < made; f++) x[f * lanes + lane] = scaled(1.0f, shift[f], gain[f], &bad);
  }
  for (int lane = at->count; lane < lanes; lane++) {
    for (int f = 0; f < made; f++) x[f * lanes + lane] = 0.0f;
  }
  const size_t kept = (size_t)made * lanes;
  if (before && before != x) memcpy(x + kept, before + kept, (size_t)(features - made) * lanes * sizeof(float));
  return !bad;
}

/* One layer's step: what it reads and where its results go. */
typedef struct {
  const float *input;       /* [H + I, lanes] */
  const float *cell;        /* [H, lanes] */
  float *cell_next;         /* [H, lanes] */
  float *hidden_next;       /* [H, lanes] */
  float *hidden_above;      /* [H, lanes] the next layer's inputs, or NULL */
  float *cell_tanh, *gates; /* [H, lanes] and [4H padded, lanes] to keep for the way back, or NULL */
  float *sums;              /* [4H padded, lanes] sums before the activation; vectors, inner dimension in blocks */
  char *split;              /* the input split for tiles */
} step;

/*
 * `units` units, `first` the first, from their sums [4 units, lanes] before the activation. Two passes, to the cell
 * state and from it, as a chain of dependent operations through both would leave the processor waiting. Each shares a
 * division between a sigmoid and a tanh. With tiles, the next units' sums are made meanwhile: `beside`.
 */
INLINE void activate(const step *s, const float *sums, int first, int units, const int lanes, tile_product *beside) {
  const int abreast = least(lanes / VW, ABREAST);
  const int terms = product_terms(beside, 2 * units * lanes / VW / abreast);
  for (int u = 0; u < units; u++) {
    for (int n = 0; n < lanes; n += abreast * VW) {
      const float *from = sums + 4 * u * lanes + n;
      const int place = (first + u) * lanes + n;
      vector i[ABREAST], f[ABREAST], g[ABREAST];
#pragma GCC unroll 4
      for (int v = 0; v < abreast; v++) {
        i[v] = load(from + v * VW);
        f[v] = load(from + lanes + v * VW);
        g[v] = load(from + 2 * lanes + v * VW);
      }
      sigmoids_and_tangents(abreast, i, g);
      sigmoids(abreast, f);
#pragma GCC unroll 4
      for (int v = 0; v < abreast; v++) {
        store(s->cell_next + place + v * VW, multiply_add(f[v], load(s->cell + place + v * VW), i[v] * g[v]));
        if (!s->gates) continue;
        float *keep = s->gates + 4 * (first + u) * lanes + n;
        store(keep + v * VW, i[v]);
        store(keep + lanes + v * VW, f[v]);
        store(keep + 2 * lanes + v * VW, g[v]);
      }
      product_steps(beside, terms, lanes / VW);
    }
  }
  for (int u = 0; u < units; u++) {
    for (int n = 0; n < lanes; n += abreast * VW) {
      const int place = (first + u) * lanes + n;
      vector o[ABREAST], c[ABREAST];
#pragma GCC unroll 4
      for (int v = 0; v < abreast; v++) {
        o[v] = load(sums + (4 * u + 3) * lanes + n + v * VW);
        c[v] = load(s->cell_next + place + v * VW);
      }
      sigmoids_and_tangents(abreast, o, c);
#pragma GCC unroll 4
      for (int v = 0; v < abreast; v++) {
        store(s->hidden_next + place + v * VW, o[v] * c[v]);
        if (s->hidden_above) store(s->hidden_above + place + v * VW, o[v] * c[v]);
        if (!s->gates) continue;
        store(s->cell_tanh + place + v * VW, c[v]);
        store(s->gates + (4 * (first + u) + 3) * lanes + n + v * VW, o[v]);
      }
      product_steps(beside, terms, lanes / VW);
    }
  }
}

#if defined(BARCAST_AMX)

INLINE void lstm_step(const lstm_layer *layer, const step *s, const int lanes) {
  const tile_pack *p = &layer->tiles;
  float sums[2][TILE_GROUP * BARCAST_TILE] __attribute__((aligned(64)));
  split_slab(s->input, layer->gates.depth, lanes, s->split);
  tile_product product = product_begin(p, 0, lanes, s->split);
  product_end(&product, lanes, sums[0]);
  for (int group = 0; group < p->groups; group++) {
    const int more = group + 1 < p->groups;
    const int first = group * TILE_GROUP / 4;
    if (more) product = product_begin(p, group + 1, lanes, s->split);
    activate(s, sums[group % 2], first, least(TILE_GROUP / 4, layer->units - first), lanes, &product);
    if (more) product_end(&product, lanes, sums[(group + 1) % 2]);
  }
}

#else

INLINE void lstm_step(const lstm_layer *layer, const step *s, const int lanes) {
  const pack *p = &layer->gates.forward;
  const int last = p->cuts - 1;
  float group_sums[GROUP * BARCAST_TILE] __attribute__((aligned(64)));
  for (int block = 0; block <= last; block++) {
    const float *in = s->input + (size_t)block * p->cut * lanes;
    for (int group = 0; group < p->groups; group++) {
      const pack_part part = pack_group(p, block, group);
      float *sums = last == 0 ? group_sums : s->sums + (size_t)group * GROUP * lanes;
      if (block == 0) multiply_group(&part, GROUP, lanes, in, layer->gates.bias + group * GROUP, 0, sums);
      else multiply_group(&part, GROUP, lanes, in, NULL, 0, sums);
      if (block == last) activate(s, sums, group * GROUP / 4, least(GROUP, part.rows) / 4, lanes, NULL);
    }
  }
}

#endif

INLINE int forward(const tile *at, scratch *s, const int lanes) {
  const barcast_network *network = at->network;
  const int steps = network->shape.window_length;
  const int keep = s->cell_tanh[0] != NULL;
  int finite = 1;
  for (int l = 0; l < network->lstm_count; l++) {
    const size_t bytes = (size_t)network->lstm[l].units * lanes * sizeof(float);
    memset(input_at(network, s, l, 0, lanes), 0, bytes);
    memset(cell_at(network, s, l, 0, lanes), 0, bytes);
  }
  const float *before = NULL;
  fetch_inputs(at, 0);
  for (int t = 0; t < steps; t++) {
    if (t + 1 < steps) fetch_inputs(at, t + 1);
    float *x = input_at(network, s, 0, t, lanes) + network->lstm[0].units * lanes;
    finite &= gather_inputs(at, t, lanes, before, x);
    before = x;
    for (int l = 0; l < network->lstm_count; l++) {
      const lstm_layer *layer = &network->lstm[l];
      const size_t state = (size_t)layer->units * lanes, gates = padded(4 * layer->units) * lanes;
      step now = {
          .input = input_at(network, s, l, t, lanes),
          .cell = cell_at(network, s, l, t, lanes),
          .cell_next = cell_at(network, s, l, t + 1, lanes),
          .hidden_next = input_at(network, s, l, t + 1, lanes),
          .sums = s->gates[l],
          .split = s->split,
      };
      if (l + 1 < network->lstm_count)
        now.hidden_above = input_at(network, s, l + 1, t, lanes) + network->lstm[l + 1].units * lanes;
      if (keep) {
        now.sums = now.gates = s->gates[l] + (size_t)t * gates;
        now.cell_tanh = s->cell_tanh[l] + (size_t)t * state;
      }
      lstm_step(layer, &now, lanes);
    }
  }
  return finite;
}

int lstm_forward(const tile *at, scratch *s) { return forward(at, s, BARCAST_TILE); }

int lstm_forward_narrow(const tile *at, scratch *s) { return forward(at, s, VW); }
