/** How figures are taken: warm up, repeat for a while, tell the median and the spread, and name the machine. */
import { cpus, totalmem } from 'node:os';

/** Milliseconds. */
export interface Timing {
  readonly runs: number;
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly p99: number;
}

const WARM_UP_RUNS = 5;
const LEAST_RUNS = 20;

/** Times work one run after another for at least `seconds` and `least` runs, after `warmUp` ones that do not count. */
export async function time(
  work: () => Promise<unknown>,
  seconds: number,
  { warmUp = WARM_UP_RUNS, least = LEAST_RUNS }: { readonly warmUp?: number; readonly least?: number } = {},
): Promise<Timing> {
  for (let run = 0; run < warmUp; run++) await work();
  const taken: number[] = [];
  const startedAt = performance.now();
  while (taken.length < least || performance.now() - startedAt < seconds * 1000) {
    const before = performance.now();
    await work();
    taken.push(performance.now() - before);
  }
  taken.sort((a, b) => a - b);
  const quantile = (share: number) => taken[Math.min(taken.length - 1, Math.floor(share * taken.length))];
  return { runs: taken.length, median: quantile(0.5), p10: quantile(0.1), p90: quantile(0.9), p99: quantile(0.99) };
}

/** What a figure stands beside: machine, date and command. */
export function circumstances(): { machine: string; node: string; date: string; command: string } {
  const processors = cpus();
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return {
    machine: `${processors.length} x ${processors[0]?.model ?? 'unknown processor'}, ${gigabytes} GiB`,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
    command: `barcast ${process.argv.slice(2).join(' ')}`,
  };
}
