import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { generatedMarket, sessionsFrom } from '../../bench/market.ts';
import { silentProgress } from '../../src/base/index.ts';
import { buildWindows, fillMarket, recipeOf, type WindowSet } from '../../src/features/index.ts';
import { chooseKernel } from '../../src/kernel/index.ts';
import { Registry } from '../../src/model/index.ts';
import { fillStore, openReader } from '../../src/store/index.ts';
import { cutDays, prepareFromStore, trainModel } from '../../src/train/index.ts';
import { bitsOf } from '../features/fixtures.ts';

const recipe = recipeOf('returns');
const folder = mkdtempSync(join(tmpdir(), 'barcast-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));
const data = join(folder, 'data');
// The half-day of 3 July is in it, and segments end within a piece.
const sessions = sessionsFrom('2019-06-27', 9);
await fillStore(data, generatedMarket({ symbols: 24, sessions, sessionsAPart: 2 }));
const reader = await openReader(data);
after(() => reader.close());

/** Room for the bars of some three days of 24 symbols. */
const bytes = 3 * 24 * 390 * 720;
const settings = { ...recipe.training, validationShare: 0.3 };

const describeAll = (windows: WindowSet, targets: Float32Array | undefined): Map<string, string> => {
  const outputs = targets === undefined ? 0 : targets.length / windows.starts.length;
  return new Map(
    Array.from(windows.asOf, (asOf, w) => [
      `${windows.symbols[windows.symbol[w]]}@${asOf}`,
      `${bitsOf(windows, w, recipe.windowLength)} ${targets?.slice(w * outputs, (w + 1) * outputs).join()}`,
    ]),
  );
};

test('the pieces together hold the windows, scales and targets that memory would, bit for bit', async () => {
  const prepared = await prepareFromStore({ reader, bytes }, recipe, settings, silentProgress);
  const { shards, scaler, validation } = prepared;
  assert.ok(shards.count >= 2, `${shards.count} pieces`);
  const found = new Map<string, string>();
  // Twice and out of order: memory is used again.
  for (const round of [0, 1]) {
    for (let i = 0; i < shards.count; i++) {
      const shard = await shards.load(round === 0 ? i : shards.count - 1 - i);
      assert.equal(shard.training.length, shards.sequences(round === 0 ? i : shards.count - 1 - i));
      for (const [key, bits] of describeAll(shard.windows, shard.targets)) {
        if (round === 0) assert.ok(!found.has(key), key);
        else assert.equal(found.get(key), bits, key);
        found.set(key, bits);
      }
    }
  }
  const bars = await reader.read();
  const all = buildWindows(bars, recipe, { requireTarget: true });
  fillMarket(all, recipe, scaler, bars);
  const scaled = recipe.scale(all, scaler);
  const own = recipe.targets(scaled, scaler);
  const outputs = recipe.network.dense.at(-1)!.units;
  const targets = Float32Array.from({ length: own.length * outputs }, (_, i) => own[Math.floor(i / outputs)]);
  const expected = describeAll(scaled, targets);
  const untargeted = describeAll(scaled, undefined);
  const validated = describeAll(validation, undefined);
  assert.equal(found.size + validated.size, expected.size);
  assert.equal(prepared.windows, expected.size);
  const cut = Math.min(...validation.asOf);
  for (const [key, bits] of expected) {
    if (Number(key.split('@')[1]) < cut) assert.equal(found.get(key), bits, key);
    else assert.equal(validated.get(key), untargeted.get(key), key);
  }
});

test('a training in pieces ends in the same bits twice, and knows its store', async () => {
  const kernel = await chooseKernel({ kernel: 'auto' });
  try {
    const train = async (name: string) => {
      const answer = await trainModel({
        pieces: { reader, bytes },
        recipe,
        kernel,
        registry: new Registry(join(folder, 'models')),
        name,
        seed: 3,
        overrides: { epochs: 1, batch: 1024 },
        version: 'test',
        progress: silentProgress,
      });
      return answer;
    };
    const [first, second] = [await train('a'), await train('b')];
    assert.equal(first.weightsHash, second.weightsHash);
    assert.ok(first.sequences > 10_000);
  } finally {
    kernel.close();
  }
});

test('days are cut into pieces that hold no more than they may, a day at least', () => {
  const days = [5, 5, 5, 20, 1, 1].map((rows, utcDay) => ({ utcDay, rows }));
  assert.deepEqual(
    cutDays(days, 10).map(({ from, to, rows }) => [from / 1440, to / 1440, rows]),
    [
      [0, 2, 10],
      [2, 3, 5],
      [3, 4, 20],
      [4, 6, 2],
    ],
  );
});

test('a range of one day, and a recipe that splits at random, are refused', async () => {
  const day = { from: sessions[0].open, to: sessions[0].close };
  await assert.rejects(prepareFromStore({ reader, ...day }, recipe, settings, silentProgress), {
    code: 'BARCAST_E_TOO_FEW_WINDOWS',
  });
  const cs205 = recipeOf('cs205');
  await assert.rejects(prepareFromStore({ reader }, cs205, { ...cs205.training }, silentProgress), {
    code: 'BARCAST_E_USAGE',
  });
});
