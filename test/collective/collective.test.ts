import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BarcastError } from '../../src/base/index.ts';
import { isMpiRank, joinMpi, joinThreads, startedBy, threadsMemory } from '../../src/collective/index.ts';
import { collectiveConformance } from './conformance.ts';
import { runMpi, runMpich, runSolo, runThreads } from './support.ts';

describe('one rank alone', () => collectiveConformance('solo', runSolo, [1]));
describe('ranks as threads', () => collectiveConformance('threads', runThreads, [1, 2, 3, 5]));
describe('ranks under Open MPI', () => collectiveConformance('mpi', runMpi, [3]));

describe('ranks under MPICH', () => collectiveConformance('mpi', runMpich, [3]));

describe('a collective', () => {
  it('knows a process that mpirun or srun started', () => {
    assert.equal(isMpiRank({}), false);
    assert.equal(isMpiRank({ OMPI_COMM_WORLD_SIZE: '2' }), true);
    assert.equal(isMpiRank({ PMIX_RANK: '0' }), true);
    assert.equal(startedBy({ PMIX_RANK: '0', PMI_RANK: '0' }), 'Open MPI');
    assert.equal(startedBy({ PMI_RANK: '0' }), 'MPICH');
  });

  it('says in one line that Open MPI is missing', async () => {
    await assert.rejects(joinMpi({ files: ['libno-such-mpi.so.40'] }), (error) => {
      assert.ok(error instanceof BarcastError && error.code === 'BARCAST_E_MPI');
      assert.match(error.line, /^BARCAST_E_MPI: Open MPI's libno-such-mpi\S+ cannot be loaded \(.*\); install it \(/);
      return true;
    });
  });

  it('tells threads apart that call different things', async () => {
    const memory = threadsMemory(2);
    const [first, second] = [joinThreads(memory, 0), joinThreads(memory, 1)];
    const ends = await Promise.allSettled([
      first.allReduce(new BigInt64Array(4)),
      second.allReduce(new BigInt64Array(5)),
    ]);
    assert.ok(
      ends.some(
        (end) =>
          end.status === 'rejected' &&
          /calls allReduce of \d while rank \d calls allReduce of \d/.test(end.reason.message),
      ),
      JSON.stringify(ends),
    );
  });
});
