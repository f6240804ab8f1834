/**
 * What sources deliver to a transaction: numbers in the table `delivered`, through an appender that stays open, since
 * opening and closing one takes longer than the rows of an answer. {@link Deliveries.settle} makes staged rows of them.
 */
import { type DuckDBAppender, type DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { parseSymbol } from '../bars/index.ts';
import type { EpochMs } from '../base/index.ts';
import { appendColumns } from './database.ts';
import { ROWS_PER_POSITION, VALUE_COLUMNS, valueOrNull } from './staging.ts';
import type { CorporateEvent, RawBars } from './store.ts';

interface Delivery {
  readonly symbol: string;
  readonly askedAt: EpochMs;
  readonly provisional: boolean;
  readonly events: readonly CorporateEvent[];
}

const ROWS_PER_CHUNK = 2048;

export class Deliveries {
  readonly #connection: DuckDBConnection;
  readonly #deliveries: Delivery[] = [];
  #appender: DuckDBAppender | undefined;
  #tradesAppender: DuckDBAppender | undefined;

  constructor(connection: DuckDBConnection) {
    this.#connection = connection;
  }

  /** @throws BARCAST_E_SYMBOL */
  async add(raw: RawBars): Promise<void> {
    const symbol = parseSymbol(raw.symbol);
    const rows = raw.timeMs.length;
    this.#appender ??= await this.#connection.createAppender('delivered');
    const places = new Float64Array(rows);
    for (let row = 0; row < rows; row++) places[row] = row;
    const delivery = new Float64Array(rows).fill(this.#deliveries.length);
    appendDoubles(this.#appender, [delivery, places, raw.timeMs, ...VALUE_COLUMNS.map((name) => raw[name])]);
    const { tradeCount, vwap } = raw;
    if (tradeCount !== undefined && vwap !== undefined) {
      this.#tradesAppender ??= await this.#connection.createAppender('deliveredTrades');
      appendDoubles(this.#tradesAppender, [delivery, places, tradeCount, vwap]);
    }
    this.#deliveries.push({
      symbol,
      askedAt: raw.askedAt,
      provisional: raw.provisional ?? false,
      events: raw.events ?? [],
    });
  }

  /** Makes staged rows of all that was delivered. */
  async settle(): Promise<void> {
    this.close();
    const deliveries = this.#deliveries;
    if (deliveries.length === 0) return;
    await appendColumns(this.#connection, 'delivery', [
      deliveries.map((_, position) => position),
      deliveries.map(({ symbol }) => symbol),
      deliveries.map(({ askedAt }) => askedAt),
      deliveries.map(({ provisional }) => (provisional ? 1 : 0)),
    ]);
    await this.#connection.run(`
      insert into staged
      select position::BIGINT * ${ROWS_PER_POSITION} + place::BIGINT, symbol, floor(timeMs)::BIGINT,
        ${VALUE_COLUMNS.map(valueOrNull).join(', ')}, askedAt::BIGINT, provisional = 1
      from delivered join delivery using (position)`);
    await this.#connection.run(`
      insert into stagedTrades
      select position::BIGINT * ${ROWS_PER_POSITION} + place::BIGINT, tradeCount, ${valueOrNull('vwap')}
      from deliveredTrades where not isnan(tradeCount)`);
    const events = deliveries.flatMap(({ symbol, events: own }) => own.map((event) => ({ symbol, ...event })));
    await appendColumns(this.#connection, 'stagedEvent', [
      events.map(({ symbol }) => symbol),
      events.map(({ timeMs }) => timeMs),
      events.map(({ kind }) => kind),
      events.map(({ value }) => value),
    ]);
  }

  close(): void {
    const appenders = [this.#appender, this.#tradesAppender];
    this.#appender = this.#tradesAppender = undefined;
    for (const appender of appenders) appender?.closeSync();
  }
}

/** Columns of DOUBLE alone; many times faster than values one by one. NaN stays NaN. */
function appendDoubles(appender: DuckDBAppender, columns: readonly Float64Array[]): void {
  const types = columns.map((_, column) => appender.columnType(column));
  const rows = columns[0]?.length ?? 0;
  for (let start = 0; start < rows; start += ROWS_PER_CHUNK) {
    const end = Math.min(rows, start + ROWS_PER_CHUNK);
    const chunk = DuckDBDataChunk.create(types, end - start);
    for (const [column, values] of columns.entries()) {
      // Only indexed: a typed array serves as well as a plain one.
      chunk.setColumnValues(column, values.subarray(start, end) as unknown as number[]);
    }
    appender.appendDataChunk(chunk);
  }
}
