/* What this build is, what the machine can run, how fast its multiply-adds are, and the functions for tests. */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "barcast_kernel.h"
#include "vector.h"

int32_t barcast_built_for(void) {
#if defined(BARCAST_AMX)
  return BARCAST_AVX512_AMX;
#elif defined(__AVX512F__)
  return BARCAST_AVX512;
#elif defined(__AVX2__)
  return BARCAST_AVX2;
#else
  return BARCAST_BASELINE;
#endif
}

#if defined(__x86_64__)
/* Tile registers with bfloat16 products, which Linux gives to a process that asks for them. */
static int has_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
  enum { ASK_FOR_STATE = 0x1023, TILE_DATA = 18, BF16_TILES = 1 << 22, TILES = 1 << 24 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & BF16_TILES) == 0 || (d & TILES) == 0) return 0;
  return syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
#else
  return 0;
#endif
}
#endif

int32_t barcast_machine_runs(void) {
#if defined(__x86_64__)
  /* These ask the processor and whether the system saves the registers. */
  __builtin_cpu_init();
  int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
  if (avx2 && avx512) return has_tiles() ? BARCAST_AVX512_AMX : BARCAST_AVX512;
  if (avx2) return BARCAST_AVX2;
#endif
  return BARCAST_BASELINE;
}

void barcast_apply(int32_t function, const float *input, float *output, int64_t n) {
  for (int64_t at = 0; at < n; at += VW) {
    float block[VW] __attribute__((aligned(64))) = {0};
    int64_t count = n - at < VW ? n - at : VW;
    memcpy(block, input + at, (size_t)count * sizeof(float));
    vector x = load(block), y = x;
    if (function == 0) sigmoids(1, &x);
    else sigmoids_and_tangents(1, &y, &x);
    store(block, function == 2 ? y : x);
    memcpy(output + at, block, (size_t)count * sizeof(float));
  }
}

/* Twelve independent sums hide the latency of every processor of the last ten years. */
enum { SUMS = 12, ROUNDS = 4000000 };

static double now_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct {
  atomic_int *waiting;  /* threads still to arrive; the loops start at 0 */
  double seconds;
  float kept;           /* so that the work is not removed */
} peak;

static void *peak_main(void *argument) {
  peak *p = argument;
  vector sum[SUMS], a = splat(0.5f), b = splat(1.0f);
#pragma GCC unroll 12
  for (int i = 0; i < SUMS; i++) sum[i] = splat((float)i);
  atomic_fetch_sub(p->waiting, 1);
  while (atomic_load(p->waiting) > 0) sched_yield();
  double begin = now_seconds();
  for (int round = 0; round < ROUNDS; round++) {
#pragma GCC unroll 12
    for (int i = 0; i < SUMS; i++) sum[i] = multiply_add(sum[i], a, b);
  }
  p->seconds = now_seconds() - begin;
  vector total = sum[0];
#pragma GCC unroll 12
  for (int i = 1; i < SUMS; i++) total = total + sum[i];
  p->kept = total[0];
  return NULL;
}

/* One run: all threads start together, the slowest counts. Answers 0 when a thread cannot be had. */
static double peak_once(int threads) {
  pthread_t ids[BARCAST_MAX_THREADS];
  peak peaks[BARCAST_MAX_THREADS];
  atomic_int waiting = threads;
  int started = 0;
  for (; started < threads; started++) {
    peaks[started] = (peak){.waiting = &waiting};
    if (pthread_create(&ids[started], NULL, peak_main, &peaks[started]) != 0) break;
  }
  if (started < threads) atomic_store(&waiting, 0);
  double slowest = 0;
  for (int i = 0; i < started; i++) {
    pthread_join(ids[i], NULL);
    if (peaks[i].seconds > slowest) slowest = peaks[i].seconds;
  }
  return started == threads ? 2.0 * VW * SUMS * (double)ROUNDS * threads / slowest * 1e-9 : 0;
}

double barcast_measure_fma_peak(int32_t threads) {
  if (threads < 1 || threads > BARCAST_MAX_THREADS) return 0;
  double best = 0;
  for (int run = 0; run < 7; run++) {
    double rate = peak_once(threads);
    if (rate > best) best = rate;
  }
  return best;
}
