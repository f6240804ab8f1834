/** A backtest, and a walk-forward, as lines for the terminal. */

import type { ModelBacktest } from './backtest-model.ts';
import type { BacktestResult, Sharpe } from './backtest-result.ts';
import { digits, MISSING, percent, range, share, signed } from './numbers.ts';
import { align, renderScores } from './render.ts';
import type { WalkForwardResult } from './walk-forward.ts';

/** `1.2 +- 0.8`; a Sharpe ratio is nothing without its error. */
export const sharpeText = ({ value, standardError }: Sharpe): string =>
  value === null || standardError === null ? MISSING : `${value.toFixed(1)} ± ${standardError.toFixed(1)}`;

export function renderBacktest(result: ModelBacktest): string {
  const { rules } = result;
  const spread = rules.spread === 'roll' ? "Roll's spreads" : `a spread of ${rules.spread} bp`;
  const head = `${result.model}: ${rules.top} long, ${rules.top} short, held ${rules.holdMinutes} minutes; ${spread}, fee ${rules.feeBps} bp a trade; ${result.sessions} sessions`;
  const days = [['session', 'before costs', 'after costs', 'turnover']];
  for (const { day, gross, net, turnover } of result.bySession) {
    days.push([day, percent(gross), percent(net), `${turnover.toFixed(1)} x`]);
  }
  return [head, '', ...align(days), '', ...align(backtestTable(result)), '', ...result.caveats].join('\n');
}

/** The figures of a backtest, a label and a value each. */
export function backtestTable(result: BacktestResult): [string, string][] {
  return [
    ['return before costs', percent(result.grossReturn)],
    ['spread paid', percent(-result.costs.spread)],
    ['fees paid', percent(-result.costs.fees)],
    ['return after costs', percent(result.netReturn)],
    ['turnover a session', result.turnoverPerSession === null ? MISSING : `${result.turnoverPerSession.toFixed(1)} x`],
    ['half-spread paid, mean', basisPoints(result.meanHalfSpreadBps)],
    ['cost a trade that eats the return', basisPoints(result.breakEvenBps)],
    ['Sharpe ratio a year, before costs', sharpeText(result.sharpeGross)],
    ['Sharpe ratio a year, after costs', sharpeText(result.sharpe)],
    ['largest drawdown', share(result.maxDrawdown, 3)],
    ['periods won', share(result.periodsWon)],
    ['orders, filled, dropped', [result.orders, result.fills, result.dropped].map(whole).join(', ')],
  ];
}

export function renderWalkForward(result: WalkForwardResult): string {
  const table = [['fold', 'test', 'windows', 'skill, scaled', '95% interval', 'ridge', 'IC, scaled', 'in 80%', '']];
  for (const fold of result.folds) {
    table.push([
      String(fold.fold),
      fold.testFrom.slice(0, 10),
      whole(fold.model.windows),
      percent(fold.model.skillScaled),
      range(fold.model.skillScaledCi95),
      fold.ridge === null ? MISSING : percent(fold.ridge.skillScaled),
      signed(fold.model.informationCoefficientScaled),
      share(fold.model.coverage80),
      fold.verdict,
    ]);
  }
  const { mode, trainingSessions, testSessions, purgeMinutes, embargoMinutes } = result.plan;
  return [
    `walk-forward of recipe ${result.recipe}, ${mode}: ${trainingSessions} sessions to train on at first, ${testSessions} to test, purge ${purgeMinutes} and embargo ${embargoMinutes} session minutes`,
    '',
    ...align(table),
    '',
    `${result.foldsAbovePersistence} of ${result.folds.length} folds above persistence; all together:`,
    '',
    renderScores(result.pooled, { parts: true }),
  ].join('\n');
}

const whole = (value: number): string => value.toLocaleString('en-US');
const basisPoints = (value: number | null): string => (value === null ? MISSING : `${digits(value, 3)} bp`);
