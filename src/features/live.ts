/**
 * Live windows: every followed symbol's last minutes in memory, filled by the row functions that `buildWindows` uses.
 * After the same bars in order of time, the latest window of a symbol has the same bits here and there.
 *
 * The market's columns of a minute are made of the references' bars that were pushed before a window that holds the
 * minute was first asked for: push all bars of a minute, then ask. A bar that comes later than that makes a row of its
 * own symbol, and the market of its minute stays as it was.
 *
 * Memory: 3 windows of rows a symbol (60 rows of 12 numbers: 10 kB with what lies beside them), whatever the number of
 * bars, and two sessions of the references' returns.
 */

import { type Bar, sessionAt } from '../bars/index.ts';
import { FLOW_NUMBERS, type FlowRows, flowRowsOf } from './flow-rows.ts';
import { type MarketModel, marketOf } from './market-model.ts';
import { type Explainer, explainerOf, fillMarketRow } from './market-rows.ts';
import { MarketTape } from './market-tape.ts';
import type { FittedScaler, Recipe, WindowSet } from './recipe.ts';
import { isUsable, logReturnOf, sharesOf } from './rows.ts';
import { unscaled } from './scaling.ts';
import { windowVolatility } from './volatility.ts';

/** What became of a pushed bar. Only `window` and `warming` added a row. */
export type PushResult =
  /** It ends a window: `windows` can forecast from it. */
  | 'window'
  /** It was taken, and its run of minutes is still too short, or has too many quiet ones. */
  | 'warming'
  /** Its minute is the symbol's newest one and was pushed before; the first bar stands. */
  | 'repeated'
  /** The symbol has a newer bar: what was forecast from that one cannot be taken back. */
  | 'late'
  /** Outside the regular session; nothing changes. */
  | 'outOfSession'
  /** A price is missing or impossible (see `isUsable`): no window holds this minute, rows start anew after it. */
  | 'unusable';

/** Windows of rows that a symbol's buffer holds. */
const CAPACITY_IN_WINDOWS = 3;

interface SymbolState {
  readonly symbol: string;
  /** First row of its buffer in the matrix. */
  readonly base: number;
  /** Rows of the buffer in use; the newest row is the last of them. */
  used: number;
  /** Rows of the present run, the newest `run` ones; beyond the buffer they are counted and no longer held. */
  run: number;
  /** Newest session minute pushed, usable or not. */
  newest: number;
  sessionOpen: number;
  /** Minute of the present run's first row. */
  runMinute: number;
  lastClose: number;
  /** Whether the newest bar ends a window. */
  ready: boolean;
  /** Rows of the present run whose columns of market and flows are filled, from its first one on. */
  filled: number;
  /** What the market explains of the present run, and its flows; made when they are first needed. */
  explainer: Explainer | undefined;
  flows: FlowRows | undefined;
}

export class LiveMarket {
  readonly #recipe: Recipe;
  readonly #scaler: FittedScaler;
  readonly #capacity: number;
  readonly #states = new Map<string, SymbolState>();
  readonly #market: MarketModel | undefined;
  readonly #tape: MarketTape | undefined;
  /** `[symbols * capacity, columns]` */
  #matrix: Float32Array;
  /** `[symbols * capacity, 2]` */
  #flows: Float32Array;
  /** `[symbols * capacity]` log return of each row; multiples of 2^-23 that float32 holds exactly. */
  #logReturns: Float32Array;
  /** `[symbols * capacity]` 1 for a quiet row. */
  #quiet: Uint8Array;

  constructor(recipe: Recipe, scaler: FittedScaler) {
    this.#recipe = recipe;
    this.#scaler = scaler;
    this.#capacity = CAPACITY_IN_WINDOWS * recipe.windowLength;
    this.#matrix = new Float32Array(0);
    this.#flows = new Float32Array(0);
    this.#logReturns = new Float32Array(0);
    this.#quiet = new Uint8Array(0);
    this.#market = recipe.market && marketOf(scaler);
    this.#tape = this.#market && new MarketTape(this.#market);
  }

  /** Symbols that a bar was pushed for. */
  get symbolCount(): number {
    return this.#states.size;
  }

  /**
   * Takes a bar. Bars of one symbol must come in order of time; of different symbols in any order, as long as none is
   * an hour ahead of another: what leaves a symbol's buffer has had its market by then.
   */
  push(bar: Bar): PushResult {
    const { minute, open, high, low, close, volume } = bar;
    const session = sessionAt(minute);
    if (session === undefined) return 'outOfSession';
    const state = this.#states.get(bar.symbol) ?? this.#add(bar.symbol);
    if (minute === state.newest) return 'repeated';
    if (minute < state.newest) return 'late';
    const quietMinutes = minute - state.newest - 1;
    state.newest = minute;
    state.ready = false;
    if (!isUsable(open, high, low, close, volume)) {
      state.run = 0;
      return 'unusable';
    }
    const { row, quiet, windowLength: T, columns } = this.#recipe;
    if (session.open !== state.sessionOpen || quietMinutes > quiet.longestRun) state.run = 0;
    state.sessionOpen = session.open;
    const goesOn = state.run > 0;
    if (!goesOn) {
      state.runMinute = minute;
      state.filled = 0;
    } else {
      for (let m = minute - quietMinutes; m < minute; m++) {
        const at = this.#nextRow(state);
        row.quiet(this.#matrix, at * columns, state.lastClose, m - session.open);
        this.#logReturns[at] = 0;
        this.#quiet[at] = 1;
      }
    }
    const at = this.#nextRow(state);
    const logReturn = logReturnOf(close, goesOn ? state.lastClose : open);
    const traded = row.volumeOf(sharesOf(volume));
    row.bar(this.#matrix, at * columns, logReturn, high, low, close, traded, minute - session.open);
    this.#logReturns[at] = logReturn;
    this.#quiet[at] = 0;
    this.#tape?.push(bar.symbol, minute, logReturn, session.open);
    state.lastClose = close;
    if (state.run < T) return 'warming';
    let quietRows = 0;
    for (let r = at - T + 1; r < at; r++) quietRows += this.#quiet[r];
    state.ready = quietRows <= quiet.most;
    return state.ready ? 'window' : 'warming';
  }

  /**
   * The latest windows, scaled, of those symbols whose newest bar ends one: sorted by symbol, targetClose NaN. However
   * old that bar is, its window counts: ask for the symbols whose bars have just come.
   *
   * The matrix is shared, not copied. A window handed out keeps its rows until its symbol has gained a whole window of
   * new rows, so forecast from it before then.
   */
  windows(symbols: Iterable<string>): WindowSet {
    const { windowLength: T, features, columns, horizonMinutes, name } = this.#recipe;
    const ready: string[] = [];
    for (const symbol of new Set(symbols)) if (this.#states.get(symbol)?.ready) ready.push(symbol);
    ready.sort();
    const N = ready.length;
    const starts = new Int32Array(N);
    const asOf = new Int32Array(N);
    const lastClose = new Float64Array(N);
    const volatility = new Float64Array(N);
    for (let w = 0; w < N; w++) {
      const state = this.#states.get(ready[w])!;
      this.#fill(state, state.run);
      const end = state.base + state.used;
      let sumOfSquares = 0;
      for (let r = end - T; r < end; r++) sumOfSquares += this.#logReturns[r] * this.#logReturns[r];
      starts[w] = end - T;
      asOf[w] = state.newest + 1;
      lastClose[w] = state.lastClose;
      volatility[w] = windowVolatility(sumOfSquares, T, state.lastClose, horizonMinutes);
    }
    const windows: WindowSet = {
      recipe: name,
      symbols: ready,
      matrix: this.#matrix,
      flows: this.#flows,
      starts,
      symbol: Int32Array.from({ length: N }, (_, w) => w),
      asOf,
      lastClose,
      targetClose: new Float64Array(N).fill(Number.NaN),
      volatility,
      scaling: unscaled(features.length, columns),
      scales: new Float32Array(0),
    };
    return this.#recipe.scale(windows, this.#scaler);
  }

  /** Fills the columns of market and flows of a run's first `rows` rows. Minutes asked for here stand from now on. */
  #fill(state: SymbolState, rows: number): void {
    const { market, columns } = this.#recipe;
    if (state.filled >= rows) return;
    if (state.filled === 0) {
      state.explainer = this.#market && explainerOf(this.#market, state.symbol);
      if (state.flows) state.flows.begin();
      else state.flows = flowRowsOf(this.#recipe, this.#scaler);
    }
    const { explainer, flows } = state;
    const runStart = state.base + state.used - state.run; // before the buffer where its first rows are gone
    for (let row = state.filled; row < rows; row++) {
      const at = (runStart + row) * columns;
      const minute = state.runMinute + row;
      if (market && explainer && this.#tape) {
        const marketThen = this.#tape.at(minute);
        const logReturn = this.#logReturns[runStart + row];
        fillMarketRow(this.#matrix, at, market, explainer, marketThen, logReturn, minute - state.sessionOpen);
      }
      flows?.next(this.#matrix, at, this.#flows, runStart + row);
    }
    state.filled = rows;
  }

  /** The place of the run's next row. A full buffer keeps the newest T - 1 rows at its front and goes on after them. */
  #nextRow(state: SymbolState): number {
    if (state.used === this.#capacity) {
      const kept = this.#recipe.windowLength - 1;
      this.#fill(state, state.run - kept);
      const from = state.base + this.#capacity - kept;
      const to = from + kept;
      const { columns } = this.#recipe;
      this.#matrix.copyWithin(state.base * columns, from * columns, to * columns);
      this.#flows.copyWithin(state.base * FLOW_NUMBERS, from * FLOW_NUMBERS, to * FLOW_NUMBERS);
      this.#logReturns.copyWithin(state.base, from, to);
      this.#quiet.copyWithin(state.base, from, to);
      state.used = kept;
    }
    state.run++;
    const row = state.base + state.used++;
    this.#matrix.set(this.#recipe.row.blank, row * this.#recipe.columns);
    return row;
  }

  #add(symbol: string): SymbolState {
    const count = this.#states.size;
    const room = this.#quiet.length / this.#capacity;
    if (count === room) {
      const rows = Math.max(16, 2 * room) * this.#capacity;
      const matrix = new Float32Array(rows * this.#recipe.columns);
      matrix.set(this.#matrix);
      const flows = new Float32Array(rows * FLOW_NUMBERS);
      flows.set(this.#flows);
      const logReturns = new Float32Array(rows);
      logReturns.set(this.#logReturns);
      const quiet = new Uint8Array(rows);
      quiet.set(this.#quiet);
      this.#matrix = matrix;
      this.#flows = flows;
      this.#logReturns = logReturns;
      this.#quiet = quiet;
    }
    const state: SymbolState = {
      symbol,
      base: count * this.#capacity,
      used: 0,
      run: 0,
      newest: Number.NEGATIVE_INFINITY,
      sessionOpen: Number.NEGATIVE_INFINITY,
      runMinute: Number.NEGATIVE_INFINITY,
      lastClose: Number.NaN,
      ready: false,
      filled: 0,
      explainer: undefined,
      flows: undefined,
    };
    this.#states.set(symbol, state);
    return state;
  }
}
