/*
 * The LSTM layers, backward in time, one layer after the other from the top.
 *
 * With dh the loss gradient of a step's h (from the step after and from the layer above) and dc that of its c:
 *
 *     dc += dh o (1 - tanh(c)^2)
 *     dz_i = dc g i (1 - i)   dz_f = dc c_before f (1 - f)   dz_g = dc i (1 - g^2)   dz_o = dh tanh(c) o (1 - o)
 *     dc_before = dc f   dh_before, dx = W^T dz   dW += dz [h, x]^T
 *
 * dz lives for GRADIENT_STEPS steps only: then its share of dW is taken while it is in the cache.
 */
#include "internal.h"

/* What one step's gate gradients are made from. All [H, BARCAST_TILE] but the gates. */
typedef struct {
  const float *gates, *cell_tanh, *cell_before;
  const float *hidden_gradient; /* from the step after */
  const float *above_gradient;  /* from the layer above, or NULL */
  float *cell_gradient;         /* in: of c after the step; out: of c before it */
  float *outer;                 /* out: [4H, BARCAST_TILE] dz */
} gate_step;

static void gate_gradients(const gate_step *s, int units) {
  const vector one = splat(1.0f);
  for (int j = 0; j < units; j++) {
#pragma GCC unroll 2
    for (int n = 0; n < BARCAST_TILE; n += VW) {
      const int place = j * BARCAST_TILE + n;
      const float *gate = s->gates + 4 * j * BARCAST_TILE + n;
      float *dz = s->outer + 4 * j * BARCAST_TILE + n;
      vector i = load(gate), f = load(gate + BARCAST_TILE);
      vector g = load(gate + 2 * BARCAST_TILE), o = load(gate + 3 * BARCAST_TILE);
      vector tanh_c = load(s->cell_tanh + place);
      vector dh = load(s->hidden_gradient + place);
      if (s->above_gradient) dh = dh + load(s->above_gradient + place);
      vector dho = dh * o;
      vector dc = load(s->cell_gradient + place) + multiply_add(-(dho * tanh_c), tanh_c, dho);
      vector dci = dc * i, dcf = dc * f;
      store(dz, dci * g * (one - i));
      store(dz + BARCAST_TILE, dcf * load(s->cell_before + place) * (one - f));
      store(dz + 2 * BARCAST_TILE, multiply_add(-(dci * g), g, dci));
      store(dz + 3 * BARCAST_TILE, dho * tanh_c * (one - o));
      store(s->cell_gradient + place, dcf);
    }
  }
}

/* What the layer above layer l left for its h of step t, in place of its own inputs. */
static const float *above_gradient(const barcast_network *network, const scratch *s, int l, int t) {
  return input_at(network, s, l + 1, t, BARCAST_TILE) + (size_t)network->lstm[l + 1].units * BARCAST_TILE;
}

static void layer_backward(const barcast_network *network, scratch *s, int l) {
  const lstm_layer *layer = &network->lstm[l];
  const linear *map = &layer->gates;
  const size_t state = (size_t)layer->units * BARCAST_TILE, gates = padded(map->rows) * BARCAST_TILE;
  const int top = l == network->lstm_count - 1, steps = network->shape.window_length;
  memset(s->cell_gradient, 0, state * sizeof(float));
  if (!top) memset(s->state_gradient, 0, state * sizeof(float));
  for (int kept = 0; kept < GRADIENT_STEPS; kept++)
    memset(s->outer + kept * gates + (size_t)map->rows * BARCAST_TILE, 0,
           (gates - (size_t)map->rows * BARCAST_TILE) * sizeof(float));
  gradient_begin(map, least(steps, GRADIENT_STEPS), s);
  int kept = 0;
  for (int t = steps - 1; t >= 0; t--) {
    float *input = input_at(network, s, l, t, BARCAST_TILE);
    float *outer = s->outer + kept * gates;
    const gate_step now = {
        .gates = s->gates[l] + (size_t)t * gates,
        .cell_tanh = s->cell_tanh[l] + (size_t)t * state,
        .cell_before = cell_at(network, s, l, t, BARCAST_TILE),
        .hidden_gradient = s->state_gradient,
        .above_gradient = top ? NULL : above_gradient(network, s, l, t),
        .cell_gradient = s->cell_gradient,
        .outer = outer,
    };
    gate_gradients(&now, layer->units);
    gradient_gather(map, input, kept, s);
    if (t > 0) multiply(&map->back[0], BARCAST_TILE, outer, NULL, s->state_gradient);
    /* The layer below finds its gradient where its h was. */
    if (map->backs > 1) multiply(&map->back[1], BARCAST_TILE, outer, NULL, input + state);
    if (++kept == GRADIENT_STEPS || t == 0) {
      gradient_add(map, s->outer, kept, s);
      kept = 0;
    }
  }
  gradient_end(map, s);
}

void lstm_backward(const barcast_network *network, scratch *s) {
  for (int l = network->lstm_count - 1; l >= 0; l--) layer_backward(network, s, l);
}
