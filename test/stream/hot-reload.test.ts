/** Models change while a market is forecast: no minute is missing, and none is forecast by two models. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { recipeOf } from '../../src/features/index.ts';
import { chooseKernel, initialWeights, type NetworkShape } from '../../src/kernel/index.ts';
import { plainCalibration, Registry, weightsHash } from '../../src/model/index.ts';
import type { LiveSource } from '../../src/sources/index.ts';
import { fixedModel, LiveState, memoryBus, startLive, watchRegistry } from '../../src/stream/index.ts';
import { clockAt, OPEN } from './fixtures.ts';
import { madeUpMinutes, scalerOf } from './sensitive-model.ts';

const recipe = recipeOf('returns');
const shape: NetworkShape = { ...recipe.network, lstm: [4], dropout: 0 };
const [MINUTES, SYMBOLS, VERSIONS] = [180, 40, 3];

test('promote, rollback and shadow under load', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'barcast-reload-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const kernel = await chooseKernel({ kernel: 'auto' });
  t.after(() => kernel.close());
  const minutes = madeUpMinutes(SYMBOLS, MINUTES);
  const registry = new Registry(folder);
  for (let v = 0; v < VERSIONS; v++) {
    const weights = initialWeights(shape, v + 1);
    const description = {
      format: 1,
      name: 'm',
      version: `v${v}`,
      recipe: { name: recipe.name, version: recipe.version },
      shape,
      scaler: scalerOf(minutes),
      calibration: plainCalibration(),
      weightsHash: weightsHash(weights),
    } as const;
    registry.save(description, weights);
  }
  registry.promote('m', 'v0');

  /** All forecasts of the session, by the chain, while something else goes on at every minute. */
  const forecast = async (models: Parameters<typeof startLive>[0]['models'], each: (m: number) => unknown) => {
    const source: LiveSource = {
      name: 'made up',
      clock: clockAt(OPEN),
      async *live() {
        for (const [m, bars] of minutes.entries()) {
          // What goes on runs beside the forecasts of this minute, and has its effect before those of the next.
          const beside = each(m);
          yield [...bars];
          await beside;
        }
      },
    };
    const state = new LiveState({ longestQuietRun: recipe.quiet.longestRun });
    const told: { symbol: string; asOf: string; weightsHash: string; predictedReturn: number }[] = [];
    state.listen((event) => event.type === 'forecasts' && told.push(...event.forecasts));
    const symbols = [...new Set(minutes.flat().map(({ symbol }) => symbol))];
    const live = await startLive({
      source,
      symbols,
      models,
      bus: memoryBus(),
      state,
      signal: new AbortController().signal,
    });
    await live.done;
    return { told, state };
  };

  // What each version says of each symbol and minute when it is alone.
  const alone = new Map<string, number>();
  for (let v = 0; v < VERSIONS; v++) {
    const model = await registry.load(`m@v${v}`, kernel);
    for (const it of (await forecast(fixedModel(model), () => {})).told)
      alone.set(`${it.symbol} ${it.asOf} ${it.weightsHash}`, it.predictedReturn);
    model.close();
  }
  const expected = alone.size / VERSIONS;
  assert.ok(expected > 0.7 * SYMBOLS * (MINUTES - 60), `${expected} forecasts are due`);

  const models = await watchRegistry({ registry, name: 'm', kernel, everyMs: 3_600_000 });
  t.after(() => models.close());
  const looks: Promise<void>[] = [];
  const { told, state } = await forecast(models, (m) => {
    if (m % 7 === 3) registry.promote('m', `v${((m / 7) % VERSIONS) | 0}`);
    if (m % 31 === 30) registry.rollback('m');
    if (m % 11 === 0) registry.shadow('m', registry.current('m')!.version === 'v2' ? 'm@v1' : 'm@v2');
    const look = models.look();
    looks.push(look);
    return look;
  });
  await Promise.all(looks);
  assert.equal(told.length, expected, 'none is missing');
  const byMinute = new Map<string, Set<string>>();
  for (const it of told) {
    assert.equal(it.predictedReturn, alone.get(`${it.symbol} ${it.asOf} ${it.weightsHash}`), 'as that model alone');
    byMinute.set(it.asOf, (byMinute.get(it.asOf) ?? new Set()).add(it.weightsHash));
  }
  assert.ok(
    [...byMinute.values()].every((hashes) => hashes.size === 1),
    'no minute has two models',
  );
  assert.equal(new Set(told.map((it) => it.weightsHash)).size, VERSIONS, 'every version had its turn');
  assert.ok(models.changes > 10, `${models.changes} changes`);
  const scored = state.scores.list().map((board) => board.overall().total.forecasts);
  assert.ok(scored.length === VERSIONS && scored.every((count) => count > 100), `scored: ${scored}`);
});
