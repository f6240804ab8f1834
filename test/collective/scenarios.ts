/** What each rank of a conformance test does; its answer goes back to the test as JSON. */
import { setTimeout as sleep } from 'node:timers/promises';
import { BarcastError, Random } from '../../src/base/index.ts';
import {
  broadcastBytes,
  type Collective,
  demandTheSame,
  gatherNumbers,
  gatherTexts,
  together,
} from '../../src/collective/index.ts';

/** Values of any size, positive and negative, that differ from rank to rank. */
export function valuesOf(rank: number, length: number, seed = 1): BigInt64Array {
  const random = new Random(seed, rank);
  return BigInt64Array.from({ length }, () =>
    BigInt.asIntN(64, (BigInt(random.word()) << 32n) | BigInt(random.word())),
  );
}

/** A short name of an array's bits. */
export function checksum(values: BigInt64Array): string {
  let sum = 0n;
  for (const value of values) sum = BigInt.asUintN(64, sum * 6364136223846793005n + BigInt.asUintN(64, value) + 1n);
  return sum.toString(16);
}

export const scenarios = {
  identity: async (collective: Collective) => ({
    kind: collective.kind,
    rank: collective.rank,
    size: collective.size,
    places: collective.places.length,
    leads: collective.leadsItsHost,
  }),

  /** Sums of several lengths, one after the other, some of them views into larger arrays. */
  async sums(collective: Collective, lengths: number[]) {
    const found: string[] = [];
    for (const length of lengths) {
      const room = new BigInt64Array(length + 3).fill(7n);
      const values = room.subarray(2, 2 + length);
      values.set(valuesOf(collective.rank, length));
      await collective.allReduce(values);
      if (room[0] !== 7n || room[1] !== 7n || room[2 + length] !== 7n) found.push('wrote beside its array');
      found.push(checksum(values));
    }
    return found;
  },

  /** Many small ones without a pause: a rank that is a call ahead must not disturb the others. */
  async race(collective: Collective, rounds: number) {
    const values = new BigInt64Array(5);
    let sum = 0n;
    for (let round = 0; round < rounds; round++) {
      values.fill(BigInt(round * (collective.rank + 1)));
      await collective.allReduce(values);
      sum += values[round % 5];
    }
    return String(sum);
  },

  async broadcasts(collective: Collective, lengths: number[]) {
    const found: boolean[] = [];
    for (const length of lengths) {
      for (let root = 0; root < collective.size; root++) {
        const wanted = new Uint8Array(valuesOf(root, Math.ceil(length / 8)).buffer).subarray(0, length);
        const bytes = collective.rank === root ? wanted.slice() : new Uint8Array(length);
        await collective.broadcast(bytes, root);
        found.push(Buffer.compare(bytes, wanted) === 0);
      }
    }
    return found;
  },

  /** Each rank comes later than the one before; nobody leaves before the last one has come. */
  async barrier(collective: Collective) {
    await collective.barrier();
    await sleep(40 * collective.rank);
    const came = Date.now();
    await collective.barrier();
    return { came, left: Date.now() };
  },

  async messages(collective: Collective) {
    const { rank } = collective;
    return [
      await gatherNumbers(collective, rank * rank),
      await gatherTexts(collective, rank === 1 ? '' : `rank ${rank} ☂ ${'x'.repeat(1000 * rank)}`),
      Buffer.from(
        await broadcastBytes(
          collective,
          collective.size - 1,
          rank === collective.size - 1 ? Buffer.from('last') : undefined,
        ),
      ).toString(),
    ];
  },

  async failTogether(collective: Collective, failing: number) {
    await together(collective, async () => {
      if (collective.rank === failing) throw new BarcastError('BARCAST_E_DIVERGED', 'it broke', 'mend it');
    });
  },

  async differ(collective: Collective, odd: number) {
    await demandTheSame(collective, { version: '1', data: collective.rank === odd ? 'b' : 'a' });
    return 'the same';
  },

  /** One rank never comes to the second meeting, but stays alive for a while. */
  async missing(collective: Collective, absent: number) {
    await collective.barrier();
    // Longer than any rank waits; mpirun ends it with the first that gives up.
    if (collective.rank === absent) await sleep(collective.kind === 'mpi' ? 30_000 : 3000);
    else await collective.allReduce(new BigInt64Array(3));
  },

  /** One rank dies. */
  async die(collective: Collective, dying: number) {
    await collective.barrier();
    if (collective.rank === dying) throw new Error('it dies');
    await collective.barrier();
    await collective.barrier();
  },
};

export type Scenario = keyof typeof scenarios;

/** Runs one and answers what it found, or its error. */
export async function perform(collective: Collective, scenario: Scenario, argument: unknown): Promise<unknown> {
  const work = scenarios[scenario] as (collective: Collective, argument: unknown) => Promise<unknown>;
  try {
    return { found: await work(collective, argument) };
  } catch (error) {
    if (error instanceof BarcastError) return { code: error.code, what: error.message };
    throw error;
  }
}
