import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../src/base/index.ts';
import {
  buildWindows,
  chronologicalSplit,
  randomSplit,
  recipeOf,
  selectWindows,
  type WindowSet,
} from '../../src/features/index.ts';
import { columnsOf, randomMarket } from './fixtures.ts';

const recipe = recipeOf('returns');
const windowsOf = (seed: number): WindowSet =>
  buildWindows(columnsOf(randomMarket(seed, 8)), recipe, { requireTarget: true });

test('no minute that a training window or target uses is used by a validation window', () => {
  for (let seed = 0; seed < 8; seed++) {
    const windows = windowsOf(seed);
    for (const share of [0.05, 0.15, 0.37, 0.5]) {
      const { training, validation, cut } = chronologicalSplit(windows, share);
      const lastUsed = Math.max(...Array.from(training, (w) => windows.asOf[w] + 5 - 1));
      const firstSeen = Math.min(...Array.from(validation, (w) => windows.asOf[w] - 60));
      assert.ok(lastUsed < firstSeen, `${lastUsed} reaches ${firstSeen}`);
      assert.equal(Math.min(...Array.from(validation, (w) => windows.asOf[w])), cut);
      assert.ok(validation.length <= share * windows.asOf.length);
      const nextEarlier = Math.max(...windows.asOf.filter((asOf) => asOf < cut));
      const oneMinuteMore = windows.asOf.filter((asOf) => asOf >= nextEarlier).length;
      assert.ok(oneMinuteMore > share * windows.asOf.length, 'the part could have been larger');
      const purged = windows.asOf.length - training.length - validation.length;
      assert.equal(purged, windows.asOf.filter((asOf) => asOf < cut && asOf >= cut - 65).length);
    }
  }
});

test('windows in any order are split as those of each minute are counted', () => {
  const sorted = windowsOf(5);
  const order = Int32Array.from(sorted.asOf.keys());
  new Random(9).shuffle(order);
  for (const windows of [sorted, selectWindows(sorted, order), selectWindows(sorted, order.toSorted().reverse())]) {
    const { asOf } = windows;
    const minutes = [...new Set(asOf)].sort((a, b) => a - b);
    for (const share of [0.01, 0.15, 0.6]) {
      const from = (minute: number) => [...asOf.keys()].filter((w) => asOf[w] >= minute);
      const cut = minutes.find((minute) => from(minute).length <= share * asOf.length) ?? minutes.at(-1)!;
      const split = chronologicalSplit(windows, share);
      assert.equal(split.cut, cut);
      assert.deepEqual([...split.validation], from(cut));
      assert.deepEqual(
        [...split.training],
        [...asOf.keys()].filter((w) => asOf[w] + 65 < cut),
      );
    }
  }
});

test('a share of 0 trains on everything', () => {
  const windows = windowsOf(1);
  const { training, validation, cut } = chronologicalSplit(windows, 0);
  assert.equal(training.length, windows.asOf.length);
  assert.equal(validation.length, 0);
  assert.equal(cut, Number.POSITIVE_INFINITY);
});

test('a share so small that it holds no minute takes the last minute', () => {
  const windows = windowsOf(1);
  const { validation, cut } = chronologicalSplit(windows, 1e-9);
  assert.equal(cut, Math.max(...windows.asOf));
  assert.equal(validation.length, windows.asOf.filter((asOf) => asOf === cut).length);
});

test('too few windows and impossible shares are told', () => {
  const windows = windowsOf(2);
  const first = windows.asOf.indexOf(Math.min(...windows.asOf));
  const oneSymbol = selectWindows(
    windows,
    Int32Array.from({ length: 50 }, (_, i) => first + i),
  );
  assert.throws(() => chronologicalSplit(oneSymbol, 0.2), { code: 'BARCAST_E_TOO_FEW_WINDOWS' });
  assert.throws(() => chronologicalSplit(selectWindows(windows, new Int32Array(0)), 0.2), {
    code: 'BARCAST_E_TOO_FEW_WINDOWS',
  });
  for (const share of [-0.1, 1, Number.NaN]) {
    assert.throws(() => chronologicalSplit(windows, share), { code: 'BARCAST_E_USAGE' });
    assert.throws(() => randomSplit(windows, share, 1), { code: 'BARCAST_E_USAGE' });
  }
});

test('a random split takes every window once, the same for the same seed', () => {
  const windows = windowsOf(3);
  const { training, validation } = randomSplit(windows, 0.2, 11);
  assert.equal(validation.length, Math.floor(0.2 * windows.asOf.length));
  assert.deepEqual(
    [...training, ...validation].sort((a, b) => a - b),
    [...windows.asOf.keys()],
  );
  assert.deepEqual(randomSplit(windows, 0.2, 11).validation, validation);
  assert.notDeepEqual(randomSplit(windows, 0.2, 12).validation, validation);
  assert.ok(validation.every((w, i) => i === 0 || w > validation[i - 1]));
});
