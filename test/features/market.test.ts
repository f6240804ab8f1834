/** The market's factors, peers and strain: what they explain, and what a late bar does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Bar } from '../../src/bars/index.ts';
import { type EpochMinute, Random } from '../../src/base/index.ts';
import { buildWindows, fillMarket, LiveMarket, recipeOf } from '../../src/features/index.ts';
import { leadingVectors, solvePenalised } from '../../src/features/linear-algebra.ts';
import { fitMarket, marketOf } from '../../src/features/market-model.ts';
import { RecordedMarket, recordWork, roomForMarket } from '../../src/features/market-record.ts';
import { type MarketMinute, MarketTape } from '../../src/features/market-tape.ts';
import type { FittedScaler } from '../../src/features/recipe.ts';
import { visitReturns } from '../../src/features/run-returns.ts';
import { bitsOf, columnsOf, SESSIONS } from './fixtures.ts';

const recipe = recipeOf('returns');
const F = recipe.columns;
const EXPLAINED = recipe.market!.explained;
const PEERS = recipe.market!.peers;

/** Symbols that follow one path with their own sensitivity, in twins that share a second one. */
function followers(seed: number, count: number, sessions = SESSIONS.slice(0, 2), noise = 1e-4): Bar[] {
  const random = new Random(seed);
  const bars: Bar[] = [];
  const prices = Array.from({ length: count }, (_, s) => 50 + 10 * s);
  for (const session of sessions) {
    for (let minute: number = session.open; minute < session.close; minute++) {
      const common = 5e-4 * random.normal();
      const twins = Array.from({ length: count }, () => 3e-4 * random.normal());
      for (let s = 0; s < count; s++) {
        const open = prices[s];
        const r = (0.5 + (s % 4) / 2) * common + twins[s >> 1] + noise * random.normal();
        prices[s] = open * Math.exp(r);
        const [high, low] = [Math.max(open, prices[s]), Math.min(open, prices[s])];
        const symbol = `S${String(s).padStart(2, '0')}`;
        bars.push({ symbol, minute: minute as EpochMinute, open, high, low, close: prices[s], volume: 1000 });
      }
    }
  }
  return bars;
}

/** The market of bars that are all there. */
function marketBy(scaler: FittedScaler, bars: readonly Bar[]): (minute: number) => MarketMinute {
  const columns = columnsOf([...bars]);
  const model = marketOf(scaler)!;
  const record = roomForMarket(model, columns);
  const blocks = record.opens.length;
  const work = recordWork({ kind: 'record', blocks, scaler, bars: columns, longestQuietRun: 15, record });
  for (let block = blocks - 1; block >= 0; block--) work(block);
  const market = new RecordedMarket(record, model);
  return (minute) => market.at(market.placeOf(minute));
}

test('a penalised solve and leading eigenvectors are those of known matrices', () => {
  const x = solvePenalised(Float64Array.of(4, 0, 2, 3), 1, Float64Array.of(12, 14))!;
  assert.ok(Math.abs(5 * x[0] + 2 * x[1] - 12) < 1e-12 && Math.abs(2 * x[0] + 4 * x[1] - 14) < 1e-12);
  assert.equal(
    solvePenalised(Float64Array.of(1, 0, 2, 1), 0, Float64Array.of(1, 1)),
    undefined,
    'not positive definite',
  );
  // Eigenvalues 9, 3, 1 along orthonormal directions.
  const axes = [
    [2 / 3, 2 / 3, 1 / 3],
    [-2 / 3, 1 / 3, 2 / 3],
    [1 / 3, -2 / 3, 2 / 3],
  ];
  const matrix = new Float64Array(9);
  for (const [e, value] of [9, 3, 1].entries())
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) matrix[i * 3 + j] += value * axes[e][i] * axes[e][j];
  const found = leadingVectors(matrix, 3, 2);
  for (const [e, axis] of axes.slice(0, 2).entries()) {
    const dot = axis.reduce((sum, a, i) => sum + a * found[e * 3 + i], 0);
    assert.ok(Math.abs(Math.abs(dot) - 1) < 1e-9, `${dot}`);
  }
});

test('factors explain what symbols have in common, and peers what twins have', () => {
  const bars = columnsOf(followers(1, 24));
  const scaler = fitMarket(bars, Number.POSITIVE_INFINITY, 15);
  const market = marketOf(JSON.parse(JSON.stringify(scaler)))!;
  assert.equal(market.references.length, 24);
  assert.equal(market.factors, 3);
  const windows = buildWindows(bars, recipe, { requireTarget: false });
  fillMarket(windows, recipe, scaler, bars);
  let [total, left, leftOfPeers] = [0, 0, 0];
  for (let row = 0; row < windows.matrix.length / F; row++) {
    const r = windows.matrix[row * F];
    const residual = r - windows.matrix[row * F + EXPLAINED];
    total += r * r;
    left += residual ** 2;
    leftOfPeers += (residual - windows.matrix[row * F + PEERS]) ** 2;
  }
  // By construction 83% of the variance is common, 15% the twins', 2% noise; the factors are penalised.
  assert.ok(left < 0.35 * total, `${left / total}`);
  assert.ok(leftOfPeers < 0.7 * left, `${leftOfPeers / left}`);
  const first = market.peersOf('S04')!;
  assert.equal(market.references[first[0]], 'S05', 'the nearest peer is the twin');
});

test('a symbol that was not there when the market was fitted learns what explains it', () => {
  const all = followers(2, 24);
  const known = columnsOf(all.filter(({ symbol }) => symbol !== 'S07'));
  const scaler = fitMarket(known, Number.POSITIVE_INFINITY, 15);
  assert.equal(marketOf(scaler)!.loadingsOf('S07'), undefined);
  const bars = columnsOf(all);
  const windows = buildWindows(bars, recipe, { requireTarget: false });
  fillMarket(windows, recipe, scaler, bars);
  const own = windows.symbols.indexOf('S07');
  let [total, left] = [0, 0];
  windows.starts.forEach((start, w) => {
    if (windows.symbol[w] !== own || (windows.asOf[w] - SESSIONS[0].open) % 1440 < 200) return;
    const at = (start + 59) * F;
    total += windows.matrix[at] ** 2;
    left += (windows.matrix[at] - windows.matrix[at + EXPLAINED]) ** 2;
  });
  assert.ok(left < 0.7 * total, `${left / total}`);
});

test('too few symbols or minutes make no market', () => {
  assert.deepEqual(fitMarket(columnsOf([]), Number.POSITIVE_INFINITY, 15), {});
  assert.deepEqual(fitMarket(columnsOf(followers(3, 2)), Number.POSITIVE_INFINITY, 15), {});
  assert.deepEqual(fitMarket(columnsOf(followers(3, 9)), SESSIONS[0].open + 5, 15), {});
});

test('strain rises when the market goes beyond what its last hour led to expect', () => {
  const calm = followers(4, 12, SESSIONS.slice(0, 1));
  const bars = columnsOf(calm);
  const scaler = fitMarket(bars, Number.POSITIVE_INFINITY, 15);
  const { open } = SESSIONS[0];
  const anchors = new Map(
    calm.filter(({ minute }) => minute === open + 199).map(({ symbol, close }) => [symbol, close]),
  );
  const storm = calm.map((bar) => {
    if (bar.minute < open + 200) return bar;
    const anchor = anchors.get(bar.symbol)!;
    const wilder = (price: number) => anchor * (price / anchor) ** 4;
    return { ...bar, open: wilder(bar.open), high: wilder(bar.high), low: wilder(bar.low), close: wilder(bar.close) };
  });
  const [before, after] = [calm, storm].map((some) => marketBy(scaler, some)(open + 230).strain);
  assert.ok(after > before + 0.2, `${before} to ${after}`);
});

test('a market that bars come into, asked for in any order, is to the bit that of bars that are all there', () => {
  const bars = followers(6, 12).filter((_, i) => i % 11 !== 3);
  const scaler = fitMarket(columnsOf(bars), Number.POSITIVE_INFINITY, 15);
  const batch = marketBy(scaler, bars);
  const random = new Random(7);
  for (const asked of ['in order', 'at random'] as const) {
    const tape = new MarketTape(marketOf(scaler)!);
    const { symbols } = columnsOf(bars);
    symbols.forEach((symbol, s) => {
      visitReturns(columnsOf(bars), s, 15, 0, Number.POSITIVE_INFINITY, (minute, r, _begins, open) => {
        tape.push(symbol, minute, r, open);
      });
    });
    const minutes = SESSIONS.slice(0, 2).flatMap(({ open, close }) =>
      Array.from({ length: close - open }, (_, i) => open + i),
    );
    if (asked === 'at random') random.shuffle(minutes as never);
    let strained = 0;
    for (const minute of minutes) {
      const [found, expected] = [tape.at(minute), batch(minute)];
      assert.deepEqual(
        [[...found.factors], [...found.residuals], found.turbulence, found.strain],
        [[...expected.factors], [...expected.residuals], expected.turbulence, expected.strain],
        `${minute}, ${asked}`,
      );
      if (found.strain > 0) strained++;
    }
    assert.ok(strained > 100, `${strained} minutes`);
  }
});

test('a reference whose bar comes after its minute was asked for changes nothing that was answered', () => {
  const all = followers(5, 8);
  const scaler = recipe.fit(buildWindows(columnsOf(all), recipe, { requireTarget: true }), columnsOf(all));
  const until = SESSIONS[0].open + 100;
  const late = (bar: Bar) => bar.symbol === 'S03' && bar.minute === until - 1;
  const market = new LiveMarket(recipe, scaler);
  for (const bar of all.toSorted((a, b) => a.minute - b.minute)) {
    if (bar.minute < until && !late(bar)) market.push(bar);
  }
  const before = bitsOf(market.windows(['S00']), 0, 60);
  assert.equal(market.push(all.find(late)!), 'window');
  assert.equal(bitsOf(market.windows(['S00']), 0, 60), before);
  // Batch over bars without the late one says the same.
  const bars = columnsOf(all.filter((bar) => bar.minute < until && !late(bar)));
  const batch = buildWindows(bars, recipe, { requireTarget: false });
  fillMarket(batch, recipe, scaler, bars);
  const scaled = recipe.scale(batch, scaler);
  const w = scaled.asOf.findIndex((asOf, i) => asOf === until && scaled.symbol[i] === 0);
  assert.equal(bitsOf(scaled, w, 60), before);
});
