/*
 * The pool of threads. A worker without a job looks for one for some tens of microseconds, as the next step of a
 * training follows at once, and then sleeps on a condition variable.
 *
 * Some schedulers wake a thread on the core of the one that wakes it, and leave both there for milliseconds while
 * another core is idle. So, on Linux, the caller first bars its own core to the workers that sleep or were last seen on
 * it; each lifts the bar when it starts. (Batches of 128 from JavaScript on two cores: 16 to 38% faster.)
 */
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LOOKS = 3000 };

typedef struct {
  pool *owner;
  pthread_t thread;
  int worker;
  atomic_int asleep;
#if defined(__linux__)
  int core;          /* where it finished its last job */
  int barred;        /* whether a core is barred to it */
  cpu_set_t allowed; /* its cores without the bar */
#endif
} member;

struct pool {
  int threads;
  int started; /* members with a thread, from 1 on */
  member *members;
  pthread_mutex_t door; /* one job at a time */
  pthread_mutex_t lock; /* for the two conditions */
  pthread_cond_t wake, done;
  atomic_uint job;      /* counts jobs; a change is the signal to start */
  atomic_int running;   /* workers that have not finished the job */
  atomic_int stop;
  atomic_llong next;    /* the next item */
  int64_t items;
  pool_item *work;
  void *context;
};

static inline void breathe(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Subnormals to zero; answers the state before. They carry nothing here and cost a hundred cycles each. */
static uint64_t flush_subnormals(void) {
#if defined(__x86_64__)
  uint32_t before = _mm_getcsr();
  _mm_setcsr(before | 0x8040);
  return before;
#elif defined(__aarch64__)
  uint64_t before;
  __asm__ volatile("mrs %0, fpcr" : "=r"(before));
  __asm__ volatile("msr fpcr, %0" : : "r"(before | (1ull << 24)));
  return before;
#else
  return 0;
#endif
}

static void restore_subnormals(uint64_t before) {
#if defined(__x86_64__)
  _mm_setcsr((uint32_t)before);
#elif defined(__aarch64__)
  __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
  (void)before;
#endif
}

#if defined(__linux__)
/* Where this fails, the scheduler's choice stands. */
static void bar_own_core(pool *p) {
  const int own = sched_getcpu();
  if (own < 0 || own >= CPU_SETSIZE) return;
  for (int worker = 1; worker < p->threads; worker++) {
    member *m = &p->members[worker];
    if (!atomic_load_explicit(&m->asleep, memory_order_relaxed) && m->core != own) continue;
    if (pthread_getaffinity_np(m->thread, sizeof m->allowed, &m->allowed) != 0) continue;
    cpu_set_t others = m->allowed;
    CPU_CLR(own, &others);
    m->barred = CPU_COUNT(&others) > 0 && pthread_setaffinity_np(m->thread, sizeof others, &others) == 0;
  }
}

static void lift_bar(member *self) {
  if (self->barred) pthread_setaffinity_np(self->thread, sizeof self->allowed, &self->allowed);
  self->barred = 0;
}

static void note_core(member *self) { self->core = sched_getcpu(); }
#else
static void bar_own_core(pool *p) { (void)p; }
static void lift_bar(member *self) { (void)self; }
static void note_core(member *self) { (void)self; }
#endif

static void take_items(pool *p, int worker) {
  for (;;) {
    int64_t item = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
    if (item >= p->items) return;
    p->work(p->context, worker, item);
  }
}

static void *member_main(void *argument) {
  member *self = argument;
  pool *p = self->owner;
  unsigned seen = 0;
  flush_subnormals();
  for (;;) {
    for (int look = 0; look < LOOKS && atomic_load_explicit(&p->job, memory_order_acquire) == seen; look++) breathe();
    if (atomic_load_explicit(&p->job, memory_order_acquire) == seen) {
      atomic_store_explicit(&self->asleep, 1, memory_order_relaxed);
      pthread_mutex_lock(&p->lock);
      while (atomic_load_explicit(&p->job, memory_order_acquire) == seen) pthread_cond_wait(&p->wake, &p->lock);
      pthread_mutex_unlock(&p->lock);
      atomic_store_explicit(&self->asleep, 0, memory_order_relaxed);
    }
    seen = atomic_load_explicit(&p->job, memory_order_acquire);
    if (atomic_load(&p->stop)) return NULL;
    lift_bar(self);
    take_items(p, self->worker);
    note_core(self);
    if (atomic_fetch_sub_explicit(&p->running, 1, memory_order_acq_rel) == 1) {
      pthread_mutex_lock(&p->lock);
      pthread_cond_signal(&p->done);
      pthread_mutex_unlock(&p->lock);
    }
  }
}

static void announce(pool *p) {
  pthread_mutex_lock(&p->lock);
  atomic_fetch_add_explicit(&p->job, 1, memory_order_release);
  pthread_cond_broadcast(&p->wake);
  pthread_mutex_unlock(&p->lock);
}

pool *pool_create(int threads) {
  pool *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->members = calloc((size_t)threads, sizeof *p->members);
  if (!p->members) {
    free(p);
    return NULL;
  }
  p->threads = threads;
  p->started = 1;
  pthread_mutex_init(&p->door, NULL);
  pthread_mutex_init(&p->lock, NULL);
  pthread_cond_init(&p->wake, NULL);
  pthread_cond_init(&p->done, NULL);
  for (int worker = 1; worker < threads; worker++) {
    member *m = &p->members[worker];
    m->owner = p;
    m->worker = worker;
    if (pthread_create(&m->thread, NULL, member_main, m) != 0) {
      pool_destroy(p);
      return NULL;
    }
    p->started++;
  }
  return p;
}

void pool_destroy(pool *p) {
  atomic_store(&p->stop, 1);
  announce(p);
  for (int worker = 1; worker < p->started; worker++) pthread_join(p->members[worker].thread, NULL);
  pthread_cond_destroy(&p->done);
  pthread_cond_destroy(&p->wake);
  pthread_mutex_destroy(&p->lock);
  pthread_mutex_destroy(&p->door);
  free(p->members);
  free(p);
}

int pool_threads(const pool *p) { return p->threads; }

void pool_run(pool *p, int64_t items, int alone, pool_item *work, void *context) {
  pthread_mutex_lock(&p->door);
  uint64_t before = flush_subnormals();
  if (alone || items <= 1 || p->threads == 1) {
    for (int64_t item = 0; item < items; item++) work(context, 0, item);
  } else {
    p->items = items;
    p->work = work;
    p->context = context;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    atomic_store_explicit(&p->running, p->threads - 1, memory_order_relaxed);
    bar_own_core(p);
    announce(p);
    take_items(p, 0);
    for (int look = 0; look < LOOKS && atomic_load_explicit(&p->running, memory_order_acquire) > 0; look++) breathe();
    if (atomic_load_explicit(&p->running, memory_order_acquire) > 0) {
      pthread_mutex_lock(&p->lock);
      while (atomic_load_explicit(&p->running, memory_order_acquire) > 0) pthread_cond_wait(&p->done, &p->lock);
      pthread_mutex_unlock(&p->lock);
    }
  }
  restore_subnormals(before);
  pthread_mutex_unlock(&p->door);
}
