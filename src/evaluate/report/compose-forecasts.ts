/** The report's sections on single forecasts: calibration of the intervals, reliability of the direction, worst misses. */
import type { PartScore } from '../breakdowns.ts';
import { digits } from '../numbers.ts';
import type { Block } from './document.ts';
import { calibrationCurve, reliability, worstMisses } from './findings.ts';
import { minuteText, type ReportInput, whole, wholePercent } from './input.ts';
import { type CategoryPoint, categoryChart, lineChart } from './plot.ts';

export function calibration({ forecasts, evaluation }: ReportInput): Block[] {
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

export function direction({ forecasts }: ReportInput): Block[] {
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

export function misses({ forecasts }: ReportInput): Block[] {
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
