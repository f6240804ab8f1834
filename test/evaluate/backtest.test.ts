import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Bar, sessionAt, sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, epochMinute, isoOfMinute, Random } from '../../src/base/index.ts';
import { maxDrawdown, sharpeOf } from '../../src/evaluate/backtest-result.ts';
import { Backtest, type BacktestRules, RollSpreads, type TradedForecast } from '../../src/evaluate/index.ts';
import { randomMarket } from '../features/fixtures.ts';
import { close } from './fixtures.ts';

const sessions = sessionsBetween('2019-12-23' as DayString, '2019-12-26' as DayString);
const RULES: BacktestRules = { top: 2, holdMinutes: 5, feeBps: 1, spread: 4, leastBps: 0 };

interface Minute {
  readonly bars: Bar[];
  readonly forecasts: TradedForecast[];
}

/** A market minute by minute, with forecasts drawn at random for symbols that have a usable bar. */
function minutesOf(bars: readonly Bar[], seed: number): Minute[] {
  const dice = new Random(seed, 31);
  const byMinute = new Map<number, Bar[]>();
  for (const bar of bars) byMinute.set(bar.minute, [...(byMinute.get(bar.minute) ?? []), bar]);
  return [...byMinute]
    .sort(([a], [b]) => a - b)
    .map(([, together]) => ({
      bars: together,
      forecasts: together
        .filter(({ open, close: price }) => open > 0 && price > 0)
        .map(({ symbol }) => ({ symbol, predictedReturn: 1e-3 * dice.normal() })),
    }));
}

function run(minutes: readonly Minute[], rules = RULES) {
  const backtest = new Backtest(rules);
  for (const { bars, forecasts } of minutes) backtest.minute(bars, forecasts);
  return backtest.end();
}

/**
 * The same rules told another way: first a list of all trades with their minutes, then the capital as a sum over it.
 * Fixed spreads only.
 */
function byHand(minutes: readonly Minute[], rules: BacktestRules) {
  const cost = ((rules.spread as number) / 2 + rules.feeBps) / 1e4;
  const usable = (bar: Bar) => bar.open > 0 && bar.close > 0;
  const flat = minutes.flatMap(({ bars }) => bars.filter((bar) => sessionAt(bar.minute) && usable(bar)));
  const trades: { at: number; symbol: string; units: number; price: number }[] = [];
  const held = (symbol: string) => trades.filter((t) => t.symbol === symbol).reduce((sum, t) => sum + t.units, 0);
  const lastClose = (symbol: string, to: number) => flat.findLast((b) => b.symbol === symbol && b.minute < to)!.close;
  const capital = (at: number, costs = true) => {
    let value = 1;
    for (const t of trades) {
      value += t.units * (lastClose(t.symbol, at) - t.price) - (costs ? Math.abs(t.units) * t.price * cost : 0);
    }
    return value;
  };
  const marks: { time: string; net: number; gross: number }[] = [];
  const present = [...new Set(flat.map((bar) => sessionAt(bar.minute)!.open))];
  for (const open of present) {
    const session = sessionAt(epochMinute(open))!;
    const ordered = new Set<number>();
    const inSession = minutes.filter(({ bars }) => sessionAt(bars[0].minute)?.open === open);
    for (const { bars, forecasts } of inSession) {
      const end = bars[0].minute + 1;
      const due = (end - open) % rules.holdMinutes === 0;
      if (due && end + rules.holdMinutes <= session.close) {
        ordered.add(end);
        const ranked = [...forecasts].sort((a, b) => b.predictedReturn - a.predictedReturn);
        const count = Math.min(rules.top, Math.floor(ranked.length / 2));
        const side = new Map<string, number>();
        for (const f of ranked.slice(0, count)) side.set(f.symbol, 1);
        for (const f of ranked.slice(ranked.length - count)) side.set(f.symbol, -1);
        for (const f of forecasts) if (1e4 * Math.abs(f.predictedReturn) < rules.leastBps) side.delete(f.symbol);
        const net = capital(end);
        const next = inSession
          .map((m) => m.bars[0].minute + 1)
          .find(
            (at) =>
              at > end &&
              at < session.close &&
              (at - open) % rules.holdMinutes === 0 &&
              at + rules.holdMinutes <= session.close,
          );
        const before = new Map([...new Set(trades.map((t) => t.symbol))].map((s) => [s, held(s)]));
        for (const symbol of new Set([...side.keys(), ...before.keys()])) {
          const now = before.get(symbol) ?? 0;
          const wanted = side.has(symbol) ? (side.get(symbol)! * 0.5 * net) / rules.top / lastClose(symbol, end) : 0;
          const has = Math.abs(now) > 1e-9;
          if (has && side.get(symbol) === Math.sign(now)) continue;
          if (!has && wanted === 0) continue;
          const fill = flat.find((b) => b.symbol === symbol && b.minute >= end && b.minute < (next ?? session.close));
          if (fill) trades.push({ at: fill.minute, symbol, units: wanted - (has ? now : 0), price: fill.open });
        }
      }
      if (end === session.close) {
        for (const symbol of new Set(trades.map((t) => t.symbol))) {
          if (Math.abs(held(symbol)) > 1e-9)
            trades.push({ at: end, symbol, units: -held(symbol), price: lastClose(symbol, end) });
        }
      }
      if (due || end === session.close)
        marks.push({ time: isoOfMinute(epochMinute(end)), net: capital(end), gross: capital(end, false) });
    }
    if (marks.at(-1)!.time !== isoOfMinute(session.close)) {
      for (const symbol of new Set(trades.map((t) => t.symbol))) {
        if (Math.abs(held(symbol)) > 1e-9)
          trades.push({ at: session.close, symbol, units: -held(symbol), price: lastClose(symbol, session.close) });
      }
      marks.push({
        time: isoOfMinute(session.close),
        net: capital(session.close),
        gross: capital(session.close, false),
      });
    }
  }
  return { marks, trades };
}

test('the capital is that of a list of trades added up, whatever the market', () => {
  for (let seed = 0; seed < 6; seed++) {
    // Marks look at trades that were filled by then: fills after a mark are not in it, so compare where none is open.
    const minutes = minutesOf(randomMarket(seed, 6, sessions.slice(0, 2)), seed);
    const rules = { ...RULES, top: 1 + (seed % 3), leastBps: seed % 2 === 0 ? 0 : 5, holdMinutes: 5 + (seed % 2) * 10 };
    const found = run(minutes, rules);
    const expected = byHand(minutes, rules);
    assert.equal(found.fills, expected.trades.length, `seed ${seed}`);
    assert.deepEqual(
      found.equity.map(({ time }) => time),
      expected.marks.map(({ time }) => time),
    );
    assert.equal(found.orders, found.fills + found.dropped);
    const last = expected.marks.at(-1)!;
    assert.ok(close(found.netReturn, last.net - 1, 1e-9), `seed ${seed}: ${found.netReturn}, ${last.net - 1}`);
    assert.ok(close(found.grossReturn, last.gross - 1, 1e-9));
    const value = expected.trades.reduce((sum, t) => sum + Math.abs(t.units) * t.price, 0);
    assert.ok(close(found.costs.spread, (value * 2) / 1e4, 1e-9) && close(found.costs.fees, value / 1e4, 1e-9));
    assert.ok(close(found.breakEvenBps, (1e4 * found.grossReturn) / value, 1e-9));
    assert.ok(close(found.grossReturn - found.netReturn, found.costs.spread + found.costs.fees, 1e-9));
  }
});

/** Two symbols a minute apart in price: A rises by a percent every five minutes, B falls. */
function twoSymbols(): Minute[] {
  const { open } = sessions[0];
  return Array.from({ length: 390 }, (_, i) => {
    const bar = (symbol: string, price: number): Bar => ({
      symbol,
      minute: epochMinute(open + i),
      open: price,
      high: price,
      low: price,
      close: price,
      volume: 1,
    });
    const step = Math.floor(i / 5);
    return {
      bars: [bar('A', 100 * 1.01 ** step), bar('B', 100 * 0.99 ** step)],
      forecasts: [
        { symbol: 'A', predictedReturn: 0.01 },
        { symbol: 'B', predictedReturn: -0.01 },
      ],
    };
  });
}

test('two symbols, worked out by hand: bought at the first open after the forecast, sold at the close', () => {
  const rules: BacktestRules = { top: 1, holdMinutes: 5, feeBps: 0, spread: 0, leastBps: 0 };
  const { netReturn, fills, rounds, bySession, maxDrawdown: drawdown } = run(twoSymbols(), rules);
  // Sized by the close of minute 4, 100 each; filled at the open of minute 5, 101 and 99; closed at the last close.
  const long = (0.5 / 100) * (100 * 1.01 ** 77 - 101);
  const short = (0.5 / 100) * (99 - 100 * 0.99 ** 77);
  assert.ok(close(netReturn, long + short, 1e-9));
  assert.deepEqual([fills, rounds, drawdown], [4, 77, 0]);
  assert.ok(close(bySession[0].net, netReturn));
  // What the fills cost: 4 basis points of half a spread, 1 of fee.
  const paid = run(twoSymbols(), { ...rules, spread: 8, feeBps: 1 });
  const value = 0.005 * (101 + 99 + 100 * 1.01 ** 77 + 100 * 0.99 ** 77);
  assert.ok(close(paid.costs.spread + paid.costs.fees, (value * 5) / 1e4, 1e-9));
  assert.ok(close(paid.meanHalfSpreadBps, 4));
});

test('nothing after a minute changes the capital up to it', () => {
  const bars = randomMarket(4, 6, sessions.slice(0, 2));
  const rules: BacktestRules = { ...RULES, spread: 'roll' };
  const minutes = minutesOf(bars, 4);
  const whole = run(minutes, rules).equity;
  for (const share of [0.3, 0.5, 0.8]) {
    const cut = minutes[Math.floor(share * minutes.length)].bars[0].minute;
    const changed = minutes.map((minute) =>
      minute.bars[0].minute < cut
        ? minute
        : { bars: minute.bars.map((bar) => ({ ...bar, open: bar.open * 3, close: bar.close / 2 })), forecasts: [] },
    );
    const until = isoOfMinute(cut);
    const before = (points: typeof whole) => points.filter(({ time }) => time <= until);
    assert.ok(before(whole).length > 10);
    assert.deepEqual(before(run(changed, rules).equity), before(whole));
  }
});

test('every session ends flat: a jump overnight earns nothing', () => {
  const day = twoSymbols();
  const night = day.map(({ bars, forecasts }) => ({
    bars: bars.map((bar) => ({ ...bar, minute: epochMinute(bar.minute + 1440 * 3), open: 500, close: 500 })),
    forecasts,
  }));
  const rules = { ...RULES, top: 1, feeBps: 0, spread: 0 };
  const { bySession } = run([...day, ...night], rules);
  assert.equal(bySession.length, 2);
  assert.ok(Math.abs(bySession[1].net) < 1e-12, `${bySession[1].net}`);
});

test('symbols whose spread is not known yet are not traded', () => {
  const { fills, rounds } = run(twoSymbols().slice(0, 50), { ...RULES, top: 1, spread: 'roll' });
  assert.deepEqual([fills, rounds], [0, 10]);
});

test('Roll’s measure finds the spread that prices bounce over, and knows no night', () => {
  const dice = new Random(6, 6);
  const spreads = new RollSpreads();
  const half = 0.001;
  const bar = (minute: number, price: number): Bar =>
    ({ symbol: 'A', minute, open: price, high: price, low: price, close: price, volume: 1 }) as unknown as Bar;
  for (const { open } of sessions.slice(0, 2)) {
    const level = 50 + 100 * dice.uniform();
    for (let i = 0; i < 210; i++) {
      const side = dice.uniform() < 0.5 ? -1 : 1;
      spreads.add(bar(open + i, level * Math.exp(side * half)));
      if (i === 0 && open === sessions[0].open) assert.equal(spreads.of('A', 100), undefined);
    }
  }
  const found = spreads.of('A', 100)!;
  assert.ok(Math.abs(found / (2 * half) - 1) < 0.1, `${found}`);
  // Prices that go on in one direction tell nothing: one tick.
  const trend = new RollSpreads();
  for (let i = 0; i < 100; i++) trend.add(bar(sessions[0].open + i, 50 * 1.001 ** i));
  assert.equal(trend.of('A', 50), 0.01 / 50);
});

test('drawdown and Sharpe ratio agree with their definitions', () => {
  assert.ok(close(maxDrawdown([1.1, 0.99, 1.05, 1.2, 1.08]), 1 - 0.99 / 1.1));
  assert.equal(maxDrawdown([1.1, 1.2]), 0);
  assert.ok(close(maxDrawdown([0.9]), 0.1), 'the start of 1 counts');
  const returns = [0.01, -0.02, 0.03, 0.01];
  const deviation = Math.sqrt((0.0025 ** 2 + 0.0275 ** 2 + 0.0225 ** 2 + 0.0025 ** 2) / 3);
  const { value, standardError, periods } = sharpeOf(returns, 2);
  assert.ok(close(value, (0.0075 / deviation) * Math.sqrt(252 * 2)));
  assert.ok(close(standardError, Math.sqrt((1 + (0.0075 / deviation) ** 2 / 2) / 4) * Math.sqrt(252 * 2)));
  assert.equal(periods, 4);
  assert.equal(sharpeOf([0.1, 0.1], 1).value, null);
  assert.equal(sharpeOf([], 0).value, null);
});

test('rules that make no trades are refused with a code', () => {
  for (const change of [{ top: 0 }, { holdMinutes: 0.5 }, { feeBps: -1 }, { spread: -1 }, { leastBps: Number.NaN }]) {
    assert.throws(() => new Backtest({ ...RULES, ...change }), { code: 'BARCAST_E_USAGE' });
  }
});
