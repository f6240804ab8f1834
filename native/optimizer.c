/*
 * Adam (Kingma & Ba 2015) and AdamW (Loshchilov & Hutter 2019) with clipping by the global norm, in float64 between
 * float32 stores. With g the mean gradient, scaled by clipNorm / norm where the norm exceeds it, and t the update:
 *
 *     m = b1 m + (1 - b1) g     v = b2 v + (1 - b2) g^2
 *     w = w - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps) - lr wd w
 *
 * The parameters are cut into chunks whatever the number of threads; the norm adds the chunks' squares in order.
 */
#include <math.h>
#include <stdlib.h>

#include "internal.h"

enum { CHUNK = 2048 };

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
  const double correction1 = u->correction1, correction2 = u->correction2;
  double g[CHUNK];
  for (int p = 0; p < count; p++) g[p] = (double)u->sums[first + p] * u->scale;
  for (int p = 0; p < count; p++) {
    m_next[p] = (float)(o.beta1 * (double)m[p] + (1 - o.beta1) * g[p]);
    v_next[p] = (float)(o.beta2 * (double)v[p] + (1 - o.beta2) * g[p] * g[p]);
  }
  float worst = 0;
  for (int p = 0; p < count; p++) {
    double direction = (double)m_next[p] / correction1 / (sqrt((double)v_next[p] / correction2) + o.epsilon);
    w_next[p] = (float)((double)w[p] - o.learning_rate * direction - o.learning_rate * o.weight_decay * (double)w[p]);
    /* Zero for finite numbers, NaN for others. */
    worst += (w_next[p] - w_next[p]) + (v_next[p] - v_next[p]);
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
  pool_run(threads, chunks, alone, chunk_update, &u);
  if (atomic_load(&u.diverged)) return BARCAST_DIVERGED;
  moments before = network->now;
  network->now = network->next;
  network->next = before;
  network->updates++;
  pool_run(threads, pack_items(network), alone, pack_item, network);
  return BARCAST_OK;
}
