/*
 * Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) with clipping by the global norm, in float64 between
 * float32 stores. With g the mean gradient, scaled by clipNorm / norm where the norm exceeds it, and t the update:
 *
 *     m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *     w = w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) - lr wd w
 *
 * LAMB (You et al. 2020) takes that direction, decay included, times |w| / |direction| for each tensor; LARS (You, Gitman
 * & Ginsburg 2017) momentum on the gradient times 0.001 |w| / (|g| + wd |w|). Both are stated in full in
 * src/kernel/reference/optimizer.ts.
 *
 * The parameters are cut into chunks whatever the number of threads; the norm adds the chunks' squares in order.
 */
#include <math.h>
#include <stdlib.h>

#include "internal.h"

enum { CHUNK = 2048, MOST_TENSORS = 3 * BARCAST_MAX_LSTM + 2 * BARCAST_MAX_DENSE };

static const double LARS_TRUST = 0.001;

typedef struct {
  barcast_network *network;
  const int64_t *sums;
  const barcast_optimizer *settings;
  double scale;        /* fixed-point sum to mean gradient, clipping included */
  double correction1, correction2;
  double *squares;     /* [chunks] */
  atomic_int diverged;
} update;

INLINE int64_t chunk_end(const update *u, int64_t chunk) {
  int64_t end = (chunk + 1) * CHUNK;
  return end < u->network->parameters ? end : u->network->parameters;
}

static void chunk_squares(void *context, int worker, int64_t chunk) {
  (void)worker;
  const update *u = context;
  double squares = 0;
  for (int64_t p = chunk * CHUNK; p < chunk_end(u, chunk); p++) {
    double g = (double)u->sums[p] * u->scale;
    squares += g * g;
  }
  u->squares[chunk] = squares;
}

static void chunk_update(void *context, int worker, int64_t chunk) {
  (void)worker;
  update *u = context;
  const moments *now = &u->network->now, *next = &u->network->next;
  const barcast_optimizer o = *u->settings;
  const int64_t first = chunk * CHUNK;
  const int count = (int)(chunk_end(u, chunk) - first);
  const float *w = now->weights + first, *m = now->m + first, *v = now->v + first;
  float *restrict w_next = next->weights + first;
  float *restrict m_next = next->m + first, *restrict v_next = next->v + first;
  /* Divisions are most of the time of an update. */
  const double raise1 = 1 / u->correction1, raise2 = 1 / u->correction2;
  double g[CHUNK];
  for (int p = 0; p < count; p++) g[p] = (double)u->sums[first + p] * u->scale;
  for (int p = 0; p < count; p++) {
    m_next[p] = (float)(o.beta1 * (double)m[p] + (1 - o.beta1) * g[p]);
    v_next[p] = (float)(o.beta2 * (double)v[p] + (1 - o.beta2) * g[p] * g[p]);
  }
  float worst = 0;
  for (int p = 0; p < count; p++) {
    double direction = (double)m_next[p] * raise1 / (sqrt((double)v_next[p] * raise2) + o.epsilon);
    w_next[p] = (float)((double)w[p] - o.learning_rate * direction - o.learning_rate * o.weight_decay * (double)w[p]);
    /* Zero for finite numbers, NaN for others. */
    worst += (w_next[p] - w_next[p]) + (v_next[p] - v_next[p]);
  }
  if (worst != 0) atomic_store(&u->diverged, 1);
}

/* The ends of the tensors in the order of the parameters; answers how many there are. */
static int tensor_ends(const barcast_shape *shape, int64_t *ends) {
  int count = 0;
  int64_t end = 0, inputs = shape->features;
  for (int l = 0; l < shape->lstm_layers; l++) {
    const int64_t units = shape->lstm_units[l];
    ends[count++] = end += inputs * 4 * units;
    ends[count++] = end += units * 4 * units;
    ends[count++] = end += 4 * units;
    inputs = units;
  }
  for (int d = 0; d < shape->dense_layers; d++) {
    const int64_t units = shape->dense_units[d];
    ends[count++] = end += inputs * units;
    ends[count++] = end += units;
    inputs = units;
  }
  return count;
}

INLINE double lamb_direction(const update *u, double w, double m, double v) {
  return m / u->correction1 / (sqrt(v / u->correction2) + u->settings->epsilon) + u->settings->weight_decay * w;
}

static void tensor_lamb(const update *u, int64_t first, int64_t end) {
  const moments *now = &u->network->now, *next = &u->network->next;
  const barcast_optimizer o = *u->settings;
  double weights = 0, directions = 0;
  for (int64_t p = first; p < end; p++) {
    double g = (double)u->sums[p] * u->scale, w = (double)now->weights[p];
    next->m[p] = (float)(o.beta1 * (double)now->m[p] + (1 - o.beta1) * g);
    next->v[p] = (float)(o.beta2 * (double)now->v[p] + (1 - o.beta2) * g * g);
    double direction = lamb_direction(u, w, (double)next->m[p], (double)next->v[p]);
    weights += w * w;
    directions += direction * direction;
  }
  double ratio = weights > 0 && directions > 0 ? sqrt(weights) / sqrt(directions) : 1;
  for (int64_t p = first; p < end; p++) {
    double w = (double)now->weights[p];
    next->weights[p] =
        (float)(w - o.learning_rate * ratio * lamb_direction(u, w, (double)next->m[p], (double)next->v[p]));
  }
}

static void tensor_lars(const update *u, int64_t first, int64_t end) {
  const moments *now = &u->network->now, *next = &u->network->next;
  const barcast_optimizer o = *u->settings;
  double weights = 0, gradients = 0;
  for (int64_t p = first; p < end; p++) {
    double g = (double)u->sums[p] * u->scale, w = (double)now->weights[p];
    weights += w * w;
    gradients += g * g;
  }
  double norm = sqrt(weights), bottom = sqrt(gradients) + o.weight_decay * norm;
  double trust = norm > 0 && bottom > 0 ? LARS_TRUST * norm / bottom : 1;
  for (int64_t p = first; p < end; p++) {
    double g = (double)u->sums[p] * u->scale, w = (double)now->weights[p];
    next->m[p] = (float)(o.beta1 * (double)now->m[p] + o.learning_rate * trust * (g + o.weight_decay * w));
    next->v[p] = now->v[p];
    next->weights[p] = (float)(w - (double)next->m[p]);
  }
}

static void tensor_update(void *context, int worker, int64_t tensor) {
  (void)worker;
  update *u = context;
  int64_t ends[MOST_TENSORS];
  tensor_ends(&u->network->shape, ends);
  const int64_t first = tensor > 0 ? ends[tensor - 1] : 0, end = ends[tensor];
  if (u->settings->kind == BARCAST_LAMB) tensor_lamb(u, first, end);
  else tensor_lars(u, first, end);
  const moments *next = &u->network->next;
  float worst = 0;
  for (int64_t p = first; p < end; p++) {
    worst += (next->weights[p] - next->weights[p]) + (next->m[p] - next->m[p]) + (next->v[p] - next->v[p]);
  }
  if (worst != 0) atomic_store(&u->diverged, 1);
}

static void pack_item(void *context, int worker, int64_t item) {
  (void)worker;
  pack_weights(context, item);
}

int optimizer_step(barcast_network *network, const int64_t *sums, int64_t sequences,
                   const barcast_optimizer *settings) {
  pool *threads = network->kernel->pool;
  const int64_t chunks = (network->parameters + CHUNK - 1) / CHUNK;
  const int alone = chunks < 4;
  const double t = (double)(network->updates + 1);
  update u = {
      .network = network,
      .sums = sums,
      .settings = settings,
      .scale = 1.0 / (FIXED_POINT * (double)sequences),
      .correction1 = 1 - pow(settings->beta1, t),
      .correction2 = 1 - pow(settings->beta2, t),
  };
  if (settings->clip_norm > 0) {
    u.squares = malloc((size_t)chunks * sizeof(double));
    if (!u.squares) return BARCAST_MEMORY;
    pool_run(threads, chunks, alone, chunk_squares, &u);
    double squares = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) squares += u.squares[chunk];
    free(u.squares);
    double norm = sqrt(squares);
    if (norm > settings->clip_norm) u.scale *= settings->clip_norm / norm;
  }
  int64_t ends[MOST_TENSORS];
  if (settings->kind == BARCAST_ADAM) pool_run(threads, chunks, alone, chunk_update, &u);
  else pool_run(threads, tensor_ends(&network->shape, ends), alone, tensor_update, &u);
  if (atomic_load(&u.diverged)) return BARCAST_DIVERGED;
  moments before = network->now;
  network->now = network->next;
  network->next = before;
  network->updates++;
  pool_run(threads, pack_items(network), alone, pack_item, network);
  return BARCAST_OK;
}
