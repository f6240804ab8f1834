/** What stands in a model's report, block by block. */
import type { ModelDescription } from '../../model/index.ts';
import type { ModelBacktest } from '../backtest-model.ts';
import type { PartScore } from '../breakdowns.ts';
import type { ModelEvaluation, ScoredForecasts } from '../evaluate-model.ts';
import { digits, MISSING, percent, range, share, signed } from '../numbers.ts';
import { backtestTable } from '../render-backtest.ts';
import type { Score } from '../scores.ts';
import type { Block, ReportDocument } from './document.ts';
import { calibrationCurve, reliability, worstMisses } from './findings.ts';
import { type CategoryPoint, categoryChart, lineChart } from './plot.ts';

export interface ReportInput {
  readonly description: ModelDescription;
  readonly evaluation: ModelEvaluation;
  readonly forecasts: ScoredForecasts;
  /** Undefined when it was left out. */
  readonly backtest?: ModelBacktest;
  /** ISO 8601; stands in the subtitle. */
  readonly madeAt: string;
}

/** Losses by epoch, as a description's provenance may hold them. */
interface EpochLosses {
  readonly epoch: number;
  readonly trainLoss: number;
  readonly validationLoss: number;
}

/** As many decimals as it takes, at most two. */
const wholePercent = (value: number): string => `${Number((100 * value).toFixed(2))}%`;
const whole = (value: number): string => value.toLocaleString('en-US');
const minuteText = (iso: string | null): string => (iso === null ? MISSING : iso.slice(0, 16).replace('T', ' '));

export function composeReport(input: ReportInput): ReportDocument {
  const { description, evaluation, madeAt } = input;
  const span = `${minuteText(evaluation.firstAsOf)} to ${minuteText(evaluation.lastAsOf)} UTC`;
  return {
    title: `${description.name}: what its forecasts are worth`,
    subtitle: `${whole(evaluation.windows)} forecasts of ${whole(evaluation.symbols)} symbols, ${evaluation.horizonMinutes} minutes ahead, ${span}; version ${description.version}; written ${minuteText(madeAt)} UTC`,
    blocks: [
      ...verdict(evaluation, input.backtest),
      ...scores(evaluation),
      ...parts(evaluation),
      ...symbols(evaluation),
      ...calibration(input),
      ...direction(input),
      ...(input.backtest ? costs(input.backtest) : []),
      ...misses(input),
      ...learning(description),
      ...provenance(input),
    ],
  };
}

function verdict(evaluation: ModelEvaluation, backtest: ModelBacktest | undefined): Block[] {
  const { verdict: found, model, modelOverRidge, bootstrap, unseenSymbols } = evaluation;
  const scaled = `Scaled skill ${percent(model.skillScaled)}, 95% interval ${range(model.skillScaledCi95)}`;
  const ridge = modelOverRidge
    ? ` Against the ridge: ${percent(modelOverRidge.skillScaled)} (${range(modelOverRidge.skillScaledCi95)}).`
    : '';
  const costs = backtest
    ? ` Traded in the obvious way: ${percent(backtest.grossReturn)} before costs, ${percent(backtest.netReturn)} after.`
    : '';
  const unseen = unseenSymbols > 0 ? ` ${whole(unseenSymbols)} of the symbols were not trained on.` : '';
  return [
    {
      kind: 'verdict',
      text: `${found[0].toUpperCase()}${found.slice(1)}`,
      detail: `${scaled}, from ${bootstrap.blocks} blocks of ${bootstrap.blockMinutes} minutes.${ridge}${costs}${unseen}`,
      good: found === 'edge over persistence',
    },
    {
      kind: 'text',
      text: 'Skill is the share of the squared error of "the price stays" that a forecast takes away: 0 is as good, below 0 is worse. Scaled skill divides every return by its window\'s own volatility, so that no symbol drowns the others.',
    },
  ];
}

function scores({ model, persistence, ridge, zeroDrift, interval80 }: ModelEvaluation): Block[] {
  const columns: Score[] = ridge ? [model, persistence, ridge] : [model, persistence];
  const row = (label: string, cell: (score: Score) => string) => [label, ...columns.map(cell)];
  const byMinute = (pick: 'pearson' | 'rank') => (score: Score) => {
    const found = score.informationCoefficientByMinute?.[pick];
    return found ? `${signed(found.mean)} (t ${found.tValue === null ? MISSING : found.tValue.toFixed(1)})` : MISSING;
  };
  const blocks: Block[] = [
    { kind: 'heading', text: 'Scores' },
    {
      kind: 'table',
      head: ['', 'model', 'persistence', ...(ridge ? ['ridge'] : [])],
      rows: [
        row('RMSE, currency', (s) => digits(s.rmse)),
        row('RMSE over the range of closes', (s) => digits(s.rmseNormalized)),
        row('MAE, currency', (s) => digits(s.mae)),
        row('skill', (s) => percent(s.skill)),
        row('95% interval', (s) => (s === persistence ? MISSING : range(s.skillCi95))),
        row('skill, scaled', (s) => percent(s.skillScaled)),
        row('95% interval', (s) => (s === persistence ? MISSING : range(s.skillScaledCi95))),
        row('directional accuracy', (s) => share(s.directionalAccuracy)),
        row('information coefficient', (s) => signed(s.informationCoefficient)),
        row('information coefficient, scaled', (s) => signed(s.informationCoefficientScaled)),
        row('by minute across the market', byMinute('pearson')),
        row('by minute, ranks', byMinute('rank')),
      ],
    },
  ];
  if (interval80) {
    const line = (label: string, score: typeof interval80) => [
      label,
      share(score.coverage),
      share(score.below),
      share(score.above),
      share(score.meanRelativeWidth, 3),
      share(score.meanRelativeScore, 3),
    ];
    blocks.push({
      kind: 'table',
      head: ['80% interval', 'holds', 'below', 'above', 'mean width', 'interval score'],
      rows: [line('model', interval80), line("random walk of the window's volatility", zeroDrift.interval80)],
    });
  }
  return blocks;
}

const pointOf = (part: PartScore): CategoryPoint => ({
  label: part.part,
  value: part.skillScaled ?? 0,
  ...(part.skillScaledCi95 ? { low: part.skillScaledCi95[0], high: part.skillScaledCi95[1] } : {}),
  note: `${whole(part.windows)} windows`,
});

function partTable(title: string, found: readonly PartScore[]): Block {
  return {
    kind: 'table',
    head: [title, 'windows', 'skill, scaled', '95% interval', 'IC, scaled', 'sign right', 'in 80%'],
    rows: found.map((part) => [
      part.part,
      whole(part.windows),
      percent(part.skillScaled),
      range(part.skillScaledCi95),
      signed(part.informationCoefficientScaled),
      share(part.directionalAccuracy),
      share(part.coverage80),
    ]),
  };
}

function parts({ breakdowns }: ModelEvaluation): Block[] {
  const { byHour, byLiquidity, byVolatility } = breakdowns;
  const chart = (name: string, title: string, found: readonly PartScore[]): Block[] =>
    found.length === 0
      ? []
      : [
          {
            kind: 'plot',
            name,
            title,
            svg: categoryChart({
              title,
              y: { label: 'scaled skill, 95% interval', format: wholePercent },
              points: found.filter(({ skillScaled }) => skillScaled !== null).map(pointOf),
              guide: 0,
            }),
          },
        ];
  return [
    { kind: 'heading', text: 'Where the skill is' },
    ...chart('skill-by-hour', 'By hour of the session (New York time)', byHour),
    partTable('hour', byHour),
    ...chart('skill-by-liquidity', 'By turnover of the symbol, fifths from least to most traded', byLiquidity),
    ...(byLiquidity.length > 0 ? [partTable('turnover', byLiquidity)] : []),
    ...chart('skill-by-volatility', "By the window's own volatility, fifths from calm to wild", byVolatility),
    partTable('volatility', byVolatility),
  ];
}

/** Symbols with fewer windows than this are left out of the plot. */
const LEAST_WINDOWS = 100;
const FEW_SYMBOLS = 40;

function symbols({ breakdowns }: ModelEvaluation): Block[] {
  const found = breakdowns.bySymbol
    .filter(({ windows, skillScaled }) => windows >= LEAST_WINDOWS && skillScaled !== null)
    .sort((a, b) => b.skillScaled! - a.skillScaled!);
  if (found.length === 0) return [];
  const above = found.filter(({ skillScaled }) => skillScaled! > 0).length;
  const few = found.length <= FEW_SYMBOLS;
  const title = `Symbols from best to worst (${whole(found.length)} with at least ${LEAST_WINDOWS} windows)`;
  const plain = found.map(({ part, skillScaled, windows }) => ({
    label: few ? part : '',
    value: skillScaled!,
    note: `${part}, ${whole(windows)} windows`,
  }));
  const blocks: Block[] = [
    { kind: 'heading', text: 'Symbol by symbol' },
    {
      kind: 'text',
      text: `${whole(above)} of ${whole(found.length)} symbols are above persistence. A symbol's own number rests on few windows and is mostly chance where its interval is wide.`,
    },
    {
      kind: 'plot',
      name: 'skill-by-symbol',
      title,
      svg: categoryChart({
        title,
        y: { label: 'scaled skill', format: wholePercent },
        points: few ? found.map(pointOf) : plain,
        guide: 0,
      }),
    },
  ];
  if (few) blocks.push(partTable('symbol', found));
  else blocks.push(partTable('best', found.slice(0, 8)), partTable('worst', found.slice(-8)));
  return blocks;
}

function calibration({ forecasts, evaluation }: ReportInput): Block[] {
  const curve = calibrationCurve(forecasts);
  const { byHour, byVolatility } = evaluation.breakdowns;
  const coverage = (found: readonly PartScore[]): CategoryPoint[] =>
    found
      .filter(({ coverage80 }) => coverage80 !== null)
      .map(({ part, coverage80, windows }) => ({ label: part, value: coverage80!, note: `${whole(windows)} windows` }));
  const chart = (name: string, title: string, found: readonly PartScore[]): Block => ({
    kind: 'plot',
    name,
    title,
    svg: categoryChart({
      title,
      y: { label: 'share of outcomes inside', format: wholePercent, include: [0.7, 0.9] },
      points: coverage(found),
      guide: 0.8,
      band: [0.75, 0.85],
    }),
  });
  return [
    { kind: 'heading', text: 'Calibration of the intervals' },
    {
      kind: 'text',
      text: 'The model gives an 80% interval. For the other levels its ends are moved as those of a normal distribution would be; where the curve leaves the diagonal there, the tails are not normal.',
    },
    {
      kind: 'plot',
      name: 'calibration',
      title: 'Outcomes inside the interval, by nominal level',
      svg: lineChart({
        title: 'Outcomes inside the interval, by nominal level',
        x: {
          label: 'nominal level',
          format: wholePercent,
          ticks: curve
            .filter((_, i) => i < 9)
            .map(({ nominal }) => ({ at: nominal, label: `${Math.round(100 * nominal)}%` })),
        },
        y: { label: 'share of outcomes inside', format: wholePercent },
        series: [{ name: 'model', points: curve.map(({ nominal, actual }) => [nominal, actual]), dots: true }],
        guide: [
          [0, 0],
          [1, 1],
        ],
      }),
    },
    chart('coverage-by-hour', '80% interval by hour: between 75% and 85% is the band', byHour),
    chart('coverage-by-volatility', '80% interval from calm to wild', byVolatility),
  ];
}

function direction({ forecasts }: ReportInput): Block[] {
  const strength = reliability(forecasts, 'strength');
  const amplitude = reliability(forecasts, 'amplitude');
  return [
    { kind: 'heading', text: 'Reliability of the direction' },
    {
      kind: 'plot',
      name: 'direction',
      title: 'Sign forecast right, by strength of the forecast (tenths of the windows, weakest to strongest)',
      svg: categoryChart({
        title: 'Sign forecast right, by strength of the forecast',
        y: { label: 'share of windows that moved', format: wholePercent },
        points: strength.map(({ signRight, windows }, i) => ({
          label: `${i + 1}`,
          value: signRight ?? 0.5,
          note: `${whole(windows)} windows`,
        })),
        guide: 0.5,
      }),
    },
    {
      kind: 'plot',
      name: 'amplitude',
      title: 'Mean outcome by mean forecast, in volatilities: on the diagonal the amplitude is right',
      svg: lineChart({
        title: 'Mean outcome by mean forecast',
        x: { label: 'mean forecast, volatilities', format: (value) => value.toFixed(2) },
        y: { label: 'mean outcome, volatilities', format: (value) => value.toFixed(2) },
        series: [
          { name: 'tenths of the windows', points: amplitude.map((g) => [g.predicted, g.realised]), dots: true },
        ],
        guide: diagonalOf(amplitude.map(({ predicted }) => predicted)),
      }),
    },
  ];
}

function diagonalOf(values: readonly number[]): [[number, number], [number, number]] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return [
    [low, low],
    [high, high],
  ];
}

function costs(backtest: ModelBacktest): Block[] {
  const { equity, rules, bySession, caveats } = backtest;
  const ticks: { at: number; label: string }[] = [];
  for (const [i, { time }] of equity.entries()) {
    const day = time.slice(5, 10);
    if (i === 0 || equity[i - 1].time.slice(5, 10) !== day) ticks.push({ at: i, label: day });
  }
  const every = Math.ceil(ticks.length / 10);
  const title = `Capital with ${rules.top} symbols long and ${rules.top} short, from 1`;
  return [
    { kind: 'heading', text: 'The obvious use, after costs' },
    {
      kind: 'text',
      text: `Every ${rules.holdMinutes} minutes: half the capital in the ${rules.top} highest forecasts, half short in the ${rules.top} lowest, equal shares, filled at the next bar's open; flat at the close. Half of ${rules.spread === 'roll' ? "each symbol's spread (Roll's estimate from earlier bars)" : `a spread of ${rules.spread} bp`} and ${rules.feeBps} bp of fees are paid on every trade.`,
    },
    {
      kind: 'plot',
      name: 'equity',
      title,
      svg: lineChart({
        title,
        x: {
          label: 'rounds of orders; a label where a session begins',
          ticks: ticks.filter((_, i) => i % every === 0),
        },
        y: { label: 'capital', format: (value) => value.toFixed(3), include: [1] },
        series: [
          { name: 'after costs', points: equity.map(({ net }, i) => [i, net]) },
          { name: 'before costs', points: equity.map(({ gross }, i) => [i, gross]) },
        ],
      }),
    },
    { kind: 'table', head: ['', ''], rows: backtestTable(backtest) },
    {
      kind: 'table',
      head: ['session', 'before costs', 'after costs', 'turnover'],
      rows: bySession.map(({ day, gross, net, turnover }) => [
        day,
        percent(gross),
        percent(net),
        `${turnover.toFixed(1)} x`,
      ]),
    },
    ...caveats.map((text): Block => ({ kind: 'text', text: `${text[0].toUpperCase()}${text.slice(1)}.` })),
  ];
}

function misses({ forecasts }: ReportInput): Block[] {
  return [
    { kind: 'heading', text: 'Worst misses' },
    {
      kind: 'table',
      head: ['symbol', 'forecast made, UTC', 'last', 'forecast', 'came', 'off by, volatilities'],
      rows: worstMisses(forecasts).map((miss) => [
        miss.symbol,
        minuteText(miss.asOf),
        digits(miss.lastClose, 6),
        digits(miss.predictedClose, 6),
        digits(miss.targetClose, 6),
        miss.volatilities.toFixed(1),
      ]),
    },
  ];
}

/** Losses by epoch out of a provenance, when it holds them whole. */
function historyOf({ provenance }: ModelDescription): readonly EpochLosses[] {
  const history = (provenance as { history?: unknown } | undefined)?.history;
  if (!Array.isArray(history)) return [];
  const numbers = ['epoch', 'trainLoss', 'validationLoss'] as const;
  return history.every((record) => numbers.every((key) => Number.isFinite(record?.[key]))) ? history : [];
}

function learning(description: ModelDescription): Block[] {
  const history = historyOf(description);
  const heading: Block = { kind: 'heading', text: 'Learning' };
  if (history.length === 0) {
    return [heading, { kind: 'text', text: "The losses by epoch are not kept in this model's description." }];
  }
  const best = description.provenance?.validation.epoch;
  return [
    heading,
    {
      kind: 'plot',
      name: 'learning',
      title: `Loss by epoch; the weights of epoch ${best} were kept`,
      svg: lineChart({
        title: 'Loss by epoch',
        x: { label: 'epoch', ticks: history.map(({ epoch }) => ({ at: epoch, label: String(epoch) })) },
        y: { label: 'loss', format: (value) => value.toPrecision(4) },
        series: [
          { name: 'training', points: history.map(({ epoch, trainLoss }) => [epoch, trainLoss]), dots: true },
          {
            name: 'validation',
            points: history.map(({ epoch, validationLoss }) => [epoch, validationLoss]),
            dots: true,
          },
        ],
      }),
    },
  ];
}

/** Its numbers by name, those of lists and parts too. */
function calibrationText(fitted: object): string {
  const numbersOf = (value: unknown): string[] => {
    if (typeof value === 'number') return [digits(value, 3)];
    return typeof value === 'object' && value !== null ? Object.values(value).flatMap(numbersOf) : [];
  };
  return Object.entries(fitted)
    .map(([name, value]) => `${name} ${numbersOf(value).join(' ')}`)
    .join(', ');
}

function provenance({ description, evaluation }: ReportInput): Block[] {
  const { recipe, shape, calibration: fitted, provenance: from, weightsHash } = description;
  const rows: [string, string][] = [
    ['model', `${description.name}, version ${description.version}`],
    ['weights', weightsHash],
    ['recipe', recipe ? `${recipe.name}, version ${recipe.version}` : MISSING],
    [
      'network',
      `LSTM ${shape.lstm.join(' + ')}, dense ${shape.dense.map(({ units, activation }) => `${units} ${activation}`).join(' + ')}; windows of ${shape.windowLength} minutes, ${shape.features} features`,
    ],
  ];
  if (from) {
    rows.push(
      ['fitted on', `${minuteText(from.from)} to ${minuteText(from.to)} UTC`],
      ['windows and symbols', `${whole(from.windows)} of ${whole(from.symbols.length)} symbols`],
      [
        'trained',
        `${minuteText(from.trainedAt)} UTC by barcast ${from.barcast} on the ${from.kernel} kernel, seed ${from.seed}`,
      ],
      ['epochs and steps', `${from.epochs}, ${whole(from.steps)}; the weights of epoch ${from.validation.epoch}`],
      [
        'validation',
        `loss ${from.validation.loss.toFixed(5)}, scaled skill ${percent(from.validation.skillScaled)} on ${whole(from.validation.windows)} windows`,
      ],
    );
  }
  if (fitted) rows.push(['calibration', calibrationText(fitted)]);
  rows.push(
    ['scored on', `${minuteText(evaluation.firstAsOf)} to ${minuteText(evaluation.lastAsOf)} UTC`],
    ['left out: windows in the fitted span', whole(evaluation.fittedWindowsLeftOut)],
    ['symbols not trained on', whole(evaluation.unseenSymbols)],
  );
  return [
    { kind: 'heading', text: 'Where it comes from' },
    { kind: 'table', head: ['', ''], rows },
  ];
}
