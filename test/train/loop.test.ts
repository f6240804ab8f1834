import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { BarcastError, type Progress, silentProgress } from '../../src/base/index.ts';
import { referenceKernel } from '../../src/kernel/index.ts';
import { weightsHash } from '../../src/model/index.ts';
import {
  type Checkpoint,
  CheckpointFile,
  epochBatches,
  epochOrder,
  learningRateAt,
  runTraining,
  shardOrder,
  type TrainingSettings,
  type TrainingShards,
} from '../../src/train/index.ts';
import { baseRun, data, settings } from './support.ts';

/** A progress that stops the run after so many steps. */
function stopAfter(steps: number): { signal: AbortSignal; progress: Progress } {
  const stop = new AbortController();
  let seen = 0;
  const update = () => {
    if (++seen === steps) stop.abort();
  };
  return { signal: stop.signal, progress: { ...silentProgress, update } };
}

const interrupted = (error: unknown) => error instanceof BarcastError && error.code === 'BARCAST_E_INTERRUPTED';

describe('the training loop', () => {
  const kernel = referenceKernel();
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'barcast-train-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('learns, and the same seed gives the same weights', async () => {
    const [first, again, other] = [
      await runTraining(baseRun(kernel)),
      await runTraining(baseRun(kernel)),
      await runTraining({ ...baseRun(kernel), seed: 6 }),
    ];
    assert.equal(weightsHash(again.weights), weightsHash(first.weights));
    assert.deepEqual(again.history, first.history);
    assert.notEqual(weightsHash(other.weights), weightsHash(first.weights));
    const variance = data.validation.reduce((sum, w) => sum + data.targets[w] ** 2, 0) / data.validation.length;
    assert.ok(
      first.history.at(-1)!.validationLoss < 0.5 * variance,
      `${first.history.at(-1)!.validationLoss} of ${variance}`,
    );
    assert.equal(first.steps, 3 * Math.ceil(200 / 48));
    assert.equal(first.sequences, 600);
  });

  it('ends in the same bits when it is stopped at any step and taken up again', async () => {
    const whole = await runTraining(baseRun(kernel));
    for (const steps of [1, 3, 5, 6, 11, 14]) {
      const checkpoint = new CheckpointFile(join(folder, `${steps}.safetensors`));
      await assert.rejects(runTraining({ ...baseRun(kernel), checkpoint, ...stopAfter(steps) }), interrupted);
      const rest = await runTraining({ ...baseRun(kernel), checkpoint });
      assert.equal(weightsHash(rest.weights), weightsHash(whole.weights), `stopped after ${steps} steps`);
      assert.deepEqual(rest.history, whole.history);
      assert.ok(rest.sequences < whole.sequences);
    }
  });

  it('never goes further than one interval beyond the last checkpoint that is kept, however slow the disk', async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    class Slow extends CheckpointFile {
      override async write(checkpoint: Checkpoint): Promise<void> {
        await gate;
        await super.write(checkpoint);
      }
    }
    const small = { ...settings, epochs: 60, batch: 1 };
    const [begun, kept]: number[][] = [[], []];
    let stepped = 0;
    let ended = false;
    const run = runTraining({
      ...baseRun(kernel),
      settings: small,
      checkpoint: new Slow(join(folder, 'slow.safetensors')),
      checkpointEveryMs: 40,
      onBegin: ({ step }) => begun.push(step),
      onStep: () => stepped++,
      onKept: ({ step }) => kept.push(step),
    }).finally(() => {
      ended = true;
    });
    for (let seen = -1; !ended && (seen < stepped || seen <= 0); ) {
      seen = stepped;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.equal(ended, false, 'it waits for the disk');
    assert.ok(stepped < 12_000);
    assert.deepEqual(begun, [0]);
    assert.deepEqual(kept, []);
    open();
    const { weights, steps } = await run;
    assert.deepEqual([steps, stepped], [12_000, 12_000]);
    const whole = await runTraining({ ...baseRun(kernel), settings: small });
    assert.equal(weightsHash(weights), weightsHash(whole.weights));
    // An epoch ends with a checkpoint of its own, which may be of the same step.
    assert.ok(kept.every((step, i) => step >= (kept[i - 1] ?? 0)));
    assert.equal(kept.at(-1), 12_000);
  });

  it('leaves a checkpoint of another run alone until its own is due', async () => {
    const checkpoint = new CheckpointFile(join(folder, 'c.safetensors'));
    await assert.rejects(runTraining({ ...baseRun(kernel), checkpoint, ...stopAfter(4) }), interrupted);
    const result = await runTraining({ ...baseRun(kernel), checkpoint, identity: { run: 'another' } });
    assert.equal(result.sequences, 600);
    assert.deepEqual(checkpoint.read().identity, { run: 'another' });
  });

  it('refuses a damaged checkpoint with its code, at any cut', async () => {
    const path = join(folder, 'c.safetensors');
    const checkpoint = new CheckpointFile(path);
    await assert.rejects(runTraining({ ...baseRun(kernel), checkpoint, ...stopAfter(2) }), interrupted);
    const { size } = { size: readFileSync(path).length };
    for (const length of [size - 1, Math.floor(size / 2), 9, 0]) {
      truncateSync(path, length);
      await assert.rejects(
        runTraining({ ...baseRun(kernel), checkpoint }),
        (error) => error instanceof BarcastError && error.code === 'BARCAST_E_CHECKPOINT',
      );
    }
    writeFileSync(path, 'no checkpoint at all');
    assert.throws(
      () => checkpoint.read(),
      (error) => error instanceof BarcastError && error.code === 'BARCAST_E_CHECKPOINT',
    );
  });

  it('keeps the weights of the best epoch and stops when patience ends', async () => {
    // A rate this high makes later epochs worse than the first good one.
    const wild = {
      ...settings,
      epochs: 40,
      patience: 2,
      schedule: 'constant' as const,
      optimizer: { ...settings.optimizer, learningRate: 0.3 },
    };
    const result = await runTraining({ ...baseRun(kernel), settings: wild });
    const losses = result.history.map(({ validationLoss }) => validationLoss);
    assert.equal(losses[result.bestEpoch - 1], Math.min(...losses));
    assert.ok(result.epochs < 40, 'it never stopped early');
    assert.equal(result.epochs - result.bestEpoch, 2);
  });
});

/** The sample's training part in pieces of these sizes. */
function pieces(sizes: readonly number[]): TrainingShards & { readonly loads: number[] } {
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b, 0));
  const loads: number[] = [];
  return {
    loads,
    count: sizes.length,
    sequences: (shard) => sizes[shard],
    async load(shard) {
      loads.push(shard);
      await new Promise(setImmediate);
      return { ...data, training: data.training.subarray(ends[shard] - sizes[shard], ends[shard]) };
    },
  };
}

describe('a training in pieces', () => {
  const kernel = referenceKernel();
  it('goes through every window once an epoch, piece by piece, and loads one ahead', async () => {
    const shards = pieces([70, 0, 100, 30]);
    const seen: number[] = [];
    const sizes: number[] = [];
    for await (const { indices } of epochBatches(shards, 1, 0, 48, 0)) {
      seen.push(...indices);
      sizes.push(indices.length);
    }
    const order = [...shardOrder(4, 1, 0)].filter((shard) => shard !== 1);
    assert.deepEqual(shards.loads, order);
    const batches: Record<number, number[]> = { 0: [48, 22], 2: [48, 48, 4], 3: [30] };
    assert.deepEqual(
      sizes,
      order.flatMap((shard) => batches[shard]),
    );
    assert.deepEqual(Int32Array.from(seen).sort(), data.training.slice().sort());
    const later = [];
    for await (const { indices } of epochBatches(pieces([70, 0, 100, 30]), 1, 0, 48, 3)) later.push(...indices);
    assert.deepEqual(later, seen.slice(sizes.slice(0, 3).reduce((a, b) => a + b, 0)));
  });

  it('ends in the same bits when it is stopped at any step and taken up again', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'barcast-train-'));
    try {
      const run = () => ({ ...baseRun(kernel), shards: pieces([70, 100, 30]) });
      const whole = await runTraining(run());
      assert.equal(whole.steps, 3 * (2 + 3 + 1));
      assert.notEqual(weightsHash(whole.weights), weightsHash((await runTraining(baseRun(kernel))).weights));
      for (const steps of [1, 5, 6, 10]) {
        const checkpoint = new CheckpointFile(join(folder, `${steps}.safetensors`));
        await assert.rejects(runTraining({ ...run(), checkpoint, ...stopAfter(steps) }), interrupted);
        const rest = await runTraining({ ...run(), checkpoint });
        assert.equal(weightsHash(rest.weights), weightsHash(whole.weights), `stopped after ${steps} steps`);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('refuses a piece that does not hold what it promised', async () => {
    const shards: TrainingShards = { count: 1, sequences: () => 90, load: async () => data };
    await assert.rejects(
      runTraining({ ...baseRun(kernel), shards }),
      (error) => error instanceof BarcastError && error.code === 'BARCAST_E_INTERNAL',
    );
  });

  it('picks the best epoch by the score that the run gives', async () => {
    const scores = [3, 1, 2];
    let epoch = 0;
    const result = await runTraining({ ...baseRun(kernel), validationScore: () => scores[epoch++] });
    assert.equal(result.bestEpoch, 2);
    assert.deepEqual(
      result.history.map(({ validationScore }) => validationScore),
      scores,
    );
  });
});

describe('the sampler and the schedule', () => {
  it('shuffles every window once an epoch, each epoch differently', () => {
    const training = Int32Array.from({ length: 100 }, (_, i) => 3 * i);
    const [first, second] = [epochOrder(training, 1, 0), epochOrder(training, 1, 1)];
    assert.deepEqual(first.slice().sort(), training);
    assert.notDeepEqual(first, second);
    assert.deepEqual(epochOrder(training, 1, 0), first);
  });

  it('falls from the peak to a tenth of it along a cosine', () => {
    const peak = settings.optimizer.learningRate;
    assert.equal(learningRateAt(settings, 0, 100), peak);
    assert.ok(Math.abs(learningRateAt(settings, 50, 100) - 0.55 * peak) < 1e-12);
    assert.ok(Math.abs(learningRateAt(settings, 100, 100) - 0.1 * peak) < 1e-12);
    assert.equal(learningRateAt({ ...settings, schedule: 'constant' }, 50, 100), peak);
  });

  it('climbs to a rate that is scaled to the batch of an update', () => {
    const rate = settings.optimizer.learningRate;
    const large = { ...settings, schedule: 'constant' as const, batch: 128, accumulate: 4, warmupEpochs: 2 };
    const linear = { ...large, scaling: { rule: 'linear' as const, referenceBatch: 32 } };
    const at = (of: TrainingSettings, step: number) => learningRateAt(of, step, 100, 10) / rate;
    const near = (found: number, wanted: number) =>
      assert.ok(Math.abs(found - wanted) < 1e-12, `${found}, not ${wanted}`);
    near(at(linear, 99), 16);
    near(at({ ...large, scaling: { rule: 'sqrt', referenceBatch: 32 } }, 99), 4);
    // 20 steps from the unscaled rate to the scaled one, or from 0.
    near(at(linear, 0), 1 + 15 / 20);
    near(at(linear, 9), 1 + 15 / 2);
    near(at(linear, 19), 16);
    near(at(large, 4), 5 / 20);
    near(at(large, 20), 1);
    // The cosine begins where the climb ends.
    const cosine = { ...linear, schedule: 'cosine' as const };
    near(at(cosine, 20), 16);
    near(at(cosine, 60), 16 * 0.55);
  });
});

describe('checkpoint files', () => {
  it('have one name for each identity, and tell what differs from the one that is there', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'barcast-train-'));
    try {
      const [mine, other] = [
        { seed: '1', bars: 'x' },
        { bars: 'x', seed: '2' },
      ];
      assert.equal(CheckpointFile.of(folder, mine).path, CheckpointFile.of(folder, { bars: 'x', seed: '1' }).path);
      const file = CheckpointFile.of(folder, other);
      await assert.rejects(
        runTraining({ ...baseRun(referenceKernel()), identity: other, checkpoint: file, ...stopAfter(2) }),
        interrupted,
      );
      file.demand(other);
      assert.throws(
        () => CheckpointFile.of(folder, mine).demand(mine),
        (error) => error instanceof BarcastError && /its seed is 2, not 1$/.test(error.message),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
