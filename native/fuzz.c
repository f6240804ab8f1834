/*
 * A fuzzer of the door: random shapes, sizes and arguments, good and bad, against arrays of exactly the stated lengths.
 * Built with the other sources under AddressSanitizer and UndefinedBehaviorSanitizer by
 * test/kernel/native-fuzz.test.ts; `fuzz SEED CASES` prints one line and exits 0, or stops at the first fault.
 *
 * Good calls must succeed, give finite numbers and the answer of a scalar forward pass in float64; bad ones must be
 * refused with the status that fits.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "barcast_kernel.h"

typedef struct {
  uint64_t state;
} dice;

static uint32_t roll(dice *d, uint32_t below) { /* splitmix64 (Steele, Lea & Flood 2014) */
  uint64_t z = d->state += 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return (uint32_t)((z ^ (z >> 31)) >> 33) % below;
}

static int between(dice *d, int low, int high) { return low + (int)roll(d, (uint32_t)(high - low + 1)); }

static float small(dice *d) { return (float)roll(d, 2000001) / 1000000.0f - 1.0f; }

static float *numbers(dice *d, size_t n, float scale) {
  float *p = malloc(n * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = small(d) * scale;
  return p;
}

#define REQUIRE(condition)                                                                       \
  do {                                                                                           \
    if (!(condition)) {                                                                          \
      fprintf(stderr, "case %d, line %d: %s\n", current_case, __LINE__, #condition);             \
      abort();                                                                                   \
    }                                                                                            \
  } while (0)

/* One case: a network and a batch, every array of the length the header states. */
typedef struct {
  barcast_shape shape;
  int64_t parameters;
  int outputs;
  float *weights, *matrix, *whole, *shift, *gain, *targets, *levels;
  int32_t *starts;
  barcast_windows windows, whole_windows; /* the same: a matrix of the first features alone, and with ones for the rest */
  barcast_goal goal;
  barcast_optimizer optimizer;
} example;

static int units(dice *d) {
  switch (roll(d, 20)) {
    case 0: return between(d, 1, 256);
    case 1: return 1;
    default: return between(d, 1, 30);
  }
}

static barcast_shape random_shape(dice *d) {
  barcast_shape s = {.dropout = roll(d, 2) ? 0 : roll(d, 99) / 100.0};
  s.window_length = roll(d, 8) ? between(d, 1, 6) : between(d, 1, 60);
  s.features = between(d, 1, 32);
  s.lstm_layers = between(d, 1, 3);
  s.dense_layers = between(d, 1, 4);
  for (int l = 0; l < 3; l++) s.lstm_units[l] = units(d);
  for (int l = 0; l < 4; l++) {
    s.dense_units[l] = units(d);
    s.dense_activations[l] = between(d, 0, 1);
  }
  return s;
}

static int64_t count_parameters(const barcast_shape *s) {
  int64_t n = 0;
  int inputs = s->features;
  for (int l = 0; l < s->lstm_layers; l++) {
    n += 4ll * s->lstm_units[l] * (inputs + s->lstm_units[l] + 1);
    inputs = s->lstm_units[l];
  }
  for (int l = 0; l < s->dense_layers; l++) {
    n += (inputs + 1ll) * s->dense_units[l];
    inputs = s->dense_units[l];
  }
  return n;
}

static example random_example(dice *d) {
  example e = {.shape = random_shape(d)};
  const int features = e.shape.features, steps = e.shape.window_length;
  e.parameters = count_parameters(&e.shape);
  e.outputs = e.shape.dense_units[e.shape.dense_layers - 1];
  const int64_t sequences = roll(d, 6) ? between(d, 1, 40) : between(d, 0, 100);
  const int64_t rows = steps + between(d, 0, 50);
  const int32_t stride = roll(d, 2) ? features : 0;
  const size_t scales = (size_t)(stride ? sequences * features : features);
  e.weights = numbers(d, (size_t)e.parameters, 0.3f);
  const int32_t columns = roll(d, 2) ? features : between(d, 1, features);
  e.matrix = numbers(d, (size_t)(rows * columns), 1);
  e.whole = malloc((size_t)(rows * features) * sizeof(float));
  for (int64_t i = 0; i < rows * features; i++)
    e.whole[i] = i % features < columns ? e.matrix[i / features * columns + i % features] : 1;
  e.shift = numbers(d, scales, 1);
  e.gain = numbers(d, scales, 1);
  e.targets = numbers(d, (size_t)(sequences * e.outputs), 1);
  e.levels = malloc((size_t)e.outputs * sizeof(float));
  for (int o = 0; o < e.outputs; o++) e.levels[o] = (1 + (float)roll(d, 98)) / 100;
  e.starts = malloc((size_t)sequences * sizeof(int32_t));
  for (int64_t b = 0; b < sequences; b++) e.starts[b] = between(d, 0, (int)rows - steps);
  e.windows = (barcast_windows){e.matrix, e.starts, e.shift, e.gain, rows, sequences, stride, columns};
  e.whole_windows = (barcast_windows){e.whole, e.starts, e.shift, e.gain, rows, sequences, stride, features};
  e.goal = (barcast_goal){.targets = e.targets, .levels = e.levels, .delta = 0.5, .loss = between(d, 0, 2)};
  e.goal.first_sequence = 32 * between(d, 0, 9);
  e.goal.dropout_seed = roll(d, 1u << 31);
  e.goal.step = roll(d, 1000);
  e.optimizer = (barcast_optimizer){0.001, 0.9, 0.999, 1e-7, roll(d, 2) ? 0.01 : 0, roll(d, 2) ? 0.1 : 0};
  return e;
}

static void free_example(example *e) {
  free(e->weights);
  free(e->matrix);
  free(e->whole);
  free(e->shift);
  free(e->gain);
  free(e->targets);
  free(e->levels);
  free(e->starts);
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }

/* Outputs [O] of window b, step by step in float64. */
static void scalar_forward(const example *e, int64_t b, double *outputs) {
  const barcast_shape *s = &e->shape;
  const int features = s->features;
  double h[3][256] = {{0}}, c[3][256] = {{0}}, in[256], z[1024];
  for (int t = 0; t < s->window_length; t++) {
    for (int f = 0; f < features; f++) {
      int64_t scale = b * e->windows.scale_stride + f;
      float raw = f < e->windows.columns ? e->matrix[(e->starts[b] + t) * e->windows.columns + f] : 1;
      in[f] = (raw - e->shift[scale]) * e->gain[scale];
    }
    const float *w = e->weights;
    int inputs = features;
    for (int l = 0; l < s->lstm_layers; l++) {
      const int n = s->lstm_units[l];
      const float *recurrent = w + inputs * 4 * n, *bias = recurrent + n * 4 * n;
      for (int r = 0; r < 4 * n; r++) {
        z[r] = bias[r];
        for (int i = 0; i < inputs; i++) z[r] += in[i] * w[i * 4 * n + r];
        for (int i = 0; i < n; i++) z[r] += h[l][i] * recurrent[i * 4 * n + r];
      }
      for (int j = 0; j < n; j++) {
        c[l][j] = logistic(z[n + j]) * c[l][j] + logistic(z[j]) * tanh(z[2 * n + j]);
        h[l][j] = logistic(z[3 * n + j]) * tanh(c[l][j]);
        in[j] = h[l][j];
      }
      w = bias + 4 * n;
      inputs = n;
    }
    if (t < s->window_length - 1) continue;
    for (int d = 0; d < s->dense_layers; d++) {
      const int n = s->dense_units[d];
      for (int u = 0; u < n; u++) {
        z[u] = w[inputs * n + u];
        for (int i = 0; i < inputs; i++) z[u] += in[i] * w[i * n + u];
        if (s->dense_activations[d] == BARCAST_RELU && z[u] < 0) z[u] = 0;
      }
      memcpy(in, z, (size_t)n * sizeof(double));
      w += (inputs + 1) * n;
      inputs = n;
    }
  }
  memcpy(outputs, in, (size_t)e->outputs * sizeof(double));
}

/* A matrix with ones for the features that the other leaves out gives the same bits. */
static void same_with_ones(barcast_network *network, const example *e, const float *outputs, const int64_t *sums,
                           int current_case) {
  const size_t bytes = (size_t)(e->windows.sequences * e->outputs) * sizeof(float);
  const size_t sum_bytes = (size_t)(e->parameters + 1) * sizeof(int64_t);
  float *other = malloc(bytes);
  int64_t *other_sums = malloc(sum_bytes);
  REQUIRE(barcast_network_forward(network, &e->whole_windows, other) == BARCAST_OK);
  REQUIRE(bytes == 0 || memcmp(outputs, other, bytes) == 0);
  REQUIRE(barcast_network_gradient(network, &e->whole_windows, &e->goal, other_sums) == BARCAST_OK);
  REQUIRE(memcmp(sums, other_sums, sum_bytes) == 0);
  free(other);
  free(other_sums);
}

static void good_calls(barcast_network *network, const example *e, dice *d, int current_case) {
  const int64_t sequences = e->windows.sequences;
  const size_t count = (size_t)(sequences * e->outputs);
  float *outputs = malloc(count * sizeof(float));
  REQUIRE(barcast_network_forward(network, &e->windows, outputs) == BARCAST_OK);
  for (int look = 0; look < 3 && sequences > 0; look++) {
    int64_t b = roll(d, (uint32_t)sequences);
    double expected[256];
    scalar_forward(e, b, expected);
    for (int o = 0; o < e->outputs; o++)
      REQUIRE(fabs(outputs[b * e->outputs + o] - expected[o]) <= 1e-4 * (1 + fabs(expected[o])));
  }
  int64_t *sums = malloc((size_t)(e->parameters + 1) * sizeof(int64_t));
  REQUIRE(barcast_network_gradient(network, &e->windows, &e->goal, sums) == BARCAST_OK);
  REQUIRE(sums[e->parameters] >= 0);
  same_with_ones(network, e, outputs, sums, current_case);
  double loss = -1;
  int status = barcast_network_train(network, &e->windows, &e->goal, &e->optimizer, &loss);
  REQUIRE(status == (sequences > 0 ? BARCAST_OK : BARCAST_SHAPE));
  if (sequences > 0) {
    REQUIRE(loss == (double)sums[e->parameters] / 1099511627776.0 / (double)sequences);
    REQUIRE(barcast_network_update(network, sums, sequences, &e->optimizer) == BARCAST_OK);
  }
  float *copy = malloc((size_t)e->parameters * 3 * sizeof(float));
  REQUIRE(barcast_network_read_optimizer(network, copy, copy + e->parameters) == (sequences > 0 ? 2 : 0));
  barcast_network_read_weights(network, copy + 2 * e->parameters);
  for (int64_t p = 0; p < 3 * e->parameters; p++) REQUIRE(isfinite(copy[p]));
  barcast_network_write_weights(network, copy + 2 * e->parameters);
  barcast_network_write_optimizer(network, copy, copy + e->parameters, 7);
  free(copy);
  free(sums);
  free(outputs);
}

static void bad_windows(barcast_network *network, const example *e, dice *d, int current_case) {
  barcast_windows w = e->windows;
  int32_t kept = e->starts[0];
  const int64_t spoiled = (int64_t)kept * w.columns + roll(d, (uint32_t)w.columns);
  const float number = e->matrix[spoiled];
  int expected = BARCAST_SHAPE;
  switch (roll(d, 11)) {
    case 0: e->starts[0] = -1; break;
    case 1: e->starts[0] = (int32_t)(w.rows - e->shape.window_length + 1); break;
    case 2: e->starts[0] = INT32_MAX; break;
    case 3: w.scale_stride = e->shape.features + 1; break;
    case 4: w.sequences = -1; break;
    case 5: w.rows = e->shape.window_length - 1; break;
    case 6: w.matrix = NULL; break;
    case 7: w.gain = NULL; break;
    case 8: w.columns = roll(d, 2) ? 0 : INT32_MIN; break;
    case 9: w.columns = e->shape.features + 1; break;
    default:
      e->matrix[spoiled] = roll(d, 2) ? NAN : INFINITY;
      expected = BARCAST_NOT_FINITE;
  }
  float *outputs = malloc((size_t)(e->windows.sequences * e->outputs) * sizeof(float));
  int64_t *sums = malloc((size_t)(e->parameters + 1) * sizeof(int64_t));
  double loss;
  REQUIRE(barcast_network_forward(network, &w, outputs) == expected);
  REQUIRE(barcast_network_gradient(network, &w, &e->goal, sums) == expected);
  REQUIRE(barcast_network_train(network, &w, &e->goal, &e->optimizer, &loss) == expected);
  e->starts[0] = kept;
  e->matrix[spoiled] = number;
  free(sums);
  free(outputs);
}

static void bad_settings(barcast_network *network, const example *e, dice *d, int current_case) {
  barcast_goal g = e->goal;
  barcast_optimizer o = e->optimizer;
  int expected = BARCAST_SETTING;
  switch (roll(d, 8)) {
    case 0: g.loss = 3 + between(d, 0, 9); break;
    case 1: g.loss = BARCAST_HUBER, g.delta = roll(d, 2) ? NAN : 0; break;
    case 2: g.loss = BARCAST_PINBALL, g.levels = NULL; break;
    case 3: o.learning_rate = NAN; break;
    case 4: o.beta2 = 1; break;
    case 5: o.epsilon = 0; break;
    case 6: g.first_sequence = 31, expected = BARCAST_SHAPE; break;
    default: g.targets = NULL, expected = BARCAST_SHAPE;
  }
  double loss;
  REQUIRE(barcast_network_train(network, &e->windows, &g, &o, &loss) == expected);
  int64_t sums = 0;
  REQUIRE(barcast_network_update(network, &sums, 0, &e->optimizer) == BARCAST_SHAPE);
}

static void divergence(barcast_network *network, const example *e, int current_case) {
  float kept = e->targets[0];
  barcast_goal g = e->goal;
  g.loss = BARCAST_MSE;
  e->targets[0] = 3e30f;
  double loss;
  REQUIRE(barcast_network_train(network, &e->windows, &g, &e->optimizer, &loss) == BARCAST_DIVERGED);
  e->targets[0] = kept;
}

static void bad_shape(barcast_kernel *kernel, const example *e, dice *d, int current_case) {
  barcast_shape s = e->shape;
  int64_t parameters = e->parameters;
  switch (roll(d, 9)) {
    case 0: s.window_length = roll(d, 2) ? 0 : 513; break;
    case 1: s.features = roll(d, 2) ? 0 : 33; break;
    case 2: s.lstm_layers = roll(d, 2) ? 0 : 4; break;
    case 3: s.lstm_units[0] = roll(d, 2) ? 0 : 257; break;
    case 4: s.dense_layers = roll(d, 2) ? 0 : 5; break;
    case 5: s.dense_units[0] = roll(d, 2) ? -1 : 257; break;
    case 6: s.dropout = roll(d, 2) ? 1 : NAN; break;
    case 7: s.dense_activations[0] = 2; break;
    default: parameters += roll(d, 2) ? 1 : -1;
  }
  int32_t status = BARCAST_OK;
  REQUIRE(barcast_network_create(kernel, &s, e->weights, parameters, &status) == NULL);
  REQUIRE(status == BARCAST_SHAPE);
  REQUIRE(barcast_network_create(kernel, &e->shape, NULL, e->parameters, &status) == NULL);
  REQUIRE(barcast_network_create(kernel, NULL, e->weights, e->parameters, NULL) == NULL);
}

int main(int count, char **words) {
  dice d = {.state = count > 1 ? strtoull(words[1], NULL, 10) : 1};
  int cases = count > 2 ? atoi(words[2]) : 100;
  if (barcast_kernel_create(0) || barcast_kernel_create(BARCAST_MAX_THREADS + 1)) return 1;
  for (int current_case = 0; current_case < cases; current_case++) {
    barcast_kernel *kernel = barcast_kernel_create(between(&d, 1, 3));
    REQUIRE(kernel);
    example e = random_example(&d);
    int32_t status = -1;
    barcast_network *network = barcast_network_create(kernel, &e.shape, e.weights, e.parameters, &status);
    REQUIRE(network && status == BARCAST_OK && barcast_network_parameters(network) == e.parameters);
    if (e.windows.sequences > 0) {
      bad_windows(network, &e, &d, current_case);
      bad_settings(network, &e, &d, current_case);
      divergence(network, &e, current_case);
    }
    bad_shape(kernel, &e, &d, current_case);
    good_calls(network, &e, &d, current_case);
    barcast_network_destroy(network);
    barcast_kernel_destroy(kernel);
    free_example(&e);
  }
  printf("%d cases passed\n", cases);
  return 0;
}
