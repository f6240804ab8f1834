/** The planted pattern: what the generator says of the future is right, and nobody could say more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Session, sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, epochMinute, Random } from '../../src/base/index.ts';
import { bestSkillOf, Market, PATTERN_NAMES } from '../../src/sources/index.ts';
import { amplitudeOf, echoOf } from '../../src/sources/simulated/pattern.ts';
import { oracleForecast } from '../../src/sources/simulated/reachable.ts';

const SESSIONS = sessionsBetween('2025-10-13' as DayString, '2025-10-17' as DayString);
/** Symbols share a market, so that precision comes with days, not with symbols. */
const MANY_SESSIONS = sessionsBetween('2025-07-01' as DayString, '2025-10-31' as DayString);
const HORIZON = 5;
const rangeOf = (sessions: readonly Session[]) => ({
  from: sessions[0].open,
  to: epochMinute(sessions.at(-1)!.close + 1),
});

/** Forecast, outcome and what a bar watcher knows, over days without holes and symbols without quiet minutes. */
function windows(market: Market, symbols: readonly string[], sessions: readonly Session[], horizon = HORIZON) {
  const rows: { forecast: number; move: number; volatility: number; past: number; weighted: number }[] = [];
  for (const symbol of symbols) {
    const { quiet, volume: usual } = market.character(symbol);
    if (quiet > 0) continue;
    for (const session of sessions) {
      const path = market.day(symbol, session);
      if (path.hole.to > path.hole.from) continue;
      const { close, volume } = path;
      for (let t = 59; t + horizon < close.length; t++) {
        let squares = 0;
        let past = 0;
        let weighted = 0;
        for (let k = 0; k < 59; k++) {
          const r = Math.log(close[t - k] / close[t - k - 1]);
          squares += r * r;
          past += 0.9 ** k * r;
          weighted += 0.9 ** k * r * Math.tanh(Math.log(volume[t - k] / usual));
        }
        rows.push({
          forecast: oracleForecast(path, t, horizon, market.amplitude, 0),
          move: Math.log(close[t + horizon] / close[t]),
          volatility:
            Math.max(Math.sqrt(squares / 59), 1e-4, (close[t] >= 1 ? 0.005 : 0.00005) / close[t]) * Math.sqrt(horizon),
          past,
          weighted,
        });
      }
    }
  }
  return rows;
}

const MANY_SYMBOLS = new Market({ seed: 5 }).symbols.slice(0, 8);
let many: ReturnType<typeof windows> | undefined;
const manyWindows = () => (many ??= windows(new Market({ seed: 5 }), MANY_SYMBOLS, MANY_SESSIONS));

function correlation(pairs: readonly (readonly [number, number])[]): number {
  let [x, y, xx, yy, xy] = [0, 0, 0, 0, 0];
  for (const [a, b] of pairs) {
    x += a;
    y += b;
    xx += a * a;
    yy += b * b;
    xy += a * b;
  }
  const n = pairs.length;
  return (xy - (x * y) / n) / Math.sqrt((xx - (x * x) / n) * (yy - (y * y) / n));
}

const skillOf = (rows: readonly { forecast: number; move: number }[]) =>
  1 -
  rows.reduce((sum, row) => sum + (row.move - row.forecast) ** 2, 0) /
    rows.reduce((sum, row) => sum + row.move ** 2, 0);

test('the forecast is the mean of many futures simulated from the same past', () => {
  const market = new Market({ seed: 11, symbols: ['AAPL'] });
  const path = market.day('AAPL', SESSIONS[2]);
  const random = new Random(99);
  const futures = 40_000;
  for (const t of [60, 200, 383]) {
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < futures; i++) {
      let echo = path.echo[t];
      let cluster = path.cluster[t];
      let surge = random.normal();
      let move = path.logPrice[t] - Math.log(path.close[t]);
      for (let h = 1; h <= HORIZON; h++) {
        const innovation = random.normal();
        cluster = 0.98 * cluster + 0.3 * Math.sqrt(1 - 0.98 ** 2) * random.normal();
        surge = 0.6 * surge + 0.8 * random.normal();
        const volatility = path.usualVolatility[t + h] * Math.exp(cluster - 0.045);
        move += volatility * (innovation + market.amplitude * echo);
        echo = 0.9 * echo + Math.tanh(2 * surge + 0.5) * innovation;
      }
      sum += move;
      squares += move * move;
    }
    const expected = sum / futures;
    const error = Math.sqrt((squares / futures - expected ** 2) / futures);
    const forecast = oracleForecast(path, t, HORIZON, market.amplitude, 0);
    assert.ok(Math.abs(forecast - expected) < 4 * error, `at ${t}: ${forecast}, simulated ${expected} +- ${error}`);
    assert.ok(error < Math.abs(forecast) || t !== 60, 'the check can tell the forecast from zero');
  }
});

test('on the generated closes the forecast is unbiased: a regression on it has slope 1', () => {
  const rows = manyWindows();
  let xx = 0;
  let xy = 0;
  for (const { forecast, move, volatility } of rows) {
    xx += (forecast / volatility) ** 2;
    xy += (forecast * move) / volatility ** 2;
  }
  const slope = xy / xx;
  // Windows overlap five times and symbols share a market, so the standard error is several times the naive one.
  assert.ok(Math.abs(slope - 1) < 0.06, `slope ${slope} over ${rows.length} windows`);
});

test('nothing that a bar watcher sees is left in the error of the forecast', () => {
  const rows = manyWindows();
  const left = (value: (row: (typeof rows)[number]) => number, error: boolean) =>
    correlation(
      rows.map(
        (row) => [value(row) / row.volatility, (row.move - (error ? row.forecast : 0)) / row.volatility] as const,
      ),
    );
  for (const [name, value] of [
    ['returns', (row: (typeof rows)[number]) => row.past],
    ['returns times volume', (row: (typeof rows)[number]) => row.weighted],
  ] as const) {
    assert.ok(left(value, false) > 0.1, `${name} tells of the move: ${left(value, false)}`);
    assert.ok(Math.abs(left(value, true)) < 0.02, `${name} tells of the error: ${left(value, true)}`);
  }
});

test('the best reachable score is what the oracle scores, and close to the strength that was asked for', () => {
  const market = new Market({ seed: 5 });
  const symbols = market.symbols.filter((symbol) => market.character(symbol).quiet === 0).slice(0, 30);
  const whole = symbols.filter((symbol) => SESSIONS.every((session) => market.day(symbol, session).hole.to === 0));
  const rows = windows(market, whole, SESSIONS);
  const best = market.bestReachable({ symbols: whole, ...rangeOf(SESSIONS) });
  assert.equal(best.windows, rows.length);
  assert.equal(best.windows, whole.length * SESSIONS.length * (390 - 59 - HORIZON));
  const near = (a: number | null, b: number) => assert.ok(Math.abs(a! - b) < 1e-9, `${a} and ${b}`);
  near(best.skill, skillOf(rows));
  near(
    best.skillScaled,
    skillOf(rows.map((row) => ({ forecast: row.forecast / row.volatility, move: row.move / row.volatility }))),
  );
  near(best.informationCoefficient, correlation(rows.map((row) => [row.forecast, row.move] as const)));
  assert.ok(best.skill! > 0.15 && best.skill! < 0.25, `skill ${best.skill}`);
  assert.ok(best.skillScaled! > 0.14 && best.skillScaled! < 0.24, `scaled ${best.skillScaled}`);
});

test('the best reachable score follows strength and horizon as the formula says', () => {
  for (const strength of [0.05, 0.2, 0.5])
    assert.ok(Math.abs(bestSkillOf(amplitudeOf(strength), 5) - strength) < 1e-12);
  assert.equal(amplitudeOf(0), 0);
  for (const [strength, horizon] of [
    [0.1, 5],
    [0.4, 5],
    [0.2, 1],
    [0.2, 15],
  ] as const) {
    const market = new Market({ seed: 6, strength });
    const best = market.bestReachable({ symbols: MANY_SYMBOLS, ...rangeOf(MANY_SESSIONS), horizon });
    const expected = bestSkillOf(market.amplitude, horizon);
    assert.ok(
      Math.abs(best.skill! - expected) < 0.15 * expected + 0.012,
      `${best.skill} for ${expected} at ${strength}, ${horizon}`,
    );
  }
});

test('a linear model of past returns reaches a part only: the sign of the echo is in the volume', () => {
  const rows = manyWindows();
  const r = correlation(rows.map((row) => [row.past / row.volatility, row.move / row.volatility] as const));
  const best = new Market({ seed: 5 }).bestReachable({ symbols: MANY_SYMBOLS, ...rangeOf(MANY_SESSIONS) }).skillScaled!;
  assert.ok(r * r > 0.1 * best && r * r < 0.45 * best, `${r * r} of ${best}`);
  assert.ok(echoOf(1) > 0.5 && echoOf(-2) < -0.5);
});

test('thin symbols: minutes without a trade are weighed in', () => {
  const market = new Market({ seed: 1 });
  const thin = market.symbols.filter((symbol) => market.character(symbol).quiet > 0.1);
  assert.ok(thin.length > 0);
  const best = market.bestReachable({ symbols: thin, ...rangeOf(SESSIONS) });
  assert.ok(best.skill! > 0.1, `skill ${best.skill}`);
});

test('a random walk has nothing: no score, and returns that know nothing of each other', () => {
  const market = new Market({ seed: 5, pattern: 'none' });
  const symbols = MANY_SYMBOLS;
  const best = market.bestReachable({ symbols, ...rangeOf(SESSIONS) });
  assert.deepEqual(
    { ...best, windows: best.windows > 0 },
    { skill: 0, skillScaled: 0, informationCoefficient: null, windows: true },
  );
  const rows = windows(market, symbols, MANY_SESSIONS, 1);
  for (const value of [(row: (typeof rows)[number]) => row.past, (row: (typeof rows)[number]) => row.weighted]) {
    const r = correlation(rows.map((row) => [value(row) / row.volatility, row.move / row.volatility] as const));
    assert.ok(Math.abs(r) < 0.015, `correlation ${r}`);
  }
});

for (const pattern of PATTERN_NAMES) {
  test(`${pattern}: the forecast is unbiased, and as good as the strength says`, () => {
    for (const strength of [0.1, 0.3]) {
      const market = new Market({ seed: 6, pattern, strength });
      assert.ok(Math.abs(bestSkillOf(market.amplitude, HORIZON, pattern) - strength) < 1e-12);
      const rows = windows(market, MANY_SYMBOLS, MANY_SESSIONS);
      let xx = 0;
      let xy = 0;
      for (const { forecast, move, volatility } of rows) {
        xx += (forecast / volatility) ** 2;
        xy += (forecast * move) / volatility ** 2;
      }
      // The same bounds as for the echo above, and room for volatilities that are not constant.
      assert.ok(Math.abs(xy / xx - 1) < 0.08, `slope ${xy / xx} at ${strength}`);
      const skill = skillOf(rows);
      assert.ok(Math.abs(skill - strength) < 0.2 * strength + 0.012, `skill ${skill} at ${strength}`);
    }
  });
}

test('who leads the market waits for nobody, and the others follow what they have in common with it', () => {
  const market = new Market({ seed: 3, pattern: 'lead' });
  const [session] = SESSIONS;
  assert.ok(market.day('SPY', session).response.every((response) => response === 0));
  const follows = market.character('AAPL').correlation;
  assert.ok(market.day('AAPL', session).response.every((response) => response === follows));
  assert.deepEqual(market.day('AAPL', session).echo, market.day('SPY', session).echo);
});

test('an empty range has no windows and no score', () => {
  const market = new Market({ seed: 1, symbols: ['AAPL'] });
  const { from } = rangeOf(SESSIONS);
  assert.deepEqual(market.bestReachable({ symbols: ['AAPL'], from, to: epochMinute(from + 60) }), {
    skill: null,
    skillScaled: null,
    informationCoefficient: null,
    windows: 0,
  });
  assert.equal(market.bestReachable({ symbols: ['AAPL'], from, to: epochMinute(from + 61) }).windows, 1);
});
