/** The usual volume is found where it is known. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Session, sessionsBetween } from '../../src/bars/index.ts';
import { type DayString, Random } from '../../src/base/index.ts';
import type { FittedScaler } from '../../src/features/index.ts';
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
