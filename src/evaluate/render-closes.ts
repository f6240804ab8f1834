/** The evaluation of a table of closes, beside what was published, as lines for the terminal. */
import type { RangeNormalized } from './closes-table.ts';
import type { ClosesEvaluation } from './evaluate-closes.ts';
import { align, renderScores } from './render.ts';

/**
 * RMSE of min-max normalised prices as published: the reference project (Harvard CS205 2021), five minutes ahead, all
 * stocks on one range, and Lanbouri & Achchab 2020, whom it compares itself with.
 */
export const PUBLISHED = [
  ['reference project, one range of all stocks', '0.007 to 0.013'],
  ['Lanbouri & Achchab 2020', '0.0046'],
] as const;

export function renderCloses(found: ClosesEvaluation): string {
  const rows: [string, RangeNormalized][] = [
    ['persistence, all rows', found.persistenceWhole],
    ['persistence, last fifth', found.persistence],
    ['ridge, last fifth', found.ridge],
    ['model, last fifth', found.model],
  ];
  const symbols = Object.keys(found.model.bySymbol);
  const table = [['RMSE over the range of closes', 'median', 'mean', 'one range', ...symbols]];
  for (const [label, { median, mean, oneRange, bySymbol }] of rows) {
    const values = [median, mean, oneRange, ...symbols.map((symbol) => bySymbol[symbol])];
    table.push([label, ...values.map((value) => value.toFixed(6))]);
  }
  return [
    `recipe ${found.recipe}, ${found.horizonMinutes} minutes ahead; ${found.rows.toLocaleString('en-US')} rows from ${found.firstRow}; trained to ${found.trainTo}, tested from ${found.testFrom}`,
    `prices move ${found.nightRatio.toFixed(1)} times as far from session to session as from minute to minute`,
    ...Object.entries(found.leads).map(
      ([symbol, rows]) =>
        `${symbol} stood ${Math.abs(rows)} ${Math.abs(rows) === 1 ? 'row' : 'rows'} ${rows > 0 ? 'ahead of' : 'behind'} the others and was put back`,
    ),
    '',
    ...align(table),
    '',
    ...PUBLISHED.map(([who, what]) => `published, ${who}: ${what}`),
    '',
    renderScores(found.evaluation, { parts: true }),
  ].join('\n');
}
