/** The usual volume is found where it is known, and the flows are what their formula says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Session, sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, Random } from '../../src/base/index.ts';
import { FLOW_INPUTS, flowInputs } from '../../src/features/flows.ts';
import type { FittedScaler } from '../../src/features/index.ts';
import type { LinearColumns } from '../../src/features/linear-columns.ts';
import { ResidualPaths } from '../../src/features/residual-paths.ts';
import { fitUsualVolume, surpriseShift, usualVolumeOf, volumePersistenceOf } from '../../src/features/usual-volume.ts';
import { barsOfMarket, Market } from '../../src/sources/index.ts';

const SESSIONS = sessionsBetween('2025-09-01' as DayString, '2025-09-26' as DayString);
const SYMBOLS = ['AAPL', 'IBM', 'KO', 'MSFT', 'SPY', 'XOM'];

/** ln(1 + volume) that is usual in the simulated market: its own formula, see day-path.ts. */
function truth(market: Market, symbol: string, session: Session, minute: number): number {
  const length = session.close - session.open;
  const ofDay = 0.8 + 2.2 * Math.exp(-minute / 25) + 1.5 * Math.exp((minute + 1 - length) / 20);
  return Math.log(market.character(symbol).volume * ofDay) - 0.32;
}

test('profile and levels are those that the market was made with', () => {
  const market = new Market({ seed: 4, symbols: SYMBOLS });
  const bars = barsOfMarket(market, SESSIONS);
  const scaler: FittedScaler = { ...fitUsualVolume(bars, Number.POSITIVE_INFINITY, SYMBOLS), symbols: SYMBOLS };
  const usual = usualVolumeOf(scaler)!;
  let square = 0;
  let count = 0;
  for (const symbol of SYMBOLS) {
    const of = usual.of(symbol);
    for (let m = 0; m < 390; m++, count++) square += (of(m) - truth(market, symbol, SESSIONS[0], m)) ** 2;
  }
  // The surges have a deviation of 0.8 and last; six symbols and nineteen sessions say this much of a minute's mean.
  assert.ok(Math.sqrt(square / count) < 0.09, `${Math.sqrt(square / count)}`);
  assert.ok((scaler.volumePersistence as number) < 0.1, 'levels here do not move from day to day');
});

test('levels that move from day to day are told from those of an hour', () => {
  const random = new Random(5);
  const market = new Market({ seed: 4, symbols: SYMBOLS });
  const bars = barsOfMarket(market, SESSIONS);
  const volume = bars.volume.slice();
  const factors = new Map<string, number>();
  SYMBOLS.forEach((symbol, s) => {
    for (let bar = bars.offsets[s]; bar < bars.offsets[s + 1]; bar++) {
      const day = `${symbol} ${Math.floor(bars.minute[bar] / 1440)}`;
      const factor = factors.get(day) ?? Math.exp(random.normal());
      factors.set(day, factor);
      volume[bar] = Math.round(volume[bar] * factor);
    }
  });
  const { volumePersistence } = fitUsualVolume({ ...bars, volume }, Number.POSITIVE_INFINITY, SYMBOLS);
  assert.ok((volumePersistence as number) > 0.8, `${volumePersistence}`);
});

test('nothing after the cut is looked at', () => {
  const bars = barsOfMarket(new Market({ seed: 4, symbols: SYMBOLS }), SESSIONS);
  const before = SESSIONS[9].open;
  const volume = bars.volume.map((shares, bar) => (bars.minute[bar] < before ? shares : 1 + 3 * shares));
  assert.deepEqual(fitUsualVolume({ ...bars, volume }, before, SYMBOLS), fitUsualVolume(bars, before, SYMBOLS));
});

test('a window whose mean is far from the level, and one of a symbol without a level, is measured by its own mean', () => {
  const persistence = volumePersistenceOf({ volumePersistence: 0.25 });
  assert.equal(surpriseShift(2, persistence), 0.5);
  assert.equal(surpriseShift(-3.5, persistence), -3.5);
  assert.equal(surpriseShift(71, persistence), 71);
  assert.equal(surpriseShift(2, volumePersistenceOf({})), 2);
  const stranger = usualVolumeOf({ volumeProfile: [0, 0], volumeLevels: [7], symbols: ['A'] })!.of('B');
  assert.equal(stranger(1), -64);
});

test('flows: the sums that their formula says, term by term', () => {
  const random = new Random(6);
  const names = ['logReturn', 'surprise', 'explained', 'leader', 'clock', 'quiet', 'range', 'closePosition', 'peers'];
  const columns = Object.fromEntries(names.map((name, i) => [name, i])) as unknown as LinearColumns;
  const F = names.length;
  const matrix = Float32Array.from({ length: 60 * F }, (_, i) => (i % F === columns.quiet ? 0 : random.normal()));
  matrix[40 * F + columns.quiet] = 1;
  const scales = { minuteVolatility: 0.5, surpriseMean: 0.2, surpriseGain: 0.8 };
  const found = (blind: boolean) => {
    const out = new Float64Array(FLOW_INPUTS);
    const paths = new ResidualPaths(F, 60, columns, blind);
    flowInputs(paths, paths.seek(matrix, 59), scales, out, 0);
    return out;
  };
  const out = found(false);
  const at = (k: number, column: number) => matrix[(59 - k) * F + column];
  const surge = (k: number) => {
    if (at(k, columns.quiet) === 1) return 0;
    const z = 1.5 * (at(k, columns.surprise) - 0.2) * 0.8;
    return z / Math.sqrt(1 + z * z);
  };
  const lags = Array.from({ length: 59 }, (_, k) => k);
  const faded = (value: (k: number) => number, decay: number, fading: number) => {
    let sum = 0;
    for (let k = 0; k < 59; k++) {
      let left = 1;
      for (let j = 0; j < k; j++) left *= Math.min(1, decay * (1 - fading * surge(j)));
      sum += left * value(k);
    }
    return sum;
  };
  const move = (k: number) => at(k, columns.logReturn) / 0.5;
  const near = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) < 1e-9 * (1 + Math.abs(expected)), `${actual} and ${expected}`);
  near(out[1], faded(move, 0.9, 0));
  const timed = (k: number) => at(k, columns.clock) * move(k);
  near(out[5], faded(timed, 0.96, 0));
  const explained = (k: number) => at(k, columns.explained) / 0.5;
  near(out[6], faded(explained, 0.7, 0));
  const mean = (column: number) => Math.sqrt(lags.reduce((sum, k) => sum + at(k, column) ** 2, 0) / lags.length);
  const leading = (k: number) => at(k, columns.leader) / mean(columns.leader);
  near(out[10], faded(leading, 0.9, 0));
  near(out[13], Math.min(1, mean(columns.explained) / 0.5) * faded(leading, 0.9, 0));
  near(out[15], faded(move, 0.9, 0.15));
  const surging = (power: number) => (k: number) => surge(k) ** power * move(k);
  near(out[16], faded(surging(1), 0.9, 0.15));
  near(out[19], faded(surging(2), 0.7, 0.15));
  near(out[20], faded(surging(1), 0.96, 0.15));
  near(out[22], faded(surging(1), 0.9, 0.28));
  const blind = found(true);
  assert.deepEqual(blind.subarray(0, 6), out.subarray(0, 6));
  assert.deepEqual(blind.subarray(15), out.subarray(15));
  assert.ok(
    blind.subarray(6, 15).every((value) => value === 0),
    'blind windows know nothing of the market',
  );
});
