/** The rate of a token bucket from its first refusal, against buckets that are played through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import { bucketRate } from '../../src/sources/bucket-rate.ts';

/** Sends faster and faster until a bucket refuses. Returns when each request was sent. */
function untilRefused(perSecond: number, saved: number, random: Random): number[] {
  const sent: number[] = [];
  let tokens = perSecond * saved;
  let rate = perSecond * (0.2 + random.uniform());
  for (let now = 0; ; now += (1000 / rate) * (0.5 + random.uniform())) {
    if (sent.length > 0) tokens = Math.min(perSecond, tokens + ((now - sent.at(-1)!) * perSecond) / 1000);
    sent.push(now);
    if (tokens < 1) return sent;
    tokens--;
    rate += 0.5 * random.uniform();
  }
}

test('the rate of a bucket is known from its first refusal', () => {
  const random = new Random(1, 1);
  for (let run = 0; run < 200; run++) {
    const perSecond = 5 + 300 * random.uniform();
    const saved = 0.3 + 0.7 * random.uniform();
    const found = bucketRate(untilRefused(perSecond, saved, random), saved);
    // Any rate between this one's refusal and the next request's is right: one request in all of them.
    assert.ok(Math.abs(found / perSecond - 1) < 0.1, `${found} of ${perSecond}`);
  }
});

test('what tells nothing gives a number all the same', () => {
  assert.ok(Number.isFinite(bucketRate([], 1)));
  assert.ok(Number.isFinite(bucketRate([0], 1)));
  assert.ok(Number.isFinite(bucketRate(new Array(100).fill(0), 0)));
});
