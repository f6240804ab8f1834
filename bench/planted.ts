/**
 * How much of a planted pattern a training finds: patterns x seeds x strengths on the simulated market, the share of the
 * best reachable scaled skill of each, and the verdict on a random walk.
 * `node bench/planted.ts [--patterns echo,reversal,lead,clock,none] [--seeds 1,2] [--strengths 0.1,0.2,0.3]
 * [--symbols 101] [--sessions 40] [--test-sessions 5] [--epochs 1]`
 */
import { parseArgs } from 'node:util';
import { chooseKernel } from '../src/kernel/index.ts';
import { PATTERN_NAMES, type Pattern } from '../src/sources/index.ts';
import { type PlantedScore, scorePlanted } from './planted-market.ts';
import { circumstances } from './timing.ts';

const { values } = parseArgs({
  options: {
    patterns: { type: 'string', default: [...PATTERN_NAMES, 'none'].join() },
    seeds: { type: 'string', default: '1,2' },
    strengths: { type: 'string', default: '0.1,0.2,0.3' },
    symbols: { type: 'string', default: '101' },
    sessions: { type: 'string', default: '40' },
    'test-sessions': { type: 'string', default: '5' },
    epochs: { type: 'string', default: '1' },
  },
});
const numbers = (text: string) => text.split(',').map(Number);
const kernel = await chooseKernel({ kernel: 'auto' });
const scores: PlantedScore[] = [];
process.stdout.write('| pattern | seed | strength | best | model | share | ridge | coverage, hours | verdict |\n');
process.stdout.write('| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n');
try {
  for (const pattern of values.patterns.split(',') as Pattern[]) {
    // A random walk has no strength.
    for (const strength of pattern === 'none' ? [0] : numbers(values.strengths)) {
      for (const seed of numbers(values.seeds)) {
        const sizes = {
          symbols: Number(values.symbols),
          sessions: Number(values.sessions),
          testSessions: Number(values['test-sessions']),
          epochs: Number(values.epochs),
        };

        const score = await scorePlanted({ pattern, seed, strength, ...sizes }, kernel);
        scores.push(score);
        process.stdout.write(`${rowOf(score)}\n`);
      }
    }
  }
} finally {
  kernel.close();
}
process.stdout.write(`${JSON.stringify({ scores, ...circumstances() })}\n`);

function rowOf(score: PlantedScore): string {
  const percent = (x: number | null, digits = 1) => (x === null ? '' : `${(100 * x).toFixed(digits)}%`);
  const { pattern, seed, strength, best, skillScaled, share, ridgeShare, coverage80, coverageOfHours, verdict } = score;
  const [least, most] = coverageOfHours.map((x) => percent(x, 0));
  const cells = [
    pattern,
    seed,
    strength,
    percent(best),
    percent(skillScaled),
    percent(share, 0),
    percent(ridgeShare, 0),
    `${percent(coverage80)}, ${least} to ${most}`,
    verdict,
  ];
  return `| ${cells.join(' | ')} |`;
}
