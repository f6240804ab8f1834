/** An evaluation as a table for the terminal: model, persistence and ridge in columns. */
import type { Evaluation } from './evaluation.ts';
import type { Score } from './scores.ts';

const MISSING = '-';
const ROWS: readonly (readonly [label: string, cell: (score: Score) => string])[] = [
  ['RMSE, currency', (s) => digits(s.rmse)],
  ['RMSE / close range', (s) => digits(s.rmseNormalized)],
  ['MAE, currency', (s) => digits(s.mae)],
  ['skill', (s) => percent(s.skill)],
  ['  95% interval', (s) => range(s.skillCi95)],
  ['skill, scaled', (s) => percent(s.skillScaled)],
  ['  95% interval', (s) => range(s.skillScaledCi95)],
  ['directional accuracy', (s) => share(s.directionalAccuracy)],
  [
    'information coefficient',
    (s) => (s.informationCoefficient === null ? MISSING : s.informationCoefficient.toFixed(4)),
  ],
];

/** Several lines without colours; ends without a line break. */
export function renderScores(evaluation: Evaluation): string {
  const { model, persistence, ridge, bootstrap, interval80 } = evaluation;
  const table = [['', 'model', 'persistence', 'ridge']];
  for (const [label, cell] of ROWS) {
    table.push([label, cell(model), cell(persistence), ridge === null ? MISSING : cell(ridge)]);
  }
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
  const windows = `${evaluation.windows.toLocaleString('en-US')} windows of ${evaluation.symbols.toLocaleString('en-US')} symbols`;
  const when = evaluation.firstAsOf === null ? '' : `, ${evaluation.firstAsOf} to ${evaluation.lastAsOf}`;
  lines.unshift(`${windows}${when}`, '');
  lines.push('');
  if (interval80 !== null) {
    lines.push(
      `80% interval: holds ${share(interval80.coverage)}, mean width ${share(interval80.meanRelativeWidth, 3)} of the price`,
    );
  }
  lines.push(
    `verdict: ${evaluation.verdict} (95% interval of scaled skill, ${bootstrap.blocks} blocks of ${bootstrap.blockMinutes} minutes)`,
  );
  return lines.join('\n');
}

const digits = (value: number | null): string => (value === null ? MISSING : value.toPrecision(4));
const share = (value: number | null, places = 1): string =>
  value === null ? MISSING : `${(100 * value).toFixed(places)}%`;

function percent(value: number | null): string {
  if (value === null) return MISSING;
  const text = (100 * value).toFixed(3);
  return `${Number(text) > 0 ? '+' : ''}${Number(text) === 0 ? '0.000' : text}%`;
}

const range = (value: readonly [number, number] | null): string =>
  value === null ? MISSING : `${percent(value[0])} to ${percent(value[1])}`;
