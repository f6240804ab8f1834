/**
 * The rules that tell flaws, as SQL: one definition for the counts of an ingest and for the doctor.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { type FlawKind, sessionOf } from '../bars/index.ts';
import type { DayString } from '../base/index.ts';
import { appendColumns } from './database.ts';
import type { IngestCounts } from './store.ts';

const MISALIGNED = 'timeMs % 60000 <> 0';
const PARTIAL = `not (${MISALIGNED}) and timeMs + 60000 > askedAt`;

/** A staged row that is a complete bar. */
export const IS_BAR = 'timeMs % 60000 = 0 and timeMs + 60000 <= askedAt';

/** Rows that are no bars, over staged rows. */
export const REFUSALS = { misalignedBar: MISALIGNED, partialBar: PARTIAL } as const satisfies Partial<
  Record<FlawKind, string>
>;

const PRICES = ['open', 'high', 'low', 'close'];

/** Flaws of a bar by itself, over rows with `minute` beside the session of their day (see {@link WITH_SESSION}). */
export const BAR_FLAWS = {
  nullBar: 'close is null',
  zeroVolume: 'coalesce(volume, 0) <= 0',
  closingPrint: 'minute = sessionClose',
  outOfSession: 'sessionOpen is null or minute < sessionOpen or minute > sessionClose',
  invalidPrice: `low > high or ${PRICES.map((price) => `${price} <= 0 or isinf(${price})`).join(' or ')}`,
} as const satisfies Partial<Record<FlawKind, string>>;

/** What the flaws of bars are called where they are counted. */
export const BAR_FLAW_COUNTS = {
  nullBar: 'nullBars',
  zeroVolume: 'zeroVolumeBars',
  closingPrint: 'closingPrints',
  outOfSession: 'outOfSessionBars',
  invalidPrice: 'invalidPriceBars',
} as const satisfies Record<keyof typeof BAR_FLAWS, keyof IngestCounts>;
export const BAR_FLAW_KINDS = Object.keys(BAR_FLAWS) as (keyof typeof BAR_FLAWS)[];

/** One aggregate for every flaw of bars, under its name in the counts. */
export const COUNT_BAR_FLAWS = BAR_FLAW_KINDS.map(
  (kind) => `count(*) filter (${BAR_FLAWS[kind]}) as ${BAR_FLAW_COUNTS[kind]}`,
).join(', ');

/** Joins rows with `minute` to `sessionDay`. Regular sessions never cross midnight UTC. */
export const WITH_SESSION = 'left join sessionDay on sessionDay.utcDay = minute // 1440';

/** Makes `sessionDay` for the days given (days since 1970 UTC). */
export async function createSessionDays(connection: DuckDBConnection, utcDays: readonly number[]): Promise<void> {
  await connection.run(
    'create or replace table sessionDay (utcDay INTEGER, sessionOpen INTEGER, sessionClose INTEGER)',
  );
  const sessions = utcDays.flatMap((utcDay) => {
    const ms = utcDay * 86_400_000;
    // Beyond the calendar's years there are no sessions.
    if (ms < 0 || ms >= Date.UTC(2200, 0)) return [];
    const session = sessionOf(new Date(ms).toISOString().slice(0, 10) as DayString);
    return session === undefined ? [] : [{ utcDay, session }];
  });
  await appendColumns(connection, 'sessionDay', [
    sessions.map((s) => s.utcDay),
    sessions.map((s) => s.session.open),
    sessions.map((s) => s.session.close),
  ]);
}
