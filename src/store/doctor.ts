/**
 * The doctor: whether the store is whole, what it covers, and every flaw by symbol and day.
 *
 * Flaws are counted as an ingest counts them: those of bars over the stored bars and over the rows that lost to them,
 * the others from the ledger. After one ingest into an empty store both tell the same numbers.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { dayOf, type FlawKind, findGaps, sessionAt, sessionMinutesBefore, sessionsBetween } from '../bars/index.ts';
import { type DayString, type EpochMinute, isoOfMinute } from '../base/index.ts';
import { quoted, selectNumbers, selectRows } from './database.ts';
import { corrupt, type Manifest, relation, segmentPath, TABLE_NAMES } from './manifest.ts';
import { findDamage, openStoreReader } from './reader.ts';
import { BAR_FLAW_KINDS, BAR_FLAWS, COUNT_BAR_FLAWS, createSessionDays, WITH_SESSION } from './rules.ts';
import type { IngestCounts } from './store.ts';
import { fillColumns } from './vectors.ts';

export type FlawCounts = Omit<IngestCounts, 'symbols' | 'rowsRead' | 'rowsStored' | 'alreadyStored'>;

export interface FlawDay {
  readonly symbol: string;
  /** In New York. */
  readonly day: DayString;
  /** `duplicate` stands for repeats with equal values alone, unlike `duplicates` in the counts. */
  readonly kind: FlawKind;
  readonly count: number;
}

export interface SymbolGap {
  readonly symbol: string;
  /** The first absent minute and the first one present again, ISO 8601. */
  readonly from: string;
  readonly to: string;
  /** Absent session minutes. */
  readonly missing: number;
}

export interface SymbolCoverage {
  readonly symbol: string;
  readonly bars: number;
  readonly firstBar: string;
  readonly lastBar: string;
  /** The share of session minutes from the first bar to the last that have one; 0 without a bar in a session. */
  readonly share: number;
  readonly gaps: number;
  /** Bars in the session, by day. Only where symbols were chosen, or all was asked for. */
  readonly days?: readonly { readonly day: DayString; readonly bars: number }[];
}

/** One session over all symbols. */
export interface DayCoverage {
  readonly day: DayString;
  /** Symbols with a bar in it. */
  readonly symbols: number;
  readonly bars: number;
  /** Bars by the minutes that the session has for all symbols of the diagnosis. */
  readonly share: number;
}

/** What `barcast doctor` answers. Times are ISO 8601 UTC, of bars' opens. */
export interface Diagnosis {
  readonly symbols: number;
  readonly bars: number;
  readonly firstBar: string;
  readonly lastBar: string;
  /** Sessions with at least one bar. */
  readonly tradingDays: number;
  readonly gaps: number;
  readonly flaws: FlawCounts;
  readonly events: { readonly dividends: number; readonly splits: number };
  /** Bars of which the number of trades and the VWAP are known, and their symbols. */
  readonly trades: { readonly bars: number; readonly symbols: number };
  readonly coverage: readonly SymbolCoverage[];
  /** Every session from the first with a bar to the last, those without one too. */
  readonly days: readonly DayCoverage[];
  readonly gapList: readonly SymbolGap[];
  readonly flawList: readonly FlawDay[];
  /** Entries that the lists leave out. */
  readonly omitted: { readonly gaps: number; readonly flaws: number };
}

const LIST_LIMIT = 1000;
/** Symbols whose minutes are in memory at once. */
const SYMBOLS_AT_ONCE = 256;

export interface ExamineOptions {
  /** Lists without a limit; otherwise the first 1,000 gaps and flaws. */
  readonly all?: boolean;
  /** Canonical; all when left out. Flaws and events are counted over the whole store all the same. */
  readonly symbols?: readonly string[];
}

/**
 * Verifies and describes a store. A writing owner beside it does no harm.
 * @throws BARCAST_E_STORE_EMPTY, BARCAST_E_STORE_CORRUPT
 */
export async function examineStore(directory: string, options: ExamineOptions = {}): Promise<Diagnosis> {
  const reader = await openStoreReader(directory);
  try {
    return await reader.withConnection(async (connection, manifest) => {
      await verify(connection, directory, manifest);
      const coverage = await examineCoverage(connection, directory, manifest, options);
      const flaws = await examineFlaws(connection, directory, manifest);
      const events = await selectNumbers(
        connection,
        `select count(*) filter (kind = 'dividend') as dividends, count(*) filter (kind = 'split') as splits
         from ${relation(directory, 'events', manifest.events)}`,
      );
      const trades = await selectNumbers(
        connection,
        `select count(*) as bars, count(distinct symbol) as symbols from ${relation(directory, 'trades', manifest.trades)}`,
      );
      const limit = options.all ? Number.POSITIVE_INFINITY : LIST_LIMIT;
      return {
        symbols: coverage.symbols.length,
        bars: coverage.symbols.reduce((sum, { bars }) => sum + bars, 0),
        firstBar: isoOfMinute(Math.min(...manifest.bars.map((segment) => segment.minutes![0])) as EpochMinute),
        lastBar: isoOfMinute(Math.max(...manifest.bars.map((segment) => segment.minutes![1])) as EpochMinute),
        tradingDays: coverage.days.filter(({ bars }) => bars > 0).length,
        gaps: coverage.gaps.length,
        flaws: flaws.counts,
        events: { dividends: events.dividends!, splits: events.splits! },
        trades: { bars: trades.bars!, symbols: trades.symbols! },
        coverage: coverage.symbols,
        days: coverage.days,
        gapList: coverage.gaps.slice(0, limit),
        flawList: flaws.days.slice(0, limit),
        omitted: {
          gaps: Math.max(0, coverage.gaps.length - limit),
          flaws: Math.max(0, flaws.days.length - limit),
        },
      };
    });
  } finally {
    reader.close();
  }
}

/** @throws BARCAST_E_STORE_CORRUPT naming the first file that is not what the manifest says */
async function verify(connection: DuckDBConnection, directory: string, manifest: Manifest): Promise<void> {
  const damage = findDamage(directory, manifest);
  if (damage !== undefined) throw corrupt(damage);
  for (const table of TABLE_NAMES) {
    for (const segment of manifest[table]) {
      const { rows } = await selectNumbers(
        connection,
        `select count(*) as rows from ${relation(directory, table, [segment])}`,
      );
      if (rows !== segment.rows) {
        throw corrupt(`${segmentPath(directory, segment)} has ${rows} rows instead of ${segment.rows}`);
      }
    }
  }
}

async function examineCoverage(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
  { all, symbols: chosen }: ExamineOptions,
) {
  const bars = relation(directory, 'bars', manifest.bars);
  const where = chosen === undefined ? '' : `where symbol in (${chosen.map(quoted).join(', ') || 'null'})`;
  const counts = await selectRows(
    connection,
    `select symbol, count(*)::INTEGER as rows from ${bars} ${where} group by symbol order by symbol`,
  );
  const symbols: SymbolCoverage[] = [];
  const gaps: SymbolGap[] = [];
  const sums = new Map<DayString, { symbols: number; bars: number }>();
  for (let start = 0; start < counts.length; start += SYMBOLS_AT_ONCE) {
    const block = counts.slice(start, start + SYMBOLS_AT_ONCE);
    const minutes = new Int32Array(block.reduce((sum, row) => sum + (row.rows as number), 0));
    const [first, last] = [block[0]!.symbol as string, block.at(-1)!.symbol as string];
    await fillColumns(
      connection,
      `select minute from ${bars} ${where === '' ? 'where' : `${where} and`} symbol between ${quoted(first)} and ${quoted(last)} order by symbol, minute`,
      [minutes],
    );
    let row = 0;
    for (const { symbol, rows } of block as { symbol: string; rows: number }[]) {
      const own = minutes.subarray(row, row + rows);
      row += rows;
      const found = findGaps(own);
      for (const { from, to, missing } of found) {
        gaps.push({ symbol, from: isoOfMinute(from), to: isoOfMinute(to), missing });
      }
      const { share, days } = sessionCoverage(symbol, own);
      for (const { day, bars: n } of days) {
        const sum = sums.get(day);
        if (sum === undefined) sums.set(day, { symbols: 1, bars: n });
        else {
          sum.symbols++;
          sum.bars += n;
        }
      }
      symbols.push({
        symbol,
        bars: rows,
        firstBar: isoOfMinute(own[0] as EpochMinute),
        lastBar: isoOfMinute(own[rows - 1] as EpochMinute),
        share,
        gaps: found.length,
        ...(all || chosen !== undefined ? { days } : {}),
      });
    }
  }
  return { symbols, gaps, days: everyDay(sums, symbols.length) };
}

/** Every session between the first and the last day that has bars. */
function everyDay(sums: ReadonlyMap<DayString, { symbols: number; bars: number }>, symbols: number): DayCoverage[] {
  const days = [...sums.keys()].sort();
  if (days.length === 0) return [];
  return sessionsBetween(days[0]!, days.at(-1)!).map(({ day, open, close }) => {
    const { symbols: present, bars } = sums.get(day) ?? { symbols: 0, bars: 0 };
    return { day, symbols: present, bars, share: bars / (symbols * (close - open)) };
  });
}

/**
 * The share of session minutes that have a bar, and how many have one by day.
 * @throws BARCAST_E_STORE_CORRUPT for a minute that stands twice
 */
function sessionCoverage(
  symbol: string,
  minutes: Int32Array,
): { share: number; days: { day: DayString; bars: number }[] } {
  let present = 0;
  let first: EpochMinute | undefined;
  let last: EpochMinute | undefined;
  const days: { day: DayString; bars: number }[] = [];
  for (const [row, value] of minutes.entries()) {
    const minute = value as EpochMinute;
    if (row > 0 && minute === minutes[row - 1]) throw corrupt(`${symbol} has two bars at ${isoOfMinute(minute)}`);
    const session = sessionAt(minute);
    if (session === undefined) continue;
    if (days.at(-1)?.day === session.day) days.at(-1)!.bars++;
    else days.push({ day: session.day, bars: 1 });
    first ??= minute;
    last = minute;
    present++;
  }
  if (first === undefined || last === undefined) return { share: 0, days };
  return { share: present / (sessionMinutesBefore(last) + 1 - sessionMinutesBefore(first)), days };
}

async function examineFlaws(
  connection: DuckDBConnection,
  directory: string,
  manifest: Manifest,
): Promise<{ counts: FlawCounts; days: FlawDay[] }> {
  const ledger = relation(directory, 'ledger', manifest.ledger);
  const held = `(select symbol, minute, open, high, low, close, volume from ${relation(directory, 'bars', manifest.bars)}
    union all select symbol, (timeMs // 60000)::INTEGER, open, high, low, close, volume from ${ledger}
    where kind in ('duplicate', 'conflict', 'revision'))`;
  const utcDays = await selectRows(connection, `select distinct minute // 1440 as utcDay from ${held}`);
  await createSessionDays(
    connection,
    utcDays.map((row) => row.utcDay as number),
  );
  const counts = {
    ...(await selectNumbers(connection, `select ${COUNT_BAR_FLAWS} from ${held} ${WITH_SESSION}`)),
    ...(await selectNumbers(
      connection,
      `select count(*) filter (kind in ('duplicate', 'conflict')) as duplicates,
         count(*) filter (kind = 'conflict') as conflicts, count(*) filter (kind = 'revision') as revisions,
         count(*) filter (kind = 'partialBar') as partialBars, count(*) filter (kind = 'misalignedBar') as misalignedBars
       from ${ledger}`,
    )),
  } as unknown as FlawCounts;
  // By the hour: New York's date changes on the full hour in UTC.
  const flagged = BAR_FLAW_KINDS.map((kind) => `count(*) filter (${BAR_FLAWS[kind]}) as ${kind}`);
  const hours = await selectRows(
    connection,
    `unpivot (select symbol, minute // 60 as hour, ${flagged.join(', ')} from ${held} ${WITH_SESSION} group by all)
       on ${BAR_FLAW_KINDS.join(', ')} into name kind value flaws
     union all by name
     select symbol, (timeMs // 3600000)::INTEGER as hour, kind, count(*) as flaws from ${ledger} group by all`,
  );
  return { counts, days: sumByDay(hours) };
}

function sumByDay(hours: readonly Record<string, unknown>[]): FlawDay[] {
  const sums = new Map<string, { -readonly [K in keyof FlawDay]: FlawDay[K] }>();
  for (const row of hours) {
    const [symbol, kind, count] = [row.symbol as string, row.kind as FlawKind, Number(row.flaws)];
    if (count === 0) continue;
    const day = dayOf((Number(row.hour) * 60) as EpochMinute);
    const key = `${symbol} ${day} ${kind}`;
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, { symbol, day, kind, count });
    else sum.count += count;
  }
  return [...sums.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}
