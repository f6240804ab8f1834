/** The limiter against simulated servers, on a clock of its own: what it finds, what it costs, what it obeys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimiter, type SteadyClock } from '../../src/sources/limiter.ts';

/** A clock that jumps to the next thing that happens. */
class TestClock implements SteadyClock {
  #now = 0;
  #sleepers: { at: number; wake: () => void }[] = [];
  now = () => this.#now;
  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((wake, reject) => {
      this.#sleepers.push({ at: this.#now + Math.max(0, ms), wake });
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
      this.#sleepers.sort((a, b) => a.at - b.at);
      const next = this.#sleepers.shift();
      assert.ok(next, 'everybody waits for nothing');
      this.#now = Math.max(this.#now, next.at);
      next.wake();
    }
  }
}

interface Server {
  /** Milliseconds of Retry-After, or that it is granted. */
  ask(now: number): number | 'granted';
}

/** Grants `perSecond` on average and `saved` at once; whole seconds of Retry-After. */
class TokenBucket implements Server {
  readonly #perSecond: number;
  readonly #saved: number;
  #tokens: number;
  #at = 0;
  constructor(perSecond: number, saved = perSecond) {
    this.#perSecond = perSecond;
    this.#saved = saved;
    this.#tokens = saved;
  }
  ask(now: number): number | 'granted' {
    this.#tokens = Math.min(this.#saved, this.#tokens + ((now - this.#at) * this.#perSecond) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return 1000 * Math.max(1, Math.ceil((1 - this.#tokens) / this.#perSecond));
    this.#tokens--;
    return 'granted';
  }
}

/** Sends `requests` as fast as the limiter allows, each again until it is granted. Returns ms, refusals and breaches of Retry-After. */
async function pull(server: Server, requests: number, latencyMs: number, initialPerSecond: number) {
  const clock = new TestClock();
  const limiter = new RateLimiter({ initialPerSecond, clock });
  let refused = 0;
  let tooEarly = 0;
  let notBefore = 0;
  const one = async () => {
    for (;;) {
      const permit = await limiter.acquire();
      if (clock.now() < notBefore) tooEarly++;
      await clock.sleep(latencyMs / 2);
      const verdict = server.ask(clock.now());
      await clock.sleep(latencyMs / 2);
      if (verdict === 'granted') return limiter.succeeded(permit);
      refused++;
      notBefore = Math.max(notBefore, clock.now() + verdict);
      limiter.limited(verdict, permit);
    }
  };
  await clock.run(Promise.all(Array.from({ length: requests }, one)));
  return { seconds: clock.now() / 1000, refused, tooEarly, perSecond: limiter.perSecond };
}

for (const { rate, latencyMs, initial, requests, share } of [
  { rate: 100, latencyMs: 600, initial: 50, requests: 2500, share: 0.95 },
  { rate: 100, latencyMs: 600, initial: 5, requests: 2500, share: 0.85 },
  { rate: 5, latencyMs: 200, initial: 5, requests: 500, share: 0.85 },
  { rate: 500, latencyMs: 50, initial: 50, requests: 10_000, share: 0.94 },
  { rate: 2, latencyMs: 300, initial: 50, requests: 200, share: 0.8 },
]) {
  test(`a server that permits ${rate} a second, ${latencyMs} ms away, begun at ${initial}`, async () => {
    const { seconds, refused, tooEarly, perSecond } = await pull(new TokenBucket(rate), requests, latencyMs, initial);
    const reached = requests / seconds / rate;
    assert.ok(reached >= share, `${(100 * reached).toFixed(1)}% of what is permitted`);
    assert.equal(tooEarly, 0, 'Retry-After is obeyed');
    assert.ok(refused < 0.15 * requests + initial, `${refused} refusals`);
    assert.ok(perSecond > 0.6 * rate && perSecond < 1.3 * rate, `it ended at ${perSecond}`);
  });
}

test('a server that does not save up is not asked in bursts for long', async () => {
  const { seconds, refused } = await pull(new TokenBucket(100, 5), 2500, 600, 50);
  assert.ok(2500 / seconds > 75, `${2500 / seconds} a second`);
  assert.ok(refused < 250);
});

test('without a server that refuses the rate rises to the bound and not beyond', async () => {
  const clock = new TestClock();
  const limiter = new RateLimiter({ initialPerSecond: 10, mostPerSecond: 40, clock });
  await clock.run(
    (async () => {
      for (let i = 0; i < 200; i++) limiter.succeeded(await limiter.acquire());
    })(),
  );
  assert.equal(limiter.perSecond, 40);
  assert.ok(Math.abs(clock.now() - 5000) < 1500, `${clock.now()} ms`);
});

test('refusals without Retry-After close it for longer each time, until something is answered', async () => {
  const clock = new TestClock();
  const limiter = new RateLimiter({ initialPerSecond: 1000, clock });
  const waited: number[] = [];
  await clock.run(
    (async () => {
      for (let i = 0; i < 5; i++) {
        limiter.limited(undefined, await limiter.acquire());
        waited.push(limiter.closedForMs);
      }
      limiter.succeeded(await limiter.acquire());
      limiter.limited(undefined, await limiter.acquire());
      waited.push(limiter.closedForMs);
    })(),
  );
  assert.deepEqual(waited, [1000, 2000, 4000, 8000, 16_000, 1000]);
  assert.equal(limiter.refusals, 6);
});

test('requests start in the order they came, and one that gives up leaves no hole', async () => {
  const clock = new TestClock();
  const limiter = new RateLimiter({ initialPerSecond: 10, clock });
  const order: string[] = [];
  const giveUp = new AbortController();
  const start = (name: string, signal?: AbortSignal) =>
    limiter.acquire(signal).then(
      () => order.push(`${name} ${clock.now()}`),
      () => order.push(`${name} gave up`),
    );
  const all = [start('a'), start('b', giveUp.signal), start('c', giveUp.signal), start('d')];
  giveUp.abort(new Error('enough'));
  await clock.run(Promise.all(all));
  assert.deepEqual(order.sort(), ['a 0', 'b gave up', 'c gave up', 'd 100']);
  await assert.rejects(limiter.acquire(AbortSignal.abort(new Error('before'))), /before/);
});
