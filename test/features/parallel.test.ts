import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MarketBars } from '../../src/bars/index.ts';
import {
  buildWindows,
  buildWindowsOnThreads,
  fillMarketOnThreads,
  recipeOf,
  scaleOnThreads,
  type WindowSet,
} from '../../src/features/index.ts';
import { columnsOf, randomMarket } from './fixtures.ts';

/** The same columns over shared memory, as the store reads them. */
function shared(bars: MarketBars): MarketBars {
  const share = <A extends Int32Array | Float64Array>(array: A): A => {
    const copy = new (array.constructor as new (buffer: SharedArrayBuffer) => A)(
      new SharedArrayBuffer(array.byteLength),
    );
    copy.set(array);
    return copy;
  };
  const { symbols, offsets, minute, open, high, low, close, volume } = bars;
  return {
    symbols,
    offsets,
    minute: share(minute),
    open: share(open),
    high: share(high),
    low: share(low),
    close: share(close),
    volume: share(volume),
  };
}

const market = columnsOf(randomMarket(11, 110));
const ARRAYS = ['matrix', 'starts', 'symbol', 'asOf', 'lastClose', 'targetClose', 'volatility', 'scales'] as const;

function assertSame(found: WindowSet, expected: WindowSet): void {
  assert.deepEqual([found.recipe, found.symbols, found.scaling], [expected.recipe, expected.symbols, expected.scaling]);
  for (const name of ARRAYS) {
    const bytes = (array: Int32Array | Float32Array | Float64Array) =>
      Buffer.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    assert.ok(bytes(found[name]).equals(bytes(expected[name])), `${name} of ${found.starts.length} windows`);
  }
}

for (const name of ['returns', 'cs205'] as const) {
  for (const apart of [false, true]) {
    test(`windows, scales and targets of ${name} are the same bits on threads${apart ? ' apart' : ''}`, async () => {
      const recipe = recipeOf(name);
      assert.ok(market.minute.length > 100_000, `${market.minute.length} bars are enough for threads`);
      for (const options of [{ requireTarget: true }, { requireTarget: false, asOfFrom: market.minute[300] + 400 }]) {
        const expected = buildWindows(market, recipe, options);
        const found = await buildWindowsOnThreads(shared(market), recipe, options, { apart });
        assert.ok(found.starts.buffer instanceof SharedArrayBuffer);
        assertSame(found, expected);
        const scaler = recipe.fit(expected, market);
        await fillMarketOnThreads(found, recipe, scaler, shared(market), { apart });
        const scaled = await scaleOnThreads(found, recipe, scaler, { apart });
        const wanted = recipe.scale(expected, scaler);
        assertSame(scaled.windows, wanted);
        assert.deepEqual(Float32Array.from(scaled.targets), recipe.targets(wanted, scaler));
      }
    });
  }
}

test('bars out of order are told from a thread too', async () => {
  const bars = shared(market);
  bars.minute[bars.offsets[100] + 5] = bars.minute[bars.offsets[100] + 4];
  for (const apart of [false, true]) {
    await assert.rejects(buildWindowsOnThreads(bars, recipeOf('returns'), { requireTarget: true }, { apart }), {
      code: 'BARCAST_E_INTERNAL',
    });
  }
  // The threads live on.
  const again = await buildWindowsOnThreads(shared(market), recipeOf('returns'), { requireTarget: true });
  assert.ok(again.starts.length > 1000);
});
