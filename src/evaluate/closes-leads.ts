/**
 * Columns of a table of closes that are ahead of the others. The public table of the S&P 500 has its index a row ahead,
 * as its publishers say, so that a program may be trained on a row to answer the next minute of the index. Whoever then
 * forecasts the stocks from it has read the future: the index's last move has a correlation of 0.5 to 0.6 with their next one.
 */
import type { ClosesTable } from './closes-table.ts';

/** Rows that a column is looked for before and behind. */
const MOST_LEAD = 3;
/** A column is ahead when its returns go with those of the others so much more at another row than at the same. */
const LEAST_GAIN = 0.1;
/** Returns beyond this many deviations count as that many. */
const LIMIT = 4;

/**
 * `[columns]` rows that each column is ahead of the others, negative behind: where its returns have the largest
 * correlation with the mean of the others'.
 * @param minutes `[rows]`, see `minutesOfRows`
 * @param rows the first rows, those of the training part: nothing else is looked at
 */
export function leadsOf({ closes }: ClosesTable, minutes: Int32Array, rows: number): number[] {
  const follows = (row: number) => row > 0 && minutes[row] === minutes[row - 1] + 1;
  const returns = closes.map((column) => {
    const row = Float64Array.from({ length: rows }, (_, r) => (follows(r) ? Math.log(column[r] / column[r - 1]) : 0));
    const deviation = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / rows) || 1;
    return row.map((x) => Math.max(-LIMIT, Math.min(LIMIT, x / deviation)));
  });
  const all = Float64Array.from({ length: rows }, (_, r) => returns.reduce((sum, row) => sum + row[r], 0));
  return returns.map((own) => {
    const at = Array.from({ length: 2 * MOST_LEAD + 1 }, (_, i) => correlationAt(own, all, i - MOST_LEAD));
    const best = at.indexOf(Math.max(...at));
    return at[best] > at[MOST_LEAD] + LEAST_GAIN ? best - MOST_LEAD : 0;
  });
}

/** Pearson's correlation of `own[r]` with what `all` holds at `r + lead` beside the own; 0 where nothing moves. */
function correlationAt(own: Float64Array, all: Float64Array, lead: number): number {
  let products = 0;
  let squares = 0;
  let others = 0;
  for (let r = Math.max(0, -lead); r < own.length - Math.max(0, lead); r++) {
    const other = all[r + lead] - own[r + lead];
    products += own[r] * other;
    squares += own[r] * own[r];
    others += other * other;
  }
  return squares > 0 && others > 0 ? products / Math.sqrt(squares * others) : 0;
}
