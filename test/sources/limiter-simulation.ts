/** Simulated servers that limit requests, and a clock that jumps to the next thing that happens. */
import assert from 'node:assert/strict';
import { Random } from '../../src/base/index.ts';
import { RateLimiter, type SteadyClock } from '../../src/sources/limiter.ts';

/** A clock that jumps to the next thing that happens. */
export class TestClock implements SteadyClock {
  #now = 0;
  #order = 0;
  /** A binary heap by time, and by order of coming where that is the same. */
  #sleepers: { at: number; order: number; wake: () => void }[] = [];
  now = () => this.#now;

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.until(this.#now + Math.max(0, ms), signal);
  }

  until(at: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake, reject) => {
      this.#push({ at, order: this.#order++, wake });
      signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }

  /** Lets time pass until the work is done. */
  async run<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const ended = work.finally(() => {
      over = true;
    });
    ended.catch(() => {});
    for (;;) {
      // Whatever follows from the last event comes first.
      await new Promise((resolve) => setImmediate(resolve));
      if (over) return ended;
      const next = this.#pop();
      assert.ok(next, 'everybody waits for nothing');
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
  }

  #push(sleeper: { at: number; order: number; wake: () => void }): void {
    const heap = this.#sleepers;
    let i = heap.push(sleeper) - 1;
    for (let up = (i - 1) >> 1; i > 0 && before(heap[i]!, heap[up]!); i = up, up = (i - 1) >> 1) swap(heap, i, up);
  }

  #pop() {
    const heap = this.#sleepers;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    heap[0] = last;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2])
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      if (least === i) return first;
      swap(heap, i, least);
      i = least;
    }
  }
}

const before = (a: { at: number; order: number }, b: { at: number; order: number }) =>
  a.at === b.at ? a.order < b.order : a.at < b.at;
function swap<T>(list: T[], a: number, b: number): void {
  [list[a], list[b]] = [list[b]!, list[a]!];
}

/** A program that is busy with other things now and then: what happens meanwhile is seen afterwards. */
class BusyClock implements SteadyClock {
  readonly #clock: TestClock;
  readonly #random: Random;
  readonly #busy: [from: number, until: number][] = [[0, 0]];
  readonly #everyMs: number;
  readonly #mostMs: number;
  constructor(clock: TestClock, seed: number, everyMs: number, mostMs: number) {
    this.#clock = clock;
    this.#random = new Random(seed, 1);
    this.#everyMs = everyMs;
    this.#mostMs = mostMs;
  }
  now = () => this.#clock.now();
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.until(this.#clock.now() + Math.max(0, ms), signal);
  }
  until(at: number, signal?: AbortSignal): Promise<void> {
    return this.#clock.until(this.#free(at + (this.#everyMs === 0 ? 0 : 1.2 * this.#random.uniform())), signal);
  }
  #free(at: number): number {
    if (this.#everyMs === 0) return at;
    for (let [, until] = this.#busy.at(-1)!; until <= at; ) {
      const from = until - this.#everyMs * Math.log(1 - this.#random.uniform());
      until = from + this.#mostMs * this.#random.uniform() ** 3;
      this.#busy.push([from, until]);
    }
    const during = this.#busy.findLast(([from, until]) => from <= at && at < until);
    return during === undefined ? at : during[1];
  }
}

export interface Server {
  /** Milliseconds of Retry-After (undefined: it says none), or that it is granted. */
  ask(now: number): number | undefined | 'granted';
}

export interface Bucket {
  /** Granted a second on average, by the time in milliseconds. */
  readonly perSecond: (now: number) => number;
  /** Granted at once, in seconds' worth; default 1. */
  readonly saved?: number;
  /** Says nothing of when to ask again. */
  readonly bare?: boolean;
}

/** Whole seconds of Retry-After. */
export class TokenBucket implements Server {
  readonly #bucket: Bucket;
  #tokens: number;
  #at = 0;
  constructor(bucket: Bucket) {
    this.#bucket = bucket;
    this.#tokens = Math.max(1, bucket.perSecond(0) * (bucket.saved ?? 1));
  }
  ask(now: number): number | undefined | 'granted' {
    const { perSecond, saved = 1, bare } = this.#bucket;
    const rate = perSecond(now);
    this.#tokens = Math.min(Math.max(1, rate * saved), this.#tokens + ((now - this.#at) * rate) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return bare ? undefined : 1000 * Math.max(1, Math.ceil((1 - this.#tokens) / rate));
    this.#tokens--;
    return 'granted';
  }
}

export interface PullOptions {
  readonly requests: number;
  readonly latencyMs: number;
  readonly initialPerSecond: number;
  /** Draws the program's busy times: one on average every so many milliseconds, up to so long. Default: none. */
  readonly seed?: number;
  readonly busyEveryMs?: number;
  readonly busyMostMs?: number;
  /** The share of the latency before the server decides; default 0.5. */
  readonly decidesAt?: number;
  readonly onSecond?: (second: number, perSecond: number, granted: number, refused: number) => void;
}

/** Sends `requests` as fast as the limiter allows, each again until it is granted. */
export async function pull(server: Server, options: PullOptions) {
  const { requests, latencyMs, initialPerSecond, seed = 1, busyEveryMs = 0, busyMostMs = 0, decidesAt = 0.5 } = options;
  const clock = new TestClock();
  const client = new BusyClock(clock, seed, busyEveryMs, busyMostMs);
  const limiter = new RateLimiter({ initialPerSecond, clock: client });
  let refused = 0;
  let granted = 0;
  let tooEarly = 0;
  let notBefore = 0;
  let second = 0;
  const one = async () => {
    for (;;) {
      const permit = await limiter.acquire();
      if (clock.now() < notBefore) tooEarly++;
      await clock.sleep(latencyMs * decidesAt);
      const verdict = server.ask(clock.now());
      for (; clock.now() > 1000 * second; second++) options.onSecond?.(second, limiter.perSecond, granted, refused);
      if (verdict === 'granted') granted++;
      else refused++;
      await client.until(clock.now() + latencyMs * (1 - decidesAt));
      if (verdict === 'granted') return limiter.succeeded(permit);
      notBefore = Math.max(notBefore, clock.now() + (verdict ?? 0));
      limiter.limited(verdict, permit);
    }
  };
  await clock.run(Promise.all(Array.from({ length: requests }, one)));
  return { seconds: clock.now() / 1000, refused, tooEarly, perSecond: limiter.perSecond };
}
