import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { findGaps, type Gap, sessionAt, sessionOf, sessionsBetween, shortestGap } from '../../src/bars/index.ts';
import { type EpochMinute, parseDay, Random } from '../../src/base/index.ts';

const minutesOf = (first: string, last: string): number[] =>
  sessionsBetween(parseDay(first), parseDay(last)).flatMap((session) =>
    Array.from({ length: session.close - session.open }, (_, i) => session.open + i),
  );

/** The definition, word by word and in whole numbers: (absent / span)^k < 10^-6. */
function naiveGaps(sessionMinutes: readonly number[], bars: Iterable<number>): Gap[] {
  const have = new Set(bars);
  const present = sessionMinutes.map((minute) => have.has(minute));
  const first = present.indexOf(true);
  if (first < 0) return [];
  const last = present.lastIndexOf(true);
  const span = BigInt(last - first + 1);
  const absent = BigInt(present.slice(first, last + 1).filter((p) => !p).length);
  const gaps: Gap[] = [];
  for (let i = first, run = 0; i <= last; i++) {
    if (!present[i]) run++;
    else {
      if (run > 0 && absent ** BigInt(run) * 1_000_000n < span ** BigInt(run)) {
        gaps.push({ from: sessionMinutes[i - run] as EpochMinute, to: sessionMinutes[i] as EpochMinute, missing: run });
      }
      run = 0;
    }
  }
  return gaps;
}

test('random symbols of every rate, with holes, repeats and bars outside the session, against the definition', () => {
  const sessionMinutes = minutesOf('2019-12-19', '2019-12-31');
  const random = new Random(20191224);
  let found = 0;
  for (let trial = 0; trial < 400; trial++) {
    const rate = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1][trial % 7]!;
    const holes = Array.from({ length: random.below(4) }, () => {
      const from = random.below(sessionMinutes.length);
      return [from, from + random.below([3, 30, 300, 1200][random.below(4)]!)] as const;
    });
    const bars: number[] = [];
    sessionMinutes.forEach((minute, i) => {
      if (random.uniform() >= rate || holes.some(([from, to]) => i >= from && i < to)) return;
      bars.push(minute);
      if (random.below(20) === 0) bars.push(minute);
    });
    if (trial % 2 === 1 && bars.length > 0) {
      const days = bars.map((minute) => sessionAt(minute as EpochMinute)!);
      bars.push(days[0]!.open - 7, days[0]!.close, days.at(-1)!.close, days.at(-1)!.close + 45);
      bars.sort((a, b) => a - b);
    }
    const gaps = findGaps(Int32Array.from(bars));
    assert.deepEqual(gaps, naiveGaps(sessionMinutes, bars), `trial ${trial}`);
    found += gaps.length;
  }
  assert.ok(found > 100, `the trials hold gaps: ${found}`);
});

test('a slice of many symbols gives the same as the symbol alone', () => {
  const sessionMinutes = minutesOf('2019-12-26', '2019-12-31');
  const one = sessionMinutes.filter((_, i) => i < 500 || i > 620);
  const two = sessionMinutes.filter((_, i) => i % 3 !== 0);
  const both = Int32Array.from([...one, ...two]);
  assert.deepEqual(findGaps(both, 0, one.length), findGaps(Int32Array.from(one)));
  assert.deepEqual(findGaps(both, one.length), findGaps(Int32Array.from(two)));
  assert.equal(findGaps(both, 0, one.length).length, 1);
});

test('a run across a night, a weekend or whole sessions is one gap', () => {
  const [friday, , tuesday] = sessionsBetween(parseDay('2019-12-27'), parseDay('2019-12-31'));
  const bars = minutesOf('2019-12-26', '2020-01-03').filter((m) => m < friday!.close - 10 || m >= tuesday!.open + 5);
  assert.deepEqual(findGaps(Int32Array.from(bars)), [
    { from: friday!.close - 10, to: tuesday!.open + 5, missing: 10 + 390 + 5 },
  ]);
});

test('a gap from the close begins at the next open, past an early close and a holiday', () => {
  const eve = sessionsBetween(parseDay('2019-12-24'), parseDay('2019-12-24'))[0]!;
  const boxing = sessionsBetween(parseDay('2019-12-26'), parseDay('2019-12-26'))[0]!;
  const bars = minutesOf('2019-12-20', '2019-12-31').filter((m) => m < eve.close || m >= boxing.open + 60);
  assert.deepEqual(findGaps(Int32Array.from(bars)), [{ from: boxing.open, to: boxing.open + 60, missing: 60 }]);
});

test('the shortest gap counts as one, within a session and across a night, and one minute less does not', () => {
  const sessionMinutes = minutesOf('2019-12-16', '2019-12-20');
  for (const start of [100, 390 - 1, 390 * 3 - 2]) {
    // Every hundredth minute is quiet too, so that p stays near 0.99 and the shortest gap is 4 in each case.
    for (const run of [2, 3, 4, 5]) {
      const bars = sessionMinutes.filter((_, i) => i % 100 !== 50 && (i < start || i >= start + run));
      assert.equal(shortestGap(bars.length, sessionMinutes.length), 4);
      assert.equal(findGaps(Int32Array.from(bars)).length, run < 4 ? 0 : 1, `${run} minutes from ${start}`);
    }
  }
});

test('no bars, one bar, complete bars and bars outside every session have no gaps', () => {
  const sessionMinutes = minutesOf('2019-12-26', '2019-12-31');
  const saturday = Date.parse('2019-12-28T15:00Z') / 60_000;
  for (const bars of [
    [],
    [sessionMinutes[5]!],
    [saturday, saturday + 50],
    sessionMinutes,
    [-(2 ** 31), -9, 2 ** 31 - 1],
  ]) {
    assert.deepEqual(findGaps(Int32Array.from(bars)), []);
  }
});

test('the shortest gap is the first k below one in a million, and a tie is no gap', () => {
  assert.equal(shortestGap(100, 100), Number.POSITIVE_INFINITY);
  assert.equal(shortestGap(900, 1000), 7); // 0.1^6 is one in a million exactly
  assert.equal(shortestGap(990, 1000), 4);
  assert.equal(shortestGap(999, 1000), 3);
  assert.equal(shortestGap(901, 1000), 6);
  assert.equal(shortestGap(500, 1000), 20);
  assert.equal(shortestGap(999_999, 1_000_000), 2);
  const random = new Random(3);
  for (let i = 0; i < 500; i++) {
    const span = 2 + random.below(20_000);
    const present = 1 + random.below(span - 1);
    const k = BigInt(shortestGap(present, span));
    if (k > 3000n) continue;
    const below = (n: bigint) => BigInt(span - present) ** n * 1_000_000n < BigInt(span) ** n;
    assert.ok(below(k) && !below(k - 1n), `${present} of ${span}: ${k}`);
  }
});

test('real bars: 14 sessions, nothing outside them but prints at an early close, gaps as in the definition', (t) => {
  const folder = '../shared/data/yahoo-1m';
  if (!existsSync(folder)) return t.skip(`${folder} is not there`);
  const sessionMinutes = minutesOf('2019-12-13', '2020-01-03');
  const earlyClose = sessionOf(parseDay('2019-12-24'))!.close;
  const days = new Set<string>();
  for (const symbol of ['SPY', 'QQQ', 'IWM', 'AADR', 'AAXJ', 'ACWF']) {
    const rows = gunzipSync(readFileSync(join(folder, `${symbol}.csv.gz`)))
      .toString('utf8')
      .trim()
      .split('\n')
      .slice(1);
    const minutes = rows.map((row) => Date.parse(row.slice(0, row.indexOf(','))) / 60_000).sort((a, b) => a - b);
    for (const minute of minutes) {
      const session = sessionAt(minute as EpochMinute);
      if (session !== undefined) days.add(session.day);
      else assert.equal(minute, earlyClose, `${symbol} ${new Date(minute * 60_000).toISOString()}`);
    }
    assert.deepEqual(findGaps(Int32Array.from(minutes)), naiveGaps(sessionMinutes, minutes), symbol);
  }
  assert.equal(days.size, 14);
});
