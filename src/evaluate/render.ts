/** An evaluation as tables for the terminal: model, persistence and ridge in columns, and the model's parts below. */
import type { PartScore } from './breakdowns.ts';
import type { Evaluation } from './evaluation.ts';
import { digits, MISSING, percent, range, share, signed } from './numbers.ts';
import type { Score } from './scores.ts';

const ROWS: readonly (readonly [label: string, cell: (score: Score) => string])[] = [
  ['RMSE, currency', (s) => digits(s.rmse)],
  ['RMSE / close range', (s) => digits(s.rmseNormalized)],
  ['MAE, currency', (s) => digits(s.mae)],
  ['skill', (s) => percent(s.skill)],
  ['  95% interval', (s) => range(s.skillCi95)],
  ['skill, scaled', (s) => percent(s.skillScaled)],
  ['  95% interval', (s) => range(s.skillScaledCi95)],
  ['directional accuracy', (s) => share(s.directionalAccuracy)],
  ['information coefficient', (s) => signed(s.informationCoefficient)],
  ['  scaled', (s) => signed(s.informationCoefficientScaled)],
  ['  by minute (t)', (s) => coefficient(s.informationCoefficientByMinute?.pearson)],
  ['  by minute, ranks (t)', (s) => coefficient(s.informationCoefficientByMinute?.rank)],
];

/** Several lines without colours; ends without a line break. @param options.parts the model's parts too */
export function renderScores(evaluation: Evaluation, options: { readonly parts?: boolean } = {}): string {
  const { model, persistence, ridge, bootstrap, interval80, zeroDrift, breakdowns } = evaluation;
  const table = [['', 'model', 'persistence', 'ridge']];
  for (const [label, cell] of ROWS) {
    table.push([label, cell(model), cell(persistence), ridge === null ? MISSING : cell(ridge)]);
  }
  const windows = `${evaluation.windows.toLocaleString('en-US')} windows of ${evaluation.symbols.toLocaleString('en-US')} symbols`;
  const when = evaluation.firstAsOf === null ? '' : `, ${evaluation.firstAsOf} to ${evaluation.lastAsOf}`;
  const lines = [`${windows}${when}`, '', ...align(table), ''];
  const parts = { hour: breakdowns.byHour, liquidity: breakdowns.byLiquidity, volatility: breakdowns.byVolatility };
  if (options.parts) {
    for (const [title, found] of Object.entries(parts)) {
      if (found.length > 0) lines.push(...renderParts(title, found), '');
    }
  }
  if (interval80 !== null) {
    const wide = (score: typeof interval80) =>
      `holds ${share(score.coverage)}, mean width ${share(score.meanRelativeWidth, 3)} of the price`;
    lines.push(`80% interval of a random walk of the window's volatility: ${wide(zeroDrift.interval80)}`);
    const hours = breakdowns.byHour.map((part) => part.coverage80!);
    const byHour = hours.length > 1 ? `; by hour ${share(Math.min(...hours))} to ${share(Math.max(...hours))}` : '';
    lines.push(`80% interval: ${wide(interval80)}${byHour}`);
  }
  lines.push(
    `verdict: ${evaluation.verdict} (95% interval of scaled skill, ${bootstrap.blocks} blocks of ${bootstrap.blockMinutes} minutes)`,
  );
  return lines.join('\n');
}

/** Parts of a breakdown as lines. */
export function renderParts(title: string, parts: readonly PartScore[]): string[] {
  const table = [[title, 'windows', 'skill, scaled', '95% interval', 'information coefficient', 'in 80%']];
  for (const part of parts) {
    table.push([
      part.part,
      part.windows.toLocaleString('en-US'),
      percent(part.skillScaled),
      range(part.skillScaledCi95),
      signed(part.informationCoefficientScaled),
      share(part.coverage80),
    ]);
  }
  return align(table);
}

/** The first column to the left, the others to the right. */
export function align(table: readonly (readonly string[])[]): string[] {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  return table.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  );
}

const coefficient = (mean: { mean: number; tValue: number | null } | undefined): string =>
  mean === undefined ? MISSING : `${signed(mean.mean)} (${mean.tValue === null ? MISSING : mean.tValue.toFixed(1)})`;
