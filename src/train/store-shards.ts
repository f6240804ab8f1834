/**
 * A training over more bars than memory holds: the range is cut at sessions into pieces of about equal rows, the whole
 * market in each, and a piece is read from the store, windowed and scaled when its turn comes, by threads beside the
 * one that trains. At most two pieces are held, and a third while it is made.
 *
 * Three passes precede the first epoch: rows are counted by day; the latest training pieces fit the scaler; and the
 * windows of every piece are counted, which reads it once. The validation part is the latest sessions: the share of the
 * rows that the settings ask for, but no more than one piece holds.
 *
 * Cost of an epoch: linear in the rows as long as the store's segments hold some weeks each. A segment that holds years
 * is read again, as far as symbols are concerned, for every piece of it.
 */
import { createHash } from 'node:crypto';
import { dayOf, type MarketBars, sessionsBetween } from '../bars/index.ts';
import { type Allocate, Arena, BarcastError, type EpochMinute, epochMinute, type Progress } from '../base/index.ts';
import {
  buildWindowsOnThreads,
  type FittedScaler,
  fillMarketOnThreads,
  fitOnThreads,
  type Recipe,
  scaleOnThreads,
  type WindowSet,
} from '../features/index.ts';
import { outputsOf } from '../kernel/index.ts';
import { forEachOutput, type PreparedTraining, rangeOf } from './prepare.ts';
import type { TrainingSettings } from './schedule.ts';
import type { LoadedShard, TrainingShards } from './shards.ts';

interface PieceQuery {
  readonly symbols?: readonly string[];
  readonly from?: EpochMinute;
  readonly to?: EpochMinute;
}

/** What is asked of a store. */
export interface PieceReader {
  read(query: PieceQuery, allocate: Allocate): Promise<MarketBars>;
  /** Rows by day since 1970 UTC, ascending. */
  rowsByDay(query: PieceQuery): Promise<{ readonly utcDay: number; readonly rows: number }[]>;
  /** Names the store's present commit. */
  fingerprint(): string;
}

/** A range of a store, to be trained on in pieces. */
export interface StorePieces {
  readonly reader: PieceReader;
  /** All when left out. */
  readonly symbols?: readonly string[];
  readonly from?: EpochMinute;
  readonly to?: EpochMinute;
  /** Memory for pieces; default {@link PIECES_BYTES}. */
  readonly bytes?: number;
}

interface Span {
  readonly from: EpochMinute;
  readonly to: EpochMinute;
}

/** Sessions of whole market days, at most as many as a piece holds. */
interface Piece extends Span {
  readonly rows: number;
}

/** What the pieces may take, all of them together. */
export const PIECES_BYTES = 900e6;
/** Two are held while a third is made. */
const PIECES_HELD = 3;
const BAR_BYTES = 44;

/** Bytes that a row of bars costs once windows are made of it: its row of the matrix, its window, scales and targets. */
function windowBytes(recipe: Recipe): number {
  const flows = recipe.flows ? 8 : 0;
  const scales = 64;
  return 4 * recipe.columns + flows + 36 + scales + 4 + 4 * outputsOf(recipe.network) + 8;
}

/** About what a training with all bars in memory takes. */
export const bytesInMemory = (recipe: Recipe, rows: number): number => rows * (BAR_BYTES + 1.5 * windowBytes(recipe));

/** Cuts days into pieces of at most `most` rows, a day at least. */
export function cutDays(days: readonly { readonly utcDay: number; readonly rows: number }[], most: number): Piece[] {
  const pieces: { from: EpochMinute; to: EpochMinute; rows: number }[] = [];
  for (const { utcDay, rows } of days) {
    const from = epochMinute(utcDay * 1440);
    const to = epochMinute(from + 1440);
    const last = pieces.at(-1);
    if (last !== undefined && last.rows + rows <= most) {
      last.to = to;
      last.rows += rows;
    } else pieces.push({ from, to, rows });
  }
  return pieces;
}

/** @throws BARCAST_E_TOO_FEW_WINDOWS, BARCAST_E_USAGE for a recipe that cannot be trained in pieces, BARCAST_E_INTERRUPTED */
export async function prepareFromStore(
  store: StorePieces,
  recipe: Recipe,
  settings: TrainingSettings,
  progress: Progress,
  signal?: AbortSignal,
): Promise<PreparedTraining> {
  if (recipe.training.validationSplit === 'random')
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `the recipe ${recipe.name} splits windows at random, which needs all of them in memory`,
      'choose another recipe, or a shorter range',
    );
  const { reader, symbols, from, to } = store;
  const range = { symbols, from, to };
  const days = (await reader.rowsByDay(range)).filter(({ utcDay }) => hasSession(utcDay));
  const most = Math.floor((store.bytes ?? PIECES_BYTES) / (BAR_BYTES + PIECES_HELD * windowBytes(recipe)));
  const held = latestDays(days, settings.validationShare, most);
  const pieces = cutDays(days.slice(0, days.length - held), most);
  const last = pieces.at(-1);
  if (held === 0 || last === undefined)
    throw new BarcastError(
      'BARCAST_E_TOO_FEW_WINDOWS',
      `${days.length} days are too few to train on some and validate on others`,
      'ingest more bars, or widen --from and --to',
    );
  const loader = new PieceLoader(store, recipe, pieces);
  // The validation part stays: it has memory of its own.
  const aside = new PieceLoader(store, recipe, []);
  const fitted = await loader.unscaled(last);
  const all = Int32Array.from(fitted.windows.starts.keys());
  const scaler = await fitOnThreads(fitted.windows, all, recipe, fitted.bars);
  loader.scaler = aside.scaler = scaler;
  const validation = await aside.scaled({ from: last.to, to: epochMinute(days.at(-1)!.utcDay * 1440 + 1440) });
  let windows = validation.windows.starts.length;
  let [firstAsOf, lastAsOf] = rangeOf(validation.windows.asOf);
  const names = new Set(validation.windows.symbols);
  for (const [index, piece] of pieces.entries()) {
    signal?.throwIfAborted();
    progress.update('counting windows', index, pieces.length, 'pieces');
    const { windows: found } = await loader.unscaled(piece);
    loader.counts.push(found.starts.length);
    windows += found.starts.length;
    for (const symbol of found.symbols) names.add(symbol);
    const [first, latest] = rangeOf(found.asOf);
    firstAsOf = Math.min(firstAsOf, first);
    lastAsOf = Math.max(lastAsOf, latest);
  }
  progress.update('counting windows', pieces.length, pieces.length, 'pieces');
  const hash = createHash('sha256').update(JSON.stringify([reader.fingerprint(), range, pieces, scaler]));
  return {
    scaler,
    shards: loader,
    validation: validation.windows,
    windows,
    symbols: [...names].sort(),
    firstAsOf,
    lastAsOf,
    bars: hash.digest('hex').slice(0, 32),
  };
}

const hasSession = (utcDay: number): boolean => {
  const day = dayOf(epochMinute(utcDay * 1440 + 720));
  return sessionsBetween(day, day).length > 0;
};

/** How many of the last days hold at most a share of the rows, and at most `most`; one at least of two. */
function latestDays(days: readonly { readonly rows: number }[], share: number, most: number): number {
  const all = days.reduce((sum, { rows }) => sum + rows, 0);
  let rows = 0;
  let count = 0;
  for (const day of days.toReversed()) {
    rows += day.rows;
    if (count > 0 && (rows > share * all || rows > most)) break;
    count++;
  }
  return Math.min(count, days.length - 1);
}

class PieceLoader implements TrainingShards {
  readonly counts: number[] = [];
  scaler: FittedScaler = {};
  readonly #store: StorePieces;
  readonly #recipe: Recipe;
  readonly #pieces: readonly Piece[];
  readonly #forBars = new Arena();
  /** The one in use first. */
  readonly #forWindows = Array.from({ length: PIECES_HELD }, () => new Arena());

  constructor(store: StorePieces, recipe: Recipe, pieces: readonly Piece[]) {
    this.#store = store;
    this.#recipe = recipe;
    this.#pieces = pieces;
  }

  get count(): number {
    return this.#pieces.length;
  }

  sequences(shard: number): number {
    return this.counts[shard];
  }

  async load(shard: number): Promise<LoadedShard> {
    const { windows, targets } = await this.scaled(this.#pieces[shard], true);
    return {
      windows,
      targets: forEachOutput(targets, outputsOf(this.#recipe.network)),
      training: Int32Array.from({ length: windows.starts.length }, (_, window) => window),
    };
  }

  /** The windows of a piece, each with a known target, and its bars, which stay as they are until the next call. */
  async unscaled({ from, to }: Span, apart = false): Promise<{ bars: MarketBars; windows: WindowSet }> {
    const { reader, symbols } = this.#store;
    this.#forBars.reset();
    const bars = await reader.read(
      {
        symbols,
        from: epochMinute(Math.max(from, this.#store.from ?? from)),
        to: epochMinute(Math.min(to, this.#store.to ?? to)),
      },
      this.#forBars.allocate,
    );
    const { allocate } = this.#nextArena();
    return { bars, windows: await buildWindowsOnThreads(bars, this.#recipe, REQUIRED, { apart, allocate }) };
  }

  async scaled(span: Span, apart = false): Promise<{ windows: WindowSet; targets: Float32Array }> {
    const { bars, windows } = await this.unscaled(span, apart);
    await fillMarketOnThreads(windows, this.#recipe, this.scaler, bars, { apart });
    const { allocate } = this.#forWindows[0];
    return await scaleOnThreads(windows, this.#recipe, this.scaler, { apart, allocate });
  }

  /** The memory of the piece before the last two. */
  #nextArena(): Arena {
    const arena = this.#forWindows.pop()!;
    this.#forWindows.unshift(arena);
    arena.reset();
    return arena;
  }
}

const REQUIRED = { requireTarget: true };
