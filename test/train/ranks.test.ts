/** The same bits on any number of ranks, of either kind; what one rank throws, all throw. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BarcastError, type ErrorCode } from '../../src/base/index.ts';
import { joinThreads, threadsMemory } from '../../src/collective/index.ts';
import { chooseKernel, type Kernel, type KernelNetwork, referenceKernel } from '../../src/kernel/index.ts';
import { weightsHash } from '../../src/model/index.ts';
import { runTraining, TileBalance, type TrainingSettings, trainOnThreads, weightsBits } from '../../src/train/index.ts';
import { MPIRUN } from '../collective/support.ts';
import { baseRun, data, settings } from './support.ts';

/** 201 steps, the last of each epoch smaller than the others and no whole number of tiles. */
const long: TrainingSettings = { ...settings, batch: 72, epochs: 67 };
const program = fileURLToPath(new URL('rank-process.ts', import.meta.url));

/** Hash and steps of each rank under a launcher. */
async function underMpi(ranks: number, launcher = 'mpirun', options = MPIRUN): Promise<string[]> {
  const child = spawn(launcher, [...options, '-n', String(ranks), process.execPath, program, JSON.stringify(long)]);
  let text = '';
  let complaints = '';
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part));
  child.stderr.setEncoding('utf8').on('data', (part) => (complaints += part));
  const status = await new Promise((resolve) => child.on('close', resolve));
  assert.equal(status, 0, complaints);
  return [...text.matchAll(/^HASH \d+ (.+)$/gm)].map(([, answer]) => answer);
}

const withCode = (code: ErrorCode, what: RegExp) => (error: unknown) =>
  error instanceof BarcastError && error.code === code && what.test(error.message);

describe('a training over ranks', () => {
  let kernel: Kernel;
  let one: string;
  before(async () => {
    kernel = await chooseKernel({ kernel: 'auto', threads: 1, say: () => {} });
    const { weights, steps } = await runTraining({ ...baseRun(kernel), settings: long });
    assert.equal(steps, 201);
    one = weightsHash(weights);
  });
  after(() => kernel.close());

  for (const ranks of [1, 2, 3]) {
    it(`on ${ranks} threads ends in the bits of one`, async () => {
      const { weights, steps, history } = await trainOnThreads({ ...baseRun(kernel), settings: long }, ranks);
      assert.equal(weightsHash(weights), one);
      assert.equal(steps, 201);
      assert.equal(history.length, 67);
    });
  }

  for (const ranks of [2, 3, 4]) {
    it(`on ${ranks} processes under Open MPI ends in the bits of one`, async () => {
      assert.deepEqual(
        await underMpi(ranks),
        Array.from({ length: ranks }, () => `${one} 201`),
      );
    });
  }

  it('on 2 processes under MPICH ends in the bits of one', async () => {
    assert.deepEqual(await underMpi(2, 'mpiexec.mpich', []), [`${one} 201`, `${one} 201`]);
  });

  it('does not depend on the threads of the kernel', async (t) => {
    const two = await chooseKernel({ kernel: 'auto', threads: 2, say: () => {} });
    try {
      if (two.name === 'reference') return t.diagnostic('only the reference kernel is here, which has one thread');
      const { weights } = await runTraining({ ...baseRun(two), settings: long });
      assert.equal(weightsHash(weights), one);
    } finally {
      two.close();
    }
  });

  it('adds up batches to the bits of one large batch', async () => {
    const short = { ...settings, epochs: 4, batch: 128 };
    const whole = await runTraining({ ...baseRun(kernel), settings: short });
    const parts = { ...baseRun(kernel), settings: { ...short, batch: 32, accumulate: 4 } };
    assert.equal(weightsHash((await runTraining(parts)).weights), weightsHash(whole.weights));
    assert.equal(weightsHash((await trainOnThreads(parts, 2)).weights), weightsHash(whole.weights));
  });

  /** Two ranks in this thread, each with a kernel of its own. */
  const bothRanks = (kernels: readonly Kernel[], change: (rank: number) => object = () => ({})) => {
    const memory = threadsMemory(kernels.length, 5000);
    return Promise.allSettled(
      kernels.map((own, rank) =>
        runTraining({ ...baseRun(own), collective: joinThreads(memory, rank), ...change(rank) }),
      ),
    );
  };
  /** The reference kernel with something in its networks replaced. */
  const bent = (bend: (network: KernelNetwork) => Partial<KernelNetwork>): Kernel => {
    const reference = referenceKernel();
    return {
      ...reference,
      async createNetwork(shape, weights) {
        const network = await reference.createNetwork(shape, weights);
        const own = Object.fromEntries(
          Object.getOwnPropertyNames(Object.getPrototypeOf(network))
            .filter((name) => name !== 'constructor')
            .map((name) => [
              name,
              (...args: unknown[]) =>
                (network as never as Record<string, (...args: unknown[]) => unknown>)[name](...args),
            ]),
        );
        return { shape: network.shape, ...own, ...bend(network) } as KernelNetwork;
      },
    };
  };

  it('names the rank whose weights are others', async () => {
    const wrong = bent((network) => ({
      async readWeights() {
        const weights = await network.readWeights();
        weights[3] += 1e-6;
        return weights;
      },
    }));
    const ends = await bothRanks([referenceKernel(), referenceKernel(), wrong]);
    for (const end of ends) {
      assert.ok(end.status === 'rejected');
      assert.ok(withCode('BARCAST_E_RANK', /weights of rank 2 \(thread 2\) are not those/)(end.reason), end.reason);
    }
  });

  it('ends on every rank in what one of them throws', async () => {
    let calls = 0;
    const failing = bent((network) => ({
      gradient: (batch) => {
        if (++calls === 3) throw new BarcastError('BARCAST_E_DIVERGED', 'it went wild', 'tame it');
        return network.gradient(batch);
      },
    }));
    const ends = await bothRanks([referenceKernel(), failing]);
    assert.deepEqual(
      ends.map((end) => end.status === 'rejected' && [end.reason.code, end.reason.message]),
      [
        ['BARCAST_E_DIVERGED', 'rank 1 (thread 1): it went wild'],
        ['BARCAST_E_DIVERGED', 'it went wild'],
      ],
    );
  });

  it('refuses ranks of another identity before the first step', async () => {
    let steps = 0;
    const ends = await bothRanks([referenceKernel(), referenceKernel()], (rank) => ({
      identity: { recipe: 'returns', bars: `hash ${rank}` },
      onStep: () => steps++,
    }));
    for (const end of ends) {
      assert.ok(end.status === 'rejected');
      assert.ok(
        withCode('BARCAST_E_RANKS_DIFFER', /^rank 1 .* another bars than rank 0 .*hash 1, not hash 0$/)(end.reason),
      );
    }
    assert.equal(steps, 0);
  });

  it('stops on every rank when one is asked to', async () => {
    const stop = new AbortController();
    const ends = await bothRanks([referenceKernel(), referenceKernel()], (rank) => ({
      signal: rank === 1 ? stop.signal : undefined,
      onStep: ({ step }: { step: number }) => rank === 1 && step === 4 && stop.abort(),
    }));
    for (const end of ends) {
      assert.ok(end.status === 'rejected');
      assert.ok(withCode('BARCAST_E_INTERRUPTED', /^training was stopped/)(end.reason), end.reason);
    }
  });

  it('loads pieces on rank 0 and hands them to the other threads', async () => {
    const pieces = {
      count: 2,
      sequences: (piece: number) => [130, 70][piece],
      load: async (piece: number) => ({
        ...data,
        training: piece === 0 ? data.training.subarray(0, 130) : data.training.subarray(130),
      }),
    };
    const run = { ...baseRun(kernel), shards: pieces };
    assert.equal(weightsHash((await trainOnThreads(run, 3)).weights), weightsHash((await runTraining(run)).weights));
    const broken = { ...pieces, load: () => Promise.reject(new BarcastError('BARCAST_E_STORE_CORRUPT', 'gone', 'x')) };
    await assert.rejects(
      trainOnThreads({ ...baseRun(kernel), shards: broken }, 2),
      withCode('BARCAST_E_STORE_CORRUPT', /^gone$/),
    );
  });
});

describe('the balance of tiles', () => {
  it('gives each rank the same at first, and then what it can do in the time of the others', () => {
    const balance = new TileBalance(3);
    assert.deepEqual(balance.shares(16), [5, 5, 6]);
    for (let step = 0; step < 60; step++) {
      const shares = balance.shares(16);
      // The second rank takes half of the time for a tile.
      balance.observe(
        shares.map((share, rank) => share * [2000, 1000, 2000][rank]),
        shares,
      );
    }
    assert.deepEqual(balance.shares(16), [4, 8, 4]);
    assert.deepEqual(balance.shares(1), [0, 1, 0]);
    assert.deepEqual(balance.shares(0), [0, 0, 0]);
  });

  it('keeps its shares while others would save next to nothing', () => {
    const balance = new TileBalance(2);
    const before = balance.shares(20);
    for (let step = 0; step < 20; step++) balance.observe([1000, 1010], before);
    assert.equal(balance.shares(20), before);
  });

  it('moves nothing for a delay now and then, and does for one that lasts', () => {
    const balance = new TileBalance(2);
    const times = [1000, 1000];
    for (let step = 0; step < 40; step++) {
      const shares = balance.shares(32);
      assert.deepEqual(shares, [16, 16], `step ${step}`);
      // The very first step, and every fourth.
      balance.observe(
        times.map((time, rank) => (rank === 0 && step % 4 === 0 ? 3 : 1) * time),
        shares,
      );
    }
    for (let step = 0; step < 6; step++) balance.observe([3000, 1000], [16, 16]);
    assert.deepEqual(balance.shares(32), [8, 24]);
  });
});

describe('the bits of weights', () => {
  it('differ for a change of any one bit', () => {
    const weights = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i));
    const words = new Uint32Array(weights.buffer);
    const before = weightsBits(weights);
    const seen = new Set([before]);
    for (let i = 0; i < words.length; i++) {
      for (const bit of [0, 17, 31]) {
        words[i] ^= 1 << bit;
        seen.add(weightsBits(weights));
        words[i] ^= 1 << bit;
      }
    }
    assert.equal(seen.size, 301);
    assert.equal(weightsBits(weights), before);
  });
});
