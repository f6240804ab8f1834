/** The limiter against simulated servers, on a clock of its own: what it finds, what it costs, what it obeys. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateLimiter } from '../../src/sources/limiter.ts';
import { type Bucket, type PullOptions, pull, type Server, TestClock, TokenBucket } from './limiter-simulation.ts';

/** A program that is busy for up to 200 ms, twice or three times a second. */
const BUSY = { busyEveryMs: 400, busyMostMs: 200 };
const steady = (perSecond: number) => () => perSecond;

for (const { name, bucket, share, refused, ...options } of [
  {
    name: '100 a second, 600 ms away',
    bucket: { perSecond: steady(100) },
    share: 0.96,
    refused: 0.03,
    ...{ requests: 2548, latencyMs: 600, initialPerSecond: 50 },
  },
  {
    name: '100 a second, 50 ms away',
    bucket: { perSecond: steady(100) },
    share: 0.93,
    refused: 0.03,
    ...{ requests: 2500, latencyMs: 50, initialPerSecond: 50 },
  },
  {
    name: '100 a second, 2 s away',
    bucket: { perSecond: steady(100) },
    share: 0.88,
    refused: 0.11,
    ...{ requests: 2500, latencyMs: 2000, initialPerSecond: 50 },
  },
  {
    name: '10 a second, 600 ms away, begun five times too fast',
    bucket: { perSecond: steady(10) },
    share: 0.87,
    refused: 0.16,
    ...{ requests: 500, latencyMs: 600, initialPerSecond: 50 },
  },
  {
    name: '10 a second, 600 ms away, begun at 4',
    bucket: { perSecond: steady(10) },
    share: 0.9,
    refused: 0.04,
    ...{ requests: 500, latencyMs: 600, initialPerSecond: 4 },
  },
  {
    name: '500 a second, 50 ms away: ten times what it is begun with',
    bucket: { perSecond: steady(500) },
    share: 0.95,
    refused: 0.02,
    ...{ requests: 10_000, latencyMs: 50, initialPerSecond: 50 },
  },
  {
    name: '500 a second, 2 s away',
    bucket: { perSecond: steady(500) },
    share: 0.77,
    refused: 0.08,
    ...{ requests: 15_000, latencyMs: 2000, initialPerSecond: 50 },
  },
  {
    name: '5 a second, 200 ms away',
    bucket: { perSecond: steady(5) },
    share: 0.9,
    refused: 0.04,
    ...{ requests: 500, latencyMs: 200, initialPerSecond: 4 },
  },
  {
    name: '100 a second, 600 ms away, without Retry-After',
    bucket: { perSecond: steady(100), bare: true },
    share: 0.96,
    refused: 0.03,
    ...{ requests: 2548, latencyMs: 600, initialPerSecond: 50 },
  },
  {
    name: '100 a second, then 50, then 100 again',
    bucket: { perSecond: (now: number) => (now >= 15_000 && now < 40_000 ? 50 : 100) },
    share: 0.7,
    refused: 0.05,
    ...{ requests: 5000, latencyMs: 600, initialPerSecond: 50 },
  },
  {
    name: '100 a second with a third of a second saved up',
    bucket: { perSecond: steady(100), saved: 0.3 },
    share: 0.65,
    refused: 0.08,
    ...{ requests: 2500, latencyMs: 600, initialPerSecond: 50 },
  },
] satisfies ({ name: string; bucket: Bucket; share: number; refused: number } & PullOptions)[]) {
  test(`a server that permits ${name}`, async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const decidesAt = seed % 2 === 0 ? 0.5 : 0.01;
      const pulled = await pull(new TokenBucket(bucket), { ...options, ...BUSY, seed, decidesAt });
      const reached = least(bucket, options.requests, options.latencyMs) / pulled.seconds;
      const what = `seed ${seed}: ${(100 * reached).toFixed(1)}% of what is permitted, ${pulled.refused} refused`;
      assert.ok(reached >= share, what);
      assert.ok(pulled.refused <= refused * options.requests, what);
      assert.equal(pulled.tooEarly, 0, 'Retry-After is obeyed');
    }
  });
}

/** Seconds that a server leaves for requests, what it has saved up at the start left out. */
function least({ perSecond }: Bucket, requests: number, latencyMs: number): number {
  let ms = 0;
  for (let granted = 0; granted < requests; ms++) granted += perSecond(ms) / 1000;
  return (ms + latencyMs) / 1000;
}

test('a server that is hardly ever open is asked by one request at a time', async () => {
  // Grants nothing for a minute after its first hundred.
  let granted = 0;
  const asked: number[] = [];
  const server: Server = {
    ask(now) {
      if (granted++ < 100 || now > 60_000) return 'granted';
      asked.push(now);
      return 1000;
    },
  };
  const { tooEarly } = await pull(server, { requests: 300, latencyMs: 600, initialPerSecond: 50, ...BUSY });
  assert.equal(tooEarly, 0);
  const inFlight = asked.filter((at) => at < asked[0]! + 1000).length;
  assert.ok(inFlight < 100, `${inFlight} refused that were in flight`);
  const later = asked.slice(inFlight);
  assert.ok(later.length > 10 && later.length < 60, `${later.length} more in a minute`);
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
