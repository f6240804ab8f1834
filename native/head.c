/* What follows the LSTM layers: dropout on the final hidden state, the dense layers, the loss, and their way back. */
#include <math.h>

#include "internal.h"

/* Philox4x32-10 (Salmon et al., SC11), as src/base/random.ts, of every lane's counter x at once. */
static void philox(uint32_t key0, uint32_t key1, uint32_t x[4][BARCAST_TILE]) {
  for (int round = 0; round < 10; round++) {
    for (int lane = 0; lane < BARCAST_TILE; lane++) {
      uint64_t a = (uint64_t)0xd2511f53u * x[0][lane], b = (uint64_t)0xcd9e8d57u * x[2][lane];
      x[0][lane] = (uint32_t)(b >> 32) ^ x[1][lane] ^ key0;
      x[2][lane] = (uint32_t)(a >> 32) ^ x[3][lane] ^ key1;
      x[1][lane] = (uint32_t)b;
      x[3][lane] = (uint32_t)a;
    }
    key0 += 0x9e3779b9u;
    key1 += 0xbb67ae85u;
  }
}

static const float *final_hidden(const barcast_network *network, const scratch *s, int lanes) {
  return input_at(network, s, network->lstm_count - 1, network->shape.window_length, lanes);
}

static int final_units(const barcast_network *network) { return network->lstm[network->lstm_count - 1].units; }

/* Multipliers [H, BARCAST_TILE] of the final hidden state: the rule of src/kernel/dropout.ts. */
static void draw_mask(const tile *at, const barcast_goal *goal, float *mask) {
  const double dropout = at->network->shape.dropout;
  const uint64_t threshold = (uint64_t)floor(dropout * 4294967296.0 + 0.5);
  const float kept = (float)(1.0 / (1.0 - dropout));
  const int units = final_units(at->network);
  const uint32_t first = (uint32_t)(goal->first_sequence + at->first);
  for (int unit = 0; unit < units; unit += 4) {
    uint32_t words[4][BARCAST_TILE];
    for (int lane = 0; lane < BARCAST_TILE; lane++) {
      words[0][lane] = first + (uint32_t)lane;
      words[1][lane] = (uint32_t)unit / 4;
      words[2][lane] = 0;
      words[3][lane] = 0x64726f70u;
    }
    philox(goal->dropout_seed, goal->step, words);
    for (int u = 0; u < least(4, units - unit); u++) {
      for (int lane = 0; lane < BARCAST_TILE; lane++)
        mask[(unit + u) * BARCAST_TILE + lane] = words[u][lane] < threshold ? 0.0f : kept;
    }
  }
}

static void multiply_slab(float *out, const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i += VW) store(out + i, load(a + i) * load(b + i));
}

INLINE void dense_forward(const barcast_network *network, scratch *s, const int lanes) {
  for (int d = 0; d < network->dense_count; d++) {
    const dense_layer *layer = &network->dense[d];
    float *out = s->dense[d + 1];
    multiply(&layer->map.forward, lanes, s->dense[d], layer->map.bias, out);
    if (!layer->relu) continue;
    for (int i = 0; i < layer->map.rows * lanes; i += VW) {
      vector x = load(out + i);
      store(out + i, (vector)((x > splat(0.0f)) & (vector_int)x));
    }
  }
}

/* From the final hidden state to outputs [B, O], this tile's rows. */
void head_outputs(const tile *at, scratch *s, int lanes, float *outputs) {
  const barcast_network *network = at->network;
  memcpy(s->dense[0], final_hidden(network, s, lanes), (size_t)final_units(network) * (size_t)lanes * sizeof(float));
  if (lanes == VW) dense_forward(network, s, VW);
  else dense_forward(network, s, BARCAST_TILE);
  const float *out = s->dense[network->dense_count];
  for (int lane = 0; lane < at->count; lane++) {
    for (int o = 0; o < network->outputs; o++)
      outputs[(at->first + lane) * network->outputs + o] = out[o * lanes + lane];
  }
}

/* One output's loss and its slope in the output; level is the pinball loss's. As src/kernel/kernel.ts. */
static double point_loss(const barcast_goal *goal, double level, double error, double *slope) {
  switch (goal->loss) {
    case BARCAST_HUBER:
      if (fabs(error) <= goal->delta) {
        *slope = error;
        return 0.5 * error * error;
      }
      *slope = error > 0 ? goal->delta : error < 0 ? -goal->delta : error;
      return goal->delta * (fabs(error) - 0.5 * goal->delta);
    case BARCAST_PINBALL:
      *slope = error < 0 ? -level : error > 0 ? 1 - level : error;
      return error < 0 ? -level * error : (1 - level) * error;
    default:
      *slope = 2 * error;
      return error * error;
  }
}

/* The tile's loss, summed over its sequences; slopes [O, BARCAST_TILE], zero in unused lanes. */
static double loss_slopes(const tile *at, const barcast_goal *goal, const float *out, float *slopes) {
  const int outputs = at->network->outputs;
  double sum = 0;
  memset(slopes, 0, (size_t)outputs * BARCAST_TILE * sizeof(float));
  for (int lane = 0; lane < at->count; lane++) {
    double sequence = 0;
    for (int o = 0; o < outputs; o++) {
      double slope = 0, level = goal->loss == BARCAST_PINBALL ? (double)goal->levels[o] : 0.0;
      double error = (double)out[o * BARCAST_TILE + lane] - (double)goal->targets[(at->first + lane) * outputs + o];
      sequence += point_loss(goal, level, error, &slope);
      slopes[o * BARCAST_TILE + lane] = (float)(slope / outputs);
    }
    sum += sequence / outputs;
  }
  return sum;
}

/*
 * The tile's loss; adds the dense layers' gradients to s->gradient and leaves that of the final hidden state in
 * s->state_gradient.
 */
double head_gradient(const tile *at, const barcast_goal *goal, scratch *s) {
  const barcast_network *network = at->network;
  const size_t state = (size_t)final_units(network) * BARCAST_TILE;
  const int masked = network->shape.dropout > 0;
  if (masked) {
    draw_mask(at, goal, s->mask);
    multiply_slab(s->dense[0], final_hidden(network, s, BARCAST_TILE), s->mask, state);
  } else {
    memcpy(s->dense[0], final_hidden(network, s, BARCAST_TILE), state * sizeof(float));
  }
  dense_forward(network, s, BARCAST_TILE);
  double loss = loss_slopes(at, goal, s->dense[network->dense_count], s->delta[0]);
  for (int d = network->dense_count - 1, turn = 0; d >= 0; d--, turn ^= 1) {
    const dense_layer *layer = &network->dense[d];
    float *delta = s->delta[turn];
    if (layer->relu) {
      const float *out = s->dense[d + 1];
      for (int i = 0; i < layer->map.rows * BARCAST_TILE; i += VW)
        store(delta + i, (vector)((load(out + i) > splat(0.0f)) & (vector_int)load(delta + i)));
    }
    const size_t used = (size_t)layer->map.rows * BARCAST_TILE;
    memset(delta + used, 0, padded(layer->map.rows) * BARCAST_TILE * sizeof(float) - used * sizeof(float));
    gradient_begin(&layer->map, 1, s);
    gradient_gather(&layer->map, s->dense[d], 0, s);
    gradient_add(&layer->map, delta, 1, s);
    gradient_end(&layer->map, s);
    multiply(&layer->map.back[0], BARCAST_TILE, delta, NULL, d > 0 ? s->delta[turn ^ 1] : s->state_gradient);
  }
  if (masked) multiply_slab(s->state_gradient, s->state_gradient, s->mask, state);
  return loss;
}
