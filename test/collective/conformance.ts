/** The suite that every collective passes, at several numbers of ranks. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { checksum, valuesOf } from './scenarios.ts';
import type { RunRanks } from './support.ts';

/** Odd lengths, lengths below the number of ranks, and one beyond a message of each implementation. */
const LENGTHS = [0, 1, 2, 3, 7, 1000, 11_833, (1 << 17) + 5];
const BYTES = [0, 1, 5, 9, 4097, 8 * (1 << 17) + 3];

/** The sum over ranks, one value after the other. */
function sumOf(size: number, length: number): BigInt64Array {
  const sum = new BigInt64Array(length);
  for (let rank = 0; rank < size; rank++) {
    const values = valuesOf(rank, length);
    for (let i = 0; i < length; i++) sum[i] = BigInt.asIntN(64, sum[i] + values[i]);
  }
  return sum;
}

export function collectiveConformance(kind: string, run: RunRanks, sizes: readonly number[]): void {
  for (const size of sizes) {
    const ranks = Array.from({ length: size }, (_, rank) => rank);
    const all = (answer: unknown) => ranks.map(() => ({ found: answer }));

    it(`${size}: each rank knows its place`, async () => {
      const answers = await run(size, 'identity');
      assert.deepEqual(
        answers,
        ranks.map((rank) => ({ found: { kind, rank, size, places: size, leads: rank === 0 } })),
      );
    });

    it(`${size}: sums arrays of any length on every rank, and touches nothing else`, async () => {
      const wanted = LENGTHS.map((length) => checksum(sumOf(size, length)));
      assert.deepEqual(await run(size, 'sums', LENGTHS), all(wanted));
    });

    it(`${size}: keeps calls apart that follow each other at once`, async () => {
      const rounds = 400;
      const weight = (size * (size + 1)) / 2;
      const wanted = String(weight * ((rounds * (rounds - 1)) / 2));
      assert.deepEqual(await run(size, 'race', rounds), all(wanted));
    });

    it(`${size}: broadcasts from any rank`, async () => {
      assert.deepEqual(await run(size, 'broadcasts', BYTES), all(BYTES.flatMap(() => ranks.map(() => true))));
    });

    it(`${size}: nobody leaves a barrier before the last one has come`, async () => {
      const times = (await run(size, 'barrier')).map((answer) => answer?.found as { came: number; left: number });
      const last = Math.max(...times.map(({ came }) => came));
      assert.ok(
        times.every(({ left }) => left >= last),
        JSON.stringify(times),
      );
    });

    it(`${size}: gathers numbers and texts`, async () => {
      const texts = ranks.map((rank) => (rank === 1 ? '' : `rank ${rank} ☂ ${'x'.repeat(1000 * rank)}`));
      assert.deepEqual(await run(size, 'messages'), all([ranks.map((rank) => rank * rank), texts, 'last']));
    });

    it(`${size}: a failure on one rank is thrown on all, with its code`, async () => {
      const failing = size - 1;
      const answers = await run(size, 'failTogether', failing);
      for (const [rank, answer] of answers.entries()) {
        assert.equal(answer?.code, 'BARCAST_E_DIVERGED');
        assert.match(
          answer.what!,
          rank === failing ? /^it broke$/ : new RegExp(`^rank ${failing} \\(.+\\): it broke$`),
        );
      }
    });

    it(`${size}: ranks that differ are told in what`, async () => {
      assert.deepEqual(await run(size, 'differ', -1), all('the same'));
      const answers = await run(size, 'differ', size - 1);
      for (const answer of size > 1 ? answers : []) {
        assert.equal(answer?.code, 'BARCAST_E_RANKS_DIFFER');
        assert.match(
          answer.what!,
          new RegExp(`^rank ${size - 1} \\(.+\\) has another data than rank 0 \\(.+\\): b, not a$`),
        );
      }
    });

    if (size === 1) continue;
    it(`${size}: a rank that does not come is named by those that wait`, async () => {
      const answers = await run(size, 'missing', 1, 1000);
      for (const rank of ranks.filter((rank) => rank !== 1)) {
        // Under mpirun the first rank that gives up may take the others with it.
        if (kind === 'mpi' && answers[rank] === undefined) continue;
        assert.equal(answers[rank]?.code, 'BARCAST_E_RANK', JSON.stringify(answers));
        assert.match(answers[rank].what!, /^rank 1 \([^)]+\) kept the others waiting for 1 s$/);
      }
      assert.ok(answers.some((answer) => answer?.code === 'BARCAST_E_RANK'));
    });

    it(`${size}: a rank that dies ends the job at once`, async () => {
      const startedAt = performance.now();
      const answers = await run(size, 'die', size - 1, 60_000);
      assert.ok(performance.now() - startedAt < 30_000, 'it waited for the time-out');
      assert.equal(answers[size - 1], undefined);
      // Mpirun ends the others; threads hear of it.
      for (const answer of kind === 'mpi' ? [] : answers.slice(0, -1)) {
        assert.equal(answer?.code, 'BARCAST_E_RANK');
        assert.match(answer.what!, new RegExp(`^rank ${size - 1} \\(thread ${size - 1}\\) ended`));
      }
      if (kind === 'mpi')
        assert.deepEqual(
          answers,
          ranks.map(() => undefined),
        );
    });
  }
}
