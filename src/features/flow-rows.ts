/**
 * What a fitted linear forecast makes of the flows of each row, two numbers beside the feature matrix. Batch and live
 * fill them with {@link FlowRows}, row after row of a run from its first one on, after the market's columns.
 */
import { Flows } from './flows.ts';
import { flowWeightsOf, linesOf } from './linear-forecast.ts';
import type { FittedScaler, FlowColumns, Recipe, WindowSet } from './recipe.ts';

/** Whether nothing is known of the market in the row at `at`: too few of the references have traded, or none is at hand. */
export const isBlindRow = (matrix: Float32Array, at: number, { turbulence, strain }: FlowColumns): boolean =>
  matrix[at + turbulence] === 0 && matrix[at + strain] === 0;

/** Numbers of a row: of the symbol's own flows, and of the leader's. */
export const FLOW_NUMBERS = 2;

/** Fills the flows of a run's rows. */
export class FlowRows {
  readonly #columns: FlowColumns;
  readonly #flows: Flows;
  readonly #sighted: Float64Array;
  readonly #blind: Float64Array;

  constructor(columns: FlowColumns, scaler: FittedScaler, { sighted, blind }: NonNullable<ReturnType<typeof linesOf>>) {
    this.#columns = columns;
    this.#flows = new Flows(columns, scaler);
    this.#sighted = flowWeightsOf(sighted);
    this.#blind = flowWeightsOf(blind);
  }

  /** The next row is a run's first. */
  begin(): void {
    this.#flows.begin();
  }

  /** Fills `[rows, 2]` of the run's next row, whose features begin at `at`. */
  next(matrix: Float32Array, at: number, into: Float32Array, row: number): void {
    const flows = this.#flows;
    flows.next(matrix, at);
    const blind = isBlindRow(matrix, at, this.#columns);
    const weights = blind ? this.#blind : this.#sighted;
    into[FLOW_NUMBERS * row] = flows.own(weights);
    into[FLOW_NUMBERS * row + 1] = blind ? 0 : flows.leading(weights);
  }

  /** Fills those of a whole run, whose rows of `width` numbers are the ones from `first` to `end`. */
  run(matrix: Float32Array, width: number, into: Float32Array, first: number, end: number): void {
    this.begin();
    for (let row = first; row < end; row++) this.next(matrix, row * width, into, row);
  }
}

/** Undefined for a recipe without flows, and before the linear forecast has been fitted. */
export function flowRowsOf({ flows }: Pick<Recipe, 'flows'>, scaler: FittedScaler): FlowRows | undefined {
  const lines = flows && linesOf(scaler);
  return lines && new FlowRows(flows, scaler, lines);
}

/** Fills the flows of runs, some in a block. */
export interface FlowStep {
  readonly kind: 'flows';
  readonly blocks: number;
  readonly columns: FlowColumns;
  /** Numbers of a row. */
  readonly width: number;
  readonly scaler: FittedScaler;
  readonly windows: Pick<WindowSet, 'matrix' | 'flows' | 'runs'>;
}

const BLOCKS = 64;

/** How the flows of all rows are filled, in place, once the market's columns are; where those are made too, the flows are made with them. */
export function* fillingFlows(
  { matrix, flows, runs }: WindowSet,
  { flows: columns, columns: width }: Pick<Recipe, 'flows' | 'columns'>,
  scaler: FittedScaler,
): Generator<FlowStep, void, void> {
  if (columns === undefined || runs === undefined || linesOf(scaler) === undefined) return;
  const blocks = Math.min(BLOCKS, runs.firstRow.length);
  yield { kind: 'flows', blocks, columns, width, scaler, windows: { matrix, flows, runs } };
}

export function flowsWork({ blocks, columns, width, scaler, windows }: FlowStep): (block: number) => void {
  const rows = flowRowsOf({ flows: columns }, scaler)!;
  const { matrix, flows } = windows;
  const { firstRow } = windows.runs!;
  const runs = firstRow.length;
  return (block) => {
    const last = Math.floor(((block + 1) * runs) / blocks);
    for (let run = Math.floor((block * runs) / blocks); run < last; run++) {
      const end = run + 1 < runs ? firstRow[run + 1] : flows.length / FLOW_NUMBERS;
      rows.run(matrix, width, flows, firstRow[run], end);
    }
  };
}

/** The flows of rows that are asked for in their order, whichever lie between. */
export class FlowsAt {
  readonly #windows: Pick<WindowSet, 'matrix' | 'runs'>;
  readonly #width: number;
  readonly #flows: Flows;
  /** The first row after the run that the flows are of, and the next row that they are to be given. */
  #end = 0;
  #next = 0;

  constructor(windows: Pick<WindowSet, 'matrix' | 'runs'>, width: number, columns: FlowColumns, scaler: FittedScaler) {
    this.#windows = windows;
    this.#width = width;
    this.#flows = new Flows(columns, scaler);
  }

  at(row: number): Flows {
    const { matrix } = this.#windows;
    if (row >= this.#end || row < this.#next - 1) this.#seek(row);
    for (; this.#next <= row; this.#next++) this.#flows.next(matrix, this.#next * this.#width);
    return this.#flows;
  }

  #seek(row: number): void {
    const { matrix, runs } = this.#windows;
    const { firstRow } = runs!;
    let [low, high] = [0, firstRow.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (firstRow[middle] <= row) low = middle;
      else high = middle;
    }
    this.#next = firstRow[low];
    this.#end = low + 1 < firstRow.length ? firstRow[low + 1] : matrix.length / this.#width;
    this.#flows.begin();
  }
}
