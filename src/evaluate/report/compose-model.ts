/** The report's sections on the model: what trading on it costs, how it learned, and where it comes from. */
import type { ModelDescription } from '../../model/index.ts';
import type { ModelBacktest } from '../backtest-model.ts';
import { digits, MISSING, percent } from '../numbers.ts';
import { backtestTable } from '../render-backtest.ts';
import type { Block } from './document.ts';
import { minuteText, type ReportInput, whole } from './input.ts';
import { lineChart } from './plot.ts';

export function costs(backtest: ModelBacktest): Block[] {
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

export function learning(description: ModelDescription): Block[] {
  const history = description.provenance?.history ?? [];
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

export function provenance({ description, evaluation }: ReportInput): Block[] {
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
