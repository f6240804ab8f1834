import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BarcastError, Random } from '../../src/base/index.ts';
import { evaluateForecasts, fitRidge, predictRidge, type ReturnsView } from '../../src/evaluate/index.ts';
import { NormalEquations } from '../../src/evaluate/least-squares.ts';
import { PENALTIES } from '../../src/evaluate/ridge.ts';
import { close, dayStart, makeMarket, pick, type Sample, shuffled, splitAt } from './fixtures.ts';

/** Gaussian elimination with partial pivoting, on a copy. */
function solveDense(matrix: readonly number[][], right: readonly number[]): number[] {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const size = rows.length;
  for (let column = 0; column < size; column++) {
    const pivot = rows
      .slice(column)
      .reduce((best, row, k) => (Math.abs(row[column]) > Math.abs(rows[best][column]) ? column + k : best), column);
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    for (let i = column + 1; i < size; i++) {
      const factor = rows[i][column] / rows[column][column];
      for (let j = column; j <= size; j++) rows[i][j] -= factor * rows[column][j];
    }
  }
  const solution = new Array<number>(size).fill(0);
  for (let i = size - 1; i >= 0; i--) {
    const known = solution.reduce((sum, value, j) => (j > i ? sum + rows[i][j] * value : sum), 0);
    solution[i] = (rows[i][size] - known) / rows[i][i];
  }
  return solution;
}

/** Scaled returns (latest first) and scaled target of every window, copied out. */
function designOf(sample: Sample): { x: number[][]; y: number[] } {
  const { matrix, starts, stride, feature } = sample.returns;
  const x = Array.from(starts, (start, i) =>
    Array.from({ length: 20 }, (_, k) => matrix[(start + 59 - k) * stride + feature] / sample.volatility[i]),
  );
  const y = Array.from(
    sample.targetClose,
    (target, i) => Math.log(target / sample.lastClose[i]) / sample.volatility[i],
  );
  return { x, y };
}

/** Dense ridge weights on the rows named: (X'X + penalty * trace(X'X) / 20 * I)^-1 X'y. */
function denseRidge(x: number[][], y: number[], rows: readonly number[], penalty: number): number[] {
  const gram = x[0].map((_, a) => x[0].map((_, b) => rows.reduce((sum, i) => sum + x[i][a] * x[i][b], 0)));
  const trace = gram.reduce((sum, row, a) => sum + row[a], 0);
  const right = x[0].map((_, a) => rows.reduce((sum, i) => sum + x[i][a] * y[i], 0));
  return solveDense(
    gram.map((row, a) => row.map((value, b) => (a === b ? value + (penalty * trace) / 20 : value))),
    right,
  );
}

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, k) => sum + value * b[k], 0);

test('streamed Cholesky solves what dense elimination solves', () => {
  const random = new Random(3);
  const rows = Array.from({ length: 50 }, () => Float64Array.from({ length: 6 }, () => random.normal()));
  const targets = rows.map(() => random.normal());
  const whole = new NormalEquations(6);
  const halves = [new NormalEquations(6), new NormalEquations(6)];
  for (const [i, row] of rows.entries()) {
    whole.add(row, targets[i]);
    halves[i % 2].add(row, targets[i]);
  }
  halves[0].merge(halves[1]);
  const gram = Array.from({ length: 6 }, (_, a) =>
    Array.from({ length: 6 }, (_, b) => rows.reduce((sum, row) => sum + row[a] * row[b], a === b ? 2.5 : 0)),
  );
  const right = Array.from({ length: 6 }, (_, a) => rows.reduce((sum, row, i) => sum + row[a] * targets[i], 0));
  const expected = solveDense(gram, right);
  for (const sums of [whole, halves[0]]) {
    const weights = sums.solve(2.5);
    for (const [k, value] of expected.entries()) assert.ok(close(weights[k], value, 1e-10));
    const { quadratic, linear } = sums.forms(weights);
    const fitted = rows.map((row) => dot([...row], [...weights]));
    assert.ok(close(quadratic, dot(fitted, fitted), 1e-10));
    assert.ok(close(linear, dot(fitted, targets), 1e-10));
    assert.ok(close(sums.meanSquare, rows.flatMap((row) => [...row]).reduce((sum, v) => sum + v * v, 0) / 300, 1e-10));
  }
  assert.throws(() => new NormalEquations(3).solve(0), { code: 'BARCAST_E_NOT_FINITE' });
});

test('penalty, amplitude and weights are those of a direct dense search', () => {
  const market = makeMarket({ symbols: 6, days: 6, seed: 21, echo: 0.4, stride: 3 });
  const model = fitRidge(market);
  const { x, y } = designOf(market);

  // The latest windows, whole minutes, up to a fifth of them; the head ends 20 + 5 minutes before they begin.
  const minutes = [...new Set(market.asOf)].sort((a, b) => b - a);
  let tailFrom = Number.POSITIVE_INFINITY;
  for (const minute of minutes) {
    if (market.asOf.filter((asOf) => asOf >= minute).length > y.length * 0.2) break;
    tailFrom = minute;
  }
  const all = [...y.keys()];
  const tail = all.filter((i) => market.asOf[i] >= tailFrom);
  const head = all.filter((i) => market.asOf[i] <= tailFrom - 25);
  assert.equal(model.tailWindows, tail.length);
  assert.equal(model.windows, y.length);
  assert.ok(head.length + tail.length < y.length, 'something is purged');

  let best = { penalty: 0, amplitude: 0, error: Number.POSITIVE_INFINITY };
  for (const penalty of PENALTIES) {
    const weights = denseRidge(x, y, head, penalty);
    const fitted = all.map((i) => dot(x[i], weights));
    const top = tail.reduce((sum, i) => sum + fitted[i] * y[i], 0);
    const amplitude = Math.max(0, Math.min(1, top / tail.reduce((sum, i) => sum + fitted[i] ** 2, 0)));
    const error = tail.reduce((sum, i) => sum + (y[i] - amplitude * fitted[i]) ** 2, 0);
    if (error < best.error) best = { penalty, amplitude, error };
  }
  assert.ok(best.amplitude > 0);
  assert.equal(model.penalty, best.penalty);
  assert.ok(close(model.amplitude, best.amplitude, 1e-9));
  const weights = denseRidge(x, y, all, best.penalty);
  for (const [k, weight] of weights.entries()) assert.ok(close(model.weights[k], weight * best.amplitude, 1e-9));

  // A prediction is the weighted sum of the window's unscaled returns.
  const predicted = predictRidge(model, market.returns);
  for (const i of [0, 7, y.length - 1]) {
    assert.ok(close(predicted[i], dot(x[i], model.weights as number[]) * market.volatility[i], 1e-12));
  }
});

test('a known linear signal is found: weights, amplitude and the skill that can be reached', () => {
  // r(t+1) = 0.4 r(t) + noise: the return to five minutes is (0.4 + 0.16 + ... + 0.4^5) r(t) + noise.
  const [train, later] = splitAt(makeMarket({ symbols: 160, days: 10, seed: 5, echo: 0.4 }), dayStart(7));
  const model = fitRidge(train);
  const gain = 0.4 + 0.4 ** 2 + 0.4 ** 3 + 0.4 ** 4 + 0.4 ** 5;
  assert.ok(Math.abs(model.weights[0] - gain) < 0.08, `${model.weights[0]} for ${gain}`);
  for (const weight of model.weights.slice(1)) assert.ok(Math.abs(weight) < 0.08, `${weight}`);
  const best = later.asOf.length;
  const optimal = Float64Array.from(
    { length: best },
    (_, i) => gain * later.returns.matrix[later.returns.starts[i] + 59],
  );
  const score = evaluateForecasts({
    windows: later,
    predictedReturn: optimal,
    ridgeReturn: predictRidge(model, later.returns),
  });
  assert.ok(score.model.skillScaled! > 0.03);
  assert.ok(score.ridge!.skillScaled! > 0.95 * score.model.skillScaled!);
  assert.equal(score.verdict, 'edge over persistence');
});

test('on a random walk the ridge shrinks to next to nothing', () => {
  for (const seed of [1, 2, 3]) {
    const model = fitRidge(makeMarket({ symbols: 20, days: 8, seed, echo: 0 }));
    assert.ok(model.amplitude < 1 && model.amplitude >= 0);
    for (const weight of model.weights) assert.ok(Math.abs(weight) < 0.1, `${weight}`);
  }
});

test('an inverted tail switches the ridge off', () => {
  const market = makeMarket({ symbols: 10, days: 10, seed: 4, echo: 0.4 });
  const targetClose = market.targetClose.map((target, i) =>
    market.asOf[i] >= dayStart(8) ? market.lastClose[i] ** 2 / target : target,
  );
  const model = fitRidge({ ...market, targetClose });
  assert.equal(model.amplitude, 0);
  assert.ok(model.weights.every((weight) => weight === 0));
});

test('closes and log returns give the same ridge', () => {
  const market = makeMarket({ symbols: 6, days: 5, seed: 6, echo: 0.2 });
  const { matrix } = market.returns;
  const closes = new Float32Array(matrix.length * 2);
  for (let row = 0, price = 300; row < matrix.length; row++) {
    price *= Math.exp(matrix[row]);
    if (row % 600 === 0) price = 300;
    closes[2 * row] = price;
  }
  const view: ReturnsView = { ...market.returns, matrix: closes, stride: 2, feature: 0, holds: 'close' };
  const [fromReturns, fromCloses] = [fitRidge(market), fitRidge({ ...market, returns: view })];
  for (let k = 0; k < 20; k++) assert.ok(Math.abs(fromReturns.weights[k] - fromCloses.weights[k]) < 1e-3);
  const [a, b] = [predictRidge(fromReturns, market.returns), predictRidge(fromReturns, view)];
  for (let i = 0; i < a.length; i++) assert.ok(Math.abs(a[i] - b[i]) < 1e-6);
});

test('whatever happens after the training range changes no bit of the ridge', () => {
  const market = makeMarket({ symbols: 6, days: 6, seed: 11, echo: 0.2 });
  const [train] = splitAt(market, dayStart(4));
  const before = fitRidge(train);
  const used = new Uint8Array(market.returns.matrix.length);
  for (const start of train.returns.starts) used.fill(1, start, start + 60);
  const matrix = market.returns.matrix.map((value, row) => (used[row] ? value : 1e3 * (value + 1)));
  assert.ok(matrix.some((value, row) => value !== market.returns.matrix[row]));
  const after = fitRidge({ ...train, returns: { ...train.returns, matrix } });
  assert.deepEqual(after, before);
  assert.notDeepEqual(fitRidge(market), before);
});

test('windows in another order give the same ridge to rounding', () => {
  const market = makeMarket({ symbols: 4, days: 5, seed: 12, echo: 0.3 });
  const [a, b] = [fitRidge(market), fitRidge(pick(market, shuffled(market.asOf.length, 3)))];
  assert.equal(a.penalty, b.penalty);
  for (let k = 0; k < 20; k++) assert.ok(close(a.weights[k], b.weights[k], 1e-9));
});

test('too few windows, short windows and unknown returns are refused with a code', () => {
  const market = makeMarket({ symbols: 4, days: 4, seed: 13 });
  const refused = (work: () => unknown, code: string) =>
    assert.throws(work, (error: unknown) => error instanceof BarcastError && error.code === code);
  refused(() => fitRidge(pick(market, [...Array(100).keys()])), 'BARCAST_E_TOO_FEW_WINDOWS');
  refused(() => fitRidge(pick(market, [])), 'BARCAST_E_TOO_FEW_WINDOWS');
  refused(() => fitRidge({ ...market, returns: { ...market.returns, windowLength: 19 } }), 'BARCAST_E_SHAPE');
  refused(
    () => fitRidge({ ...market, returns: { ...market.returns, windowLength: 20, holds: 'close' } }),
    'BARCAST_E_SHAPE',
  );
  refused(() => fitRidge({ ...market, asOf: market.asOf.slice(1) }), 'BARCAST_E_SHAPE');
  const matrix = Float32Array.from(market.returns.matrix);
  matrix[market.returns.starts[2] + 50] = Number.NaN;
  const returns = { ...market.returns, matrix };
  refused(() => fitRidge({ ...market, returns }), 'BARCAST_E_NOT_FINITE');
  refused(() => predictRidge(fitRidge(market), returns), 'BARCAST_E_NOT_FINITE');
});

test('a market that never moves gives a ridge of zeros', () => {
  const market = makeMarket({ symbols: 4, days: 4, seed: 14 });
  const model = fitRidge({
    ...market,
    targetClose: market.lastClose,
    returns: { ...market.returns, matrix: new Float32Array(market.returns.matrix.length) },
  });
  assert.ok(model.weights.every((weight) => weight === 0));
  assert.equal(model.amplitude, 0);
});
