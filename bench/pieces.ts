/**
 * A training over more bars than memory holds, all but the training itself: a generated store of any size is prepared in
 * pieces, and an epoch of batches is read, windowed, scaled, shuffled and gathered. Peak memory is the process's own.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BarcastError, type Progress } from '../src/base/index.ts';
import { recipeOf } from '../src/features/index.ts';
import { fillStore, openReader } from '../src/store/index.ts';
import { Batches, epochBatches, type LoadedShard, prepareFromStore, sequencesOf } from '../src/train/index.ts';
import { generatedMarket, sessionsFrom } from './market.ts';
import { circumstances } from './timing.ts';

/** Sessions in a segment of the generated store: about a month, as an owner's merging leaves them. */
const SESSIONS_A_SEGMENT = 20;
const BATCH = 256;

const secondsSince = (started: number): number => (performance.now() - started) / 1000;

/** @throws BARCAST_E_INTERNAL when an epoch does not hold every training window once; BARCAST_E_DISK_FULL */
export async function benchPieces(options: {
  readonly symbols: number;
  readonly sessions: number;
  readonly progress: Progress;
}) {
  const { symbols, progress } = options;
  const folder = mkdtempSync(join(tmpdir(), 'barcast-bench-'));
  try {
    let started = performance.now();
    const sessions = sessionsFrom('2019-01-02', options.sessions);
    progress.say('generating bars');
    const rows = await fillStore(folder, generatedMarket({ symbols, sessions, sessionsAPart: SESSIONS_A_SEGMENT }));
    const generateSeconds = secondsSince(started);
    const reader = await openReader(folder);
    const recipe = recipeOf('returns');
    started = performance.now();
    const { shards, validation, windows } = await prepareFromStore({ reader }, recipe, recipe.training, progress);
    const prepareSeconds = secondsSince(started);
    started = performance.now();
    const sequences = await gatherEpoch(shards, progress);
    const epochSeconds = secondsSince(started);
    reader.close();
    return {
      symbols,
      sessions: sessions.length,
      rows,
      bytes: segmentBytes(folder),
      pieces: shards.count,
      windows,
      trainingWindows: sequences,
      validationWindows: validation.starts.length,
      generateSeconds,
      prepareSeconds,
      epochSeconds,
      rowsPerSecond: Math.round(rows / epochSeconds),
      peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
      ...circumstances(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function gatherEpoch(shards: Parameters<typeof epochBatches>[0], progress: Progress): Promise<number> {
  const { training } = recipeOf('returns');
  const wanted = sequencesOf(shards);
  let sequences = 0;
  let shard: LoadedShard | undefined;
  let batches: Batches | undefined;
  let seen = new Uint8Array(0);
  for await (const batch of epochBatches(shards, 1, 0, BATCH, 0)) {
    if (batch.shard !== shard) {
      shard = batch.shard;
      batches = new Batches(shard.windows, shard.targets, BATCH);
      seen = new Uint8Array(shard.windows.starts.length);
      progress.update('an epoch', sequences, wanted, 'windows');
    }
    batches!.gather(batch.indices, training.loss, 1, 0);
    for (const window of batch.indices) {
      if (seen[window]++ > 0) throw wrong('a window came twice');
    }
    sequences += batch.indices.length;
  }
  if (sequences !== wanted) throw wrong(`${sequences} windows came instead of ${wanted}`);
  return sequences;
}

const wrong = (what: string): BarcastError =>
  new BarcastError('BARCAST_E_INTERNAL', `of an epoch in pieces ${what}`, 'report this');

function segmentBytes(folder: string): number {
  const segments = join(folder, 'segments');
  return readdirSync(segments).reduce((sum, file) => sum + statSync(join(segments, file)).size, 0);
}
