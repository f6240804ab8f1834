/** How recipe `returns` is fitted: the market, the usual volume and the linear forecast, in steps that threads may share. */
import type { MarketBars } from '../bars/index.ts';
import { freshShared } from '../base/index.ts';
import { inPlace } from './fit-steps.ts';
import { type FlowStep, FlowsAt, fillingFlows, isBlindRow } from './flow-rows.ts';
import { LINEAR_SUMS, LinearSums, linearInputs, linearWeights } from './linear-forecast.ts';
import { encodeFloats, fittingMarket, type MarketFitStep, marketFitWork } from './market-model.ts';
import type { RecordStep } from './market-record.ts';
import { type FillStep, fillingMarket, marketFillWork } from './market-rows.ts';
import type { FittedScaler, WindowSet } from './recipe.ts';
import { ResidualPaths } from './residual-paths.ts';
import { COLUMNS, FLOW_COLUMNS, HORIZON_MINUTES, LINEAR_COLUMNS, RETURNS_ROWS, WINDOW_LENGTH } from './returns-rows.ts';
import { ROOT_HORIZON, scale, scaledReturns } from './returns-scales.ts';
import { fitUsualVolume } from './usual-volume.ts';
import { selectWindows } from './window-selection.ts';

/** Windows of the training part that the linear forecast is fitted on, and on a share of which the blind one is. */
const MOST_FITTED = 400_000;
const BLIND_SHARE = 4;
const WINDOWS_A_BLOCK = 4096;

/** Sums for both lines, some windows a block. */
interface LineStep {
  readonly kind: 'line';
  readonly blocks: number;
  /** Scaled but for the line, over shared memory. */
  readonly windows: WindowSet;
  /** `[N]` */
  readonly wanted: Float64Array;
  /** Without the lines. */
  readonly scaler: FittedScaler;
  /** `[blocks, 2, LINEAR_SUMS]` receives those of windows that know the market, and of others that do without. */
  readonly sums: Float64Array;
}

export type ReturnsFitStep = MarketFitStep | RecordStep | FillStep | FlowStep | LineStep;

export function fitWork(step: ReturnsFitStep): (block: number) => void {
  switch (step.kind) {
    case 'record':
    case 'market':
    case 'flows':
      return marketFillWork(step);
    case 'line':
      return lineWork(step);
    default:
      return marketFitWork(step);
  }
}

export const fit = (training: WindowSet, bars?: MarketBars): FittedScaler =>
  inPlace(fitting(training, Int32Array.from(training.starts.keys()), bars), fitWork);

/** The market of the training bars and the weights of the linear forecast. */
export function* fitting(
  windows: WindowSet,
  training: Int32Array,
  bars?: MarketBars,
): Generator<ReturnsFitStep, FittedScaler, void> {
  let last = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < training.length; i++) last = Math.max(last, windows.asOf[training[i]]);
  const market = bars ? yield* fittingMarketAndVolume(bars, last + HORIZON_MINUTES) : {};
  if (bars) yield* fillingMarket(windows, RETURNS_ROWS, market, bars);
  // One in so many, of every symbol and in all minutes: their neighbours overlap and say little new.
  const every = Math.ceil(training.length / MOST_FITTED);
  const sample = selectWindows(
    windows,
    training.filter((w, i) => i % every === 0 && !Number.isNaN(windows.targetClose[w])),
  );
  const blocks = Math.ceil(sample.starts.length / WINDOWS_A_BLOCK);
  const sums = new Float64Array(freshShared(8 * blocks * 2 * LINEAR_SUMS));
  const scaled = sharedCopies(scale(sample, market));
  yield {
    kind: 'line',
    blocks,
    windows: scaled,
    wanted: scaledReturns(scaled),
    scaler: market,
    sums,
  };
  const [sighted, blind] = [0, 1].map((which) => {
    const all = new Float64Array(LINEAR_SUMS);
    for (let block = 0; block < blocks; block++)
      for (let i = 0, at = (2 * block + which) * LINEAR_SUMS; i < LINEAR_SUMS; i++) all[i] += sums[at + i];
    return encodeFloats(linearWeights(all));
  });
  const fitted = { ...market, linear: sighted, linearBlind: blind };
  yield* fillingFlows(windows, RETURNS_ROWS, fitted);
  return fitted;
}

function* fittingMarketAndVolume(bars: MarketBars, before: number): Generator<MarketFitStep, FittedScaler, void> {
  const market = yield* fittingMarket(bars, before, RETURNS_ROWS.quiet.longestRun);
  const { symbols } = market;
  return symbols === undefined ? market : { ...market, ...fitUsualVolume(bars, before, symbols as readonly string[]) };
}

function lineWork({ windows, wanted, scaler, sums }: LineStep): (block: number) => void {
  const { starts, volatility, matrix } = windows;
  const seeing = new ResidualPaths(COLUMNS, WINDOW_LENGTH, LINEAR_COLUMNS, false);
  const unseeing = new ResidualPaths(COLUMNS, WINDOW_LENGTH, LINEAR_COLUMNS, true);
  const flows = new FlowsAt(windows, COLUMNS, FLOW_COLUMNS, scaler);
  return (block) => {
    const room = (which: number) =>
      new LinearSums(sums.subarray((2 * block + which) * LINEAR_SUMS, (2 * block + which + 1) * LINEAR_SUMS));
    const sighted = room(0);
    const blind = room(1);
    const end = Math.min(starts.length, (block + 1) * WINDOWS_A_BLOCK);
    for (let w = block * WINDOWS_A_BLOCK; w < end; w++) {
      const unit = ROOT_HORIZON / volatility[w];
      const last = starts[w] + WINDOW_LENGTH - 1;
      if (!isBlindRow(matrix, last * COLUMNS, FLOW_COLUMNS)) {
        linearInputs(matrix, last, unit, seeing, flows.at(last), sighted.inputs);
        sighted.add(wanted[w]);
      }
      if (w % BLIND_SHARE !== 0 && starts.length > MOST_FITTED / BLIND_SHARE) continue;
      linearInputs(matrix, last, unit, unseeing, flows.at(last), blind.inputs);
      blind.add(wanted[w]);
    }
    sighted.finish();
    blind.finish();
  };
}

/** The windows' own arrays over shared memory. */
function sharedCopies(windows: WindowSet): WindowSet {
  const copy = <A extends Float32Array | Float64Array | Int32Array>(array: A): A => {
    const shared = new (array.constructor as new (buffer: ArrayBufferLike) => A)(freshShared(array.byteLength));
    shared.set(array);
    return shared;
  };
  const { starts, symbol, asOf, lastClose, targetClose, volatility, scales } = windows;
  return {
    ...windows,
    starts: copy(starts),
    symbol: copy(symbol),
    asOf: copy(asOf),
    lastClose: copy(lastClose),
    targetClose: copy(targetClose),
    volatility: copy(volatility),
    scales: copy(scales),
  };
}
