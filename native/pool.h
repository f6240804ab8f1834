/* A pool of threads that share the items of one job at a time. */
#ifndef BARCAST_POOL_H
#define BARCAST_POOL_H

#include <stdint.h>

typedef struct pool pool;
/* Does item `item` of a job on thread `worker`, 0 to threads - 1; worker 0 is the caller of pool_run. */
typedef void pool_item(void *context, int worker, int64_t item);

pool *pool_create(int threads);
void pool_destroy(pool *p);
int pool_threads(const pool *p);
/*
 * Does all items, each once, on any thread in any order, and returns when they are done. With `alone`, or for a single
 * item, the caller does them itself, in order, and wakes nobody. Callers from several threads wait for each other.
 * Subnormal numbers count as zero inside, on every thread alike.
 */
void pool_run(pool *p, int64_t items, int alone, pool_item *work, void *context);

#endif
