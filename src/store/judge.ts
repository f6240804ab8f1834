/**
 * Judging: what becomes of every staged row. One code path for every source.
 *
 * 1. A row off the whole minute, or of a minute that had not ended, is refused and goes to the ledger.
 * 2. Of several rows for one (symbol, minute) the last in the input wins; the others go to the ledger. A repeat that
 *    differs from the first row of its minute is a conflict, an equal one a duplicate.
 * 3. A winner that the store holds already is passed over, and so is one without a price where the store has one, and a
 *    provisional one, of a live source, where the store has a bar with a price; any other that differs from the stored
 *    bar replaces it, and the old values go to the ledger as a revision.
 * 4. What a winner tells of its trades is kept beside the bar, and replaces what was known; a winner that tells nothing of
 *    them changes nothing there.
 *
 * The ledger is a set: what it holds already is not added again, whoever ingests the same input how often.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { selectNumbers, selectRows } from './database.ts';
import { type Manifest, relation, type Segment } from './manifest.ts';
import { COUNT_BAR_FLAWS, createSessionDays, IS_BAR, REFUSALS, WITH_SESSION } from './rules.ts';
import type { IngestCounts } from './store.ts';

const VALUES = 'open, high, low, close, volume';
const valuesOf = (table: string) =>
  VALUES.split(', ')
    .map((name) => `${table}.${name}`)
    .join(', ');
const MINUTE = '(timeMs // 60000)::INTEGER as minute';

/** What a commit has to write: rows to add, as SQL, and their counts. */
export interface Judgement {
  readonly counts: IngestCounts;
  /** New and corrected bars. */
  readonly barsToWrite: string;
  /** The keys (symbol, minute) of stored bars that the above replaces, as SQL. */
  readonly revisedKeys: string;
  readonly ledgerToAdd: string;
  /** What is new of the trades in bars, how much of that, and the keys of what it replaces. */
  readonly tradesToWrite: string;
  readonly tradesStored: number;
  readonly replacedTradesKeys: string;
  readonly tradesReplaced: number;
  readonly eventsToAdd: string;
}

const JUDGE_TABLES = ['loser', 'known', 'revision', 'newTrades', 'sessionDay'];

export async function dropJudgement(connection: DuckDBConnection): Promise<void> {
  for (const table of JUDGE_TABLES) await connection.run(`drop table if exists ${table}`);
}

/** Judges the staged rows against the store as of the manifest. Its tables live until {@link dropJudgement}. */
export async function judge(connection: DuckDBConnection, directory: string, manifest: Manifest): Promise<Judgement> {
  await findLosers(connection);
  await compareWithStored(connection, directory, manifest);
  const trades = await judgeTrades(connection, directory, manifest);
  const counts = await countStaged(connection);
  const ledger = relation(directory, 'ledger', manifest.ledger);
  const events = relation(directory, 'events', manifest.events);
  return {
    counts,
    barsToWrite: `select symbol, ${MINUTE}, ${VALUES} from staged anti join loser using (ordinal)
      anti join (select ordinal from known where same) k using (ordinal) where ${IS_BAR}`,
    revisedKeys: 'select symbol, minute from revision',
    ledgerToAdd: `
      select kind, symbol, timeMs, ${VALUES},
        row_number() over (partition by kind, symbol, timeMs, ${VALUES})::INTEGER as occurrence
      from (
        select case when ${REFUSALS.misalignedBar} then 'misalignedBar' else 'partialBar' end as kind,
          symbol, timeMs, ${VALUES} from staged where not (${IS_BAR})
        union all select kind, symbol, timeMs, ${VALUES} from loser
        union all select 'revision', symbol, minute::BIGINT * 60000, ${VALUES} from revision)
      except select kind, symbol, timeMs, ${VALUES}, occurrence from ${ledger}`,
    tradesToWrite: 'select symbol, minute, tradeCount, vwap from newTrades',
    tradesStored: trades.stored!,
    replacedTradesKeys: 'select symbol, minute from newTrades where replaces',
    tradesReplaced: trades.replaced!,
    eventsToAdd: `select symbol, timeMs, kind, value from stagedEvent except select symbol, timeMs, kind, value from ${events}`,
  };
}

/** `loser`: every row that a later row for the same minute replaces, with what that repeat is. */
async function findLosers(connection: DuckDBConnection): Promise<void> {
  const values = `row(${VALUES})`;
  await connection.run(`
    create table loser as
    with repeated as (select symbol, timeMs from staged where ${IS_BAR} group by all having count(*) > 1)
    select ordinal, symbol, timeMs, ${VALUES},
      case when lead(${values}) over minuteRows is distinct from first_value(${values}) over minuteRows
        then 'conflict' else 'duplicate' end as kind
    from staged semi join repeated using (symbol, timeMs)
    where ${IS_BAR}
    window minuteRows as (partition by symbol, timeMs order by ordinal)
    qualify lead(ordinal) over minuteRows is not null`);
}

/** `known`: winners whose minute is stored, and whether they say nothing new. `revision`: the stored bars that differ. */
async function compareWithStored(connection: DuckDBConnection, directory: string, manifest: Manifest): Promise<void> {
  const stored = relation(directory, 'bars', await overlapping(connection, manifest.bars));
  const winner = `(select ordinal, symbol, ${MINUTE}, ${VALUES}, provisional from staged anti join loser using (ordinal) where ${IS_BAR})`;
  await connection.run(`
    create table known as
    select winner.ordinal, row(${valuesOf('winner')}) is not distinct from row(${valuesOf('stored')})
      or ((winner.close is null or winner.provisional) and stored.close is not null) as same,
      winner.provisional as provisional
    from ${winner} winner join ${stored} stored using (symbol, minute);
    create table revision as
    select symbol, minute, ${valuesOf('stored')} from ${stored} stored
    semi join (select symbol, ${MINUTE} from staged semi join (select ordinal from known where not same) k using (ordinal))
      using (symbol, minute)`);
}

/** `newTrades`: what winners tell of their trades, unless the store holds the same. */
async function judgeTrades(connection: DuckDBConnection, directory: string, manifest: Manifest) {
  const stored = relation(directory, 'trades', await overlapping(connection, manifest.trades));
  await connection.run(`
    create table newTrades as
    with told as (select symbol, ${MINUTE}, tradeCount, vwap
      from stagedTrades join staged using (ordinal) anti join loser using (ordinal)
        anti join (select ordinal from known where same and provisional) k using (ordinal) where ${IS_BAR})
    select told.*, stored.minute is not null as replaces from told left join ${stored} stored using (symbol, minute)
    where row(told.tradeCount, told.vwap) is distinct from row(stored.tradeCount, stored.vwap)`);
  return selectNumbers(connection, 'select count(*) as stored, count(*) filter (replaces) as replaced from newTrades');
}

/** The segments that may hold a bar that is staged. */
async function overlapping(connection: DuckDBConnection, segments: readonly Segment[]): Promise<Segment[]> {
  const [range] = await selectRows(
    connection,
    `select min(symbol) as firstSymbol, max(symbol) as lastSymbol, (min(timeMs) // 60000)::DOUBLE as first,
       (max(timeMs) // 60000)::DOUBLE as last from staged where ${IS_BAR}`,
  );
  if (range!.first === null) return [];
  const [firstSymbol, lastSymbol] = [range!.firstSymbol as string, range!.lastSymbol as string];
  const [first, last] = [range!.first as number, range!.last as number];
  return segments.filter(
    ({ symbols, minutes }) =>
      symbols![0] <= lastSymbol && symbols![1] >= firstSymbol && minutes![0] <= last && minutes![1] >= first,
  );
}

async function countStaged(connection: DuckDBConnection): Promise<IngestCounts> {
  const days = await selectRows(
    connection,
    `select distinct (timeMs // 86400000)::DOUBLE as utcDay from staged where ${IS_BAR}`,
  );
  await createSessionDays(
    connection,
    days.map((row) => Number(row.utcDay)),
  );
  const staged = await selectNumbers(
    connection,
    `select count(*) as rowsRead, count(distinct symbol) as symbols,
       count(*) filter (${REFUSALS.misalignedBar}) as misalignedBars, count(*) filter (${REFUSALS.partialBar}) as partialBars,
       (select count(*) from loser) as duplicates, (select count(*) from loser where kind = 'conflict') as conflicts,
       (select count(*) from known where same) as alreadyStored, (select count(*) from known where not same) as revisions
     from staged`,
  );
  const flaws = await selectNumbers(
    connection,
    `select ${COUNT_BAR_FLAWS}
     from (select ${MINUTE}, ${VALUES} from staged where ${IS_BAR}) ${WITH_SESSION}`,
  );
  const count = (name: string) => (staged[name] ?? flaws[name])!;
  const refused = count('misalignedBars') + count('partialBars');
  return {
    symbols: count('symbols'),
    rowsRead: count('rowsRead'),
    rowsStored: count('rowsRead') - refused - count('duplicates') - count('alreadyStored'),
    alreadyStored: count('alreadyStored'),
    revisions: count('revisions'),
    duplicates: count('duplicates'),
    conflicts: count('conflicts'),
    nullBars: count('nullBars'),
    zeroVolumeBars: count('zeroVolumeBars'),
    partialBars: count('partialBars'),
    misalignedBars: count('misalignedBars'),
    closingPrints: count('closingPrints'),
    outOfSessionBars: count('outOfSessionBars'),
    invalidPriceBars: count('invalidPriceBars'),
  };
}
