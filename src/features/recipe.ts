/**
 * A recipe says how bars become windows and how a network's outputs become forecasts. It is the one place for that:
 * training, evaluation, `predict`, live serving and replay all go through the same functions, so that they agree to
 * the bit.
 *
 * Causality: a window's features and scales depend on the bars of its own session from the open up to its last bar,
 * on scalers fitted on the training part, and on nothing else.
 */
import type { MarketBars } from '../bars/index.ts';
import type { Loss, NetworkShape, OptimizerSettings } from '../kernel/index.ts';
import type { FitStep } from './fit-steps.ts';
import type { RowFormula } from './rows.ts';
import type { Scaling } from './scaling.ts';

export type RecipeName = 'returns' | 'cs205';

/** What fitting found on the training part alone; JSON, kept in the model directory. */
export type FittedScaler = { readonly [name: string]: number | string | readonly number[] | readonly string[] };

/** How a recipe is trained when the user says nothing else. */
export interface TrainingDefaults {
  readonly epochs: number;
  readonly batch: number;
  readonly loss: Loss;
  readonly optimizer: OptimizerSettings;
  /** `random` is the reference project's way, kept for comparison: its validation part leaks. */
  readonly validationSplit: 'chronological' | 'random';
  readonly validationShare: number;
  /** Epochs without a better validation loss before training stops; 0 for never. */
  readonly patience: number;
  /** How the learning rate goes over the steps: `cosine` falls to a tenth along half a cosine. */
  readonly schedule?: 'constant' | 'cosine';
  /** Whether the forecasts' amplitude is fitted on the validation part (least squares); the interval always is. */
  readonly calibrateAmplitude?: boolean;
}

/** N windows of a market in one flat feature matrix, each ending at a bar that traded. */
export interface WindowSet {
  readonly recipe: RecipeName;
  /** `[rows, columns]`, row-major. */
  readonly matrix: Float32Array;
  /** `[N]` first row of each window. */
  readonly starts: Int32Array;
  /**
   * `[rows, 2]` what a fitted linear forecast makes of the flows of each row: the symbol's own, in log returns, and the
   * leader's, in volatilities; empty for a recipe without flows.
   */
  readonly flows: Float32Array;
  /** How the rows become a kernel's inputs, and `[N, S]` what each window has of its own for it. */
  readonly scaling: Scaling;
  readonly scales: Float32Array;
  /** Sorted; `symbol[i]` is an index into it. */
  readonly symbols: readonly string[];
  /** `[N]` */
  readonly symbol: Int32Array;
  /** `[N]` EpochMinute at which the last bar ENDED: its minute + 1. The forecast is for asOf + horizon. */
  readonly asOf: Int32Array;
  /** `[N]` close of the last bar. */
  readonly lastClose: Float64Array;
  /** `[N]` last price at asOf + horizon - 1, the bar that ends the horizon; NaN where it is not known or not in the session. */
  readonly targetClose: Float64Array;
  /**
   * `[N]` the window's own volatility: root mean square of its one-minute log returns times sqrt(horizon), with a
   * floor; log returns to the horizon are divided by it.
   */
  readonly volatility: Float64Array;
  /** Which rows belong together; absent where the market's columns have been filled already (live windows). */
  readonly runs?: RowRuns;
}

/** Runs of consecutive minutes of one symbol, in the order of their rows; a run's rows end where the next one's begin. */
export interface RowRuns {
  /** `[R]` index into the symbols. */
  readonly symbol: Int32Array;
  /** `[R]` row of the run's first minute. */
  readonly firstRow: Int32Array;
  /** `[R]` EpochMinute of it. */
  readonly firstMinute: Int32Array;
}

/** Features that are made of the whole market's bars, by their place in a row. */
export interface MarketColumns {
  /** The log return that the market's factors explain. */
  readonly explained: number;
  /** The log return that the nearest peers add to it. */
  readonly peers: number;
  /** How far the market moved in the minute, in its own deviations. */
  readonly turbulence: number;
  /** How far the market of late went beyond what was to be expected (`MarketMinute`). */
  readonly strain: number;
  /** The log return of the market's leader. */
  readonly leader: number;
  /** What ln(1 + volume) has beyond the usual one, and where it lies itself: the recipe's own column. */
  readonly surprise: number;
  readonly volume: number;
}

/** What a linear forecast of past moves is made of, row after row, by its place in a row. */
export interface FlowColumns {
  readonly logReturn: number;
  readonly quiet: number;
  readonly clock: number;
  readonly explained: number;
  readonly leader: number;
  readonly surprise: number;
  /** Both are 0 in a minute in which nothing is known of the market. */
  readonly turbulence: number;
  readonly strain: number;
}

/** What outputs stand for, before calibration, as log returns to the horizon. */
export interface DecodedOutputs {
  /** The forecast is the sum of its parts, `[N]` each; calibration gives each part an amplitude. */
  readonly parts: readonly Float64Array[];
  /** `[N]` how far below and above the forecast the interval's ends lie; positive. */
  readonly below: Float64Array;
  readonly above: Float64Array;
  /** `[N]` the market's strain at the window's end, by which calibration widens and narrows intervals; 0 without one. */
  readonly strain: Float64Array;
  /** `[N]` the market's mean turbulence over the window, which widens intervals; 0 unknown, absent without a market. */
  readonly turbulence?: Float64Array;
  /** `[N]` how much the window trades, by which calibration damps the first part; absent where a recipe does not say. */
  readonly liquidity?: Float64Array;
}

export interface Recipe {
  readonly name: RecipeName;
  /** Raised whenever the meaning of a feature, scale or target changes; a model of another version is refused. */
  readonly version: number;
  readonly windowLength: number;
  readonly horizonMinutes: number;
  /** Names of the F features. */
  readonly features: readonly string[];
  /** How many of them the matrix holds, the first ones; the others are 1 in every row before they are scaled. */
  readonly columns: number;
  /** The feature that gives one-minute log returns in the unscaled matrix, and whether it holds them or closes. */
  readonly oneMinuteReturns: { readonly feature: number; readonly holds: 'logReturn' | 'close' };
  /** What a minute's row of the matrix holds: the one formula of batch and live. */
  readonly row: RowFormula;
  /** Minutes without a trade that a window accepts: in one run (a longer run is a gap), and in all. */
  readonly quiet: { readonly longestRun: number; readonly most: number };
  readonly network: NetworkShape;
  readonly training: TrainingDefaults;
  /** The columns that `fillMarket` fills; absent for a recipe that looks at each symbol alone. */
  readonly market?: MarketColumns;
  /** What the flows of past moves are made of; `fillMarket` makes them after the market's columns. */
  readonly flows?: FlowColumns;
  /**
   * `[N]` training targets, in the network's output units, of scaled windows with a known targetClose.
   * @param into `[N]` to be filled instead of new memory
   */
  targets(windows: WindowSet, scaler: FittedScaler, into?: Float32Array): Float32Array;
  /** What outputs `[N, O]` of scaled windows stand for. */
  decode(output: Float32Array, windows: WindowSet, scaler: FittedScaler): DecodedOutputs;
  /**
   * Fits scalers on training windows alone, and the market on the bars up to the last one's target. Fills the market's
   * columns of the windows' rows.
   * @param bars those that the windows were built from; without them there is no market
   */
  fit(training: WindowSet, bars?: MarketBars): FittedScaler;
  /**
   * The same step by step, for a recipe whose fit takes long: the blocks of each step may be shared out to threads.
   * @param training which of the windows
   */
  fitting?(windows: WindowSet, training: Int32Array, bars?: MarketBars): Generator<FitStep, FittedScaler, void>;
  /** What does a block of a step. */
  fitWork?(step: FitStep): (block: number) => void;
  /**
   * The windows with their scales set by the scaler; the matrix is shared.
   * @param into `[N, S]` to be filled instead of new memory
   */
  scale(windows: WindowSet, scaler: FittedScaler, into?: Float32Array): WindowSet;
}

export interface WindowOptions {
  /** Keep windows whose last bar ended within [from, to), as EpochMinute. */
  readonly asOfFrom?: number;
  readonly asOfTo?: number;
  /** Keep only windows whose targetClose is known (training, evaluation) or all (prediction). */
  readonly requireTarget: boolean;
}

/** Builds the window set of a market. Unscaled until `Recipe.scale`. */
export type BuildWindows = (bars: MarketBars, recipe: Recipe, options: WindowOptions) => WindowSet;
