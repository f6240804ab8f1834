/** What stands in a model's report, block by block. */
import type { ModelBacktest } from '../backtest-model.ts';
import type { PartScore } from '../breakdowns.ts';
import type { ModelEvaluation } from '../evaluate-model.ts';
import { digits, MISSING, percent, range, share, signed } from '../numbers.ts';
import type { Score } from '../scores.ts';
import { calibration, direction, misses } from './compose-forecasts.ts';
import { costs, learning, provenance } from './compose-model.ts';
import type { Block, ReportDocument } from './document.ts';
import { minuteText, type ReportInput, whole, wholePercent } from './input.ts';
import { type CategoryPoint, categoryChart } from './plot.ts';

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
