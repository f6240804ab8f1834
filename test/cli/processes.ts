/** Finds the processes of a test's own job through /proc. */
import { readdirSync, readFileSync } from 'node:fs';

function read(pid: string, file: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', '\n');
  } catch {
    return '';
  }
}

/** Those among whose words is `--models` with that folder. */
export const processesOf = (models: string): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && `${read(name, 'cmdline')}\n`.includes(`\n--models\n${models}\n`))
    .map(Number);

/** Those among them that mpirun started as ranks. */
export const ranksOf = (models: string): { pid: number; rank: number }[] =>
  processesOf(models).flatMap((pid) => {
    const [, rank] = /^OMPI_COMM_WORLD_RANK=(\d+)$/m.exec(read(String(pid), 'environ')) ?? [];
    return rank === undefined ? [] : [{ pid, rank: Number(rank) }];
  });
