/**
 * The shapes in which Yahoo and yfinance tools write bars: from the header of a file to where its columns stand.
 *
 * Names count in any order, number and case. A table of several symbols side by side (yfinance's two header rows,
 * `Price` and `Ticker`) has one layout for each symbol.
 */
import type { BarFileLayout } from '../store/index.ts';

/** One layout of a file, and the symbol it is of when the header names it. */
export interface NamedLayout {
  readonly layout: BarFileLayout;
  readonly ticker?: string;
}

interface Column {
  readonly field: string;
  readonly ticker?: string;
}

/** What each column of a bar may be called, the best name first; `unnamed0` is how pandas reads an index without name. */
const NAMES = {
  time: ['datetime', 'timestamp', 'date', 'time', '', 'unnamed0', 'index', 'indexlevel0'],
  open: ['open'],
  high: ['high'],
  low: ['low'],
  close: ['close'],
  volume: ['volume'],
} as const;
const OPTIONAL_NAMES = {
  symbol: ['symbol', 'ticker'],
  dividends: ['dividends', 'dividend'],
  splits: ['stocksplits', 'splits', 'stocksplit'],
} as const;
type Required = keyof typeof NAMES;
type Optional = keyof typeof OPTIONAL_NAMES;

const plain = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, '');

/**
 * The layouts of a CSV file from its first lines.
 * @throws Error saying what is missing; the caller knows the file
 */
export function csvLayouts(head: string, gzip: boolean): NamedLayout[] {
  const lines = head.split(/\r?\n/, 4);
  const separator = ([',', ';', '\t'] as const).reduce((best, candidate) =>
    lines[0]!.split(candidate).length > lines[0]!.split(best).length ? candidate : best,
  );
  const rows = lines.map((line) => splitHeader(line, separator));
  const base = { format: 'csv', separator, gzip } as const;
  const [first, second = [], third = []] = rows;
  const namesPrices = (row: readonly string[]) => row.some((cell) => plain(cell) === 'close');
  const twoLevels =
    third.length > 1 &&
    third.slice(1).every((cell) => cell === '') &&
    isTime(third[0]!) &&
    namesPrices(first!) !== namesPrices(second);
  if (!twoLevels)
    return layoutsOf(
      first!.map((field) => ({ field })),
      { ...base, columns: first!, headerLines: 1 },
    );
  const [fields, tickers] = namesPrices(first!) ? [first!, second] : [second, first!];
  const columns = fields.map((field, column) =>
    column === 0 ? { field: third[0]! } : { field, ticker: tickers[column] ?? '' },
  );
  return layoutsOf(columns, { ...base, columns: fields, headerLines: 3 });
}

/** The layouts of a Parquet file from its column names; pandas writes two header rows as `('Close', 'AAPL')`. */
export function parquetLayouts(columns: readonly string[]): NamedLayout[] {
  const named = columns.map((name): Column => {
    const pair = /^\('(.*)', '(.*)'\)$/.exec(name);
    if (pair === null) return { field: name };
    const [, first, second] = pair as unknown as [string, string, string];
    if (second === '') return { field: first };
    return Object.values(NAMES).some((names) => (names as readonly string[]).includes(plain(second)))
      ? { field: second, ticker: first }
      : { field: first, ticker: second };
  });
  return layoutsOf(named, { format: 'parquet', columns });
}

function layoutsOf(
  columns: readonly Column[],
  base: Pick<BarFileLayout, 'format' | 'columns'> & Partial<BarFileLayout>,
): NamedLayout[] {
  const tickers = [...new Set(columns.flatMap(({ ticker }) => (ticker === undefined ? [] : [ticker])))];
  if (tickers.length === 0) return [{ layout: { ...base, ...places(columns) } }];
  return tickers.map((ticker) => {
    const own = columns.map((column) => (column.ticker === undefined || column.ticker === ticker ? column : undefined));
    return { ticker, layout: { ...base, ...places(own), skipEmpty: tickers.length > 1 } };
  });
}

function places(
  columns: readonly (Column | undefined)[],
): Record<Required, number> & Partial<Record<Optional, number>> {
  const names = columns.map((column) => (column === undefined ? undefined : plain(column.field)));
  const find = (candidates: readonly string[]) =>
    candidates.map((candidate) => names.indexOf(candidate)).find((column) => column >= 0);
  const found = {} as Record<Required, number> & Partial<Record<Optional, number>>;
  const missing: string[] = [];
  for (const name of Object.keys(NAMES) as Required[]) {
    const column = find(NAMES[name]);
    if (column === undefined) missing.push(name);
    else found[name] = column;
  }
  if (missing.length > 0) throw new Error(`no column for ${missing.join(', ')}`);
  for (const name of Object.keys(OPTIONAL_NAMES) as Optional[]) {
    const column = find(OPTIONAL_NAMES[name]);
    if (column !== undefined) found[name] = column;
  }
  return found;
}

const isTime = (cell: string) => cell !== '' && (NAMES.time as readonly string[]).includes(plain(cell));

/** Cells of a header line, which may be quoted. */
const splitHeader = (line: string, separator: string): string[] =>
  line.split(separator).map((cell) =>
    cell
      .trim()
      .replace(/^"(.*)"$/, '$1')
      .trim(),
  );
