/** The search: it draws the same settings again, keeps every result, and goes on where it was stopped. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { silentProgress } from '../../src/base/index.ts';
import { type Recipe, recipeOf } from '../../src/features/index.ts';
import { referenceKernel } from '../../src/kernel/index.ts';
import { cutForTuning, drawSettings, readResults, settingOf, sharesOf, tune } from '../../src/train/index.ts';
import { columnsOf, randomMarket } from '../features/fixtures.ts';

/** A network so small that the plain kernel tries it in no time. */
const returns = recipeOf('returns');
const { network } = returns;
const recipe: Recipe = {
  ...returns,
  network: { ...network, lstm: [2], dense: [{ units: 2, activation: 'relu' }, network.dense[1]] },
  training: { ...returns.training, epochs: 1, batch: 256 },
};
const bars = columnsOf(randomMarket(6, 4).filter(({ symbol }) => symbol !== 'SYM9'));
const parts = cutForTuning(bars, recipe, { scoring: 0.3, calibration: 0.2 });

describe('a search', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'barcast-tune-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('cuts the bars into three parts by time, with a purge between them', () => {
    const { training, calibration, scoring, windows } = parts;
    const [trained, first, last, scored] = [
      Math.max(...training.map((w) => windows.asOf[w])),
      Math.min(...calibration.asOf),
      Math.max(...calibration.asOf),
      Math.min(...scoring.asOf),
    ];
    assert.ok(trained + 65 < first && last + 65 < scored, `${[trained, first, last, scored]}`);
  });

  it('draws the recipe itself first, then the same settings for the same seed', () => {
    const own = settingOf(parts);
    const settings = drawSettings(own, 30, 7);
    assert.deepEqual(settings[0], own);
    assert.deepEqual(drawSettings(own, 30, 7), settings);
    assert.deepEqual(drawSettings(own, 10, 7), settings.slice(0, 10));
    assert.notDeepEqual(drawSettings(own, 30, 8), settings);
    assert.ok(new Set(settings.map((setting) => JSON.stringify(setting))).size > 25);
    assert.deepEqual([sharesOf(1), sharesOf(3), sharesOf(9)], [[1], [1 / 3, 1], [1 / 9, 1 / 3, 1]]);
  });

  it('goes on where its file ends, whatever line the crash left, and takes up no line of another search', async () => {
    const options = { parts, kernel: referenceKernel(), trials: 1, seed: 3, progress: silentProgress };
    const whole = join(folder, 'whole.jsonl');
    const [result] = await tune({ ...options, file: whole });
    assert.ok(Number.isFinite(result.skillScaled) && result.coverage80 > 0.4 && result.windows > 100);
    const line = readFileSync(whole, 'utf8');
    assert.deepEqual(JSON.parse(line), JSON.parse(JSON.stringify(result)));

    const cut = join(folder, 'cut.jsonl');
    writeFileSync(cut, line.slice(0, 100));
    const [again] = await tune({ ...options, file: cut });
    assert.deepEqual({ ...again, seconds: 0 }, { ...result, seconds: 0 });
    assert.equal(readResults(cut).length, 1);

    const foreign = { ...result, skillScaled: 99 };
    const kept = join(folder, 'kept.jsonl');
    writeFileSync(kept, `${JSON.stringify(foreign)}\n${JSON.stringify({ ...foreign, search: 'other' })}\n`);
    assert.equal(
      (await tune({ ...options, file: kept }))[0].skillScaled,
      99,
      'a line of this search is taken as it is',
    );
    assert.notEqual((await tune({ ...options, seed: 4, file: kept }))[0].skillScaled, 99);
    assert.equal(readResults(kept).length, 3);

    appendFileSync(whole, 'not JSON\n');
    assert.throws(() => readResults(whole), { code: 'BARCAST_E_CHECKPOINT' });
  });
});
