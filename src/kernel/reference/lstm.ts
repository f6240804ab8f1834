/**
 * One LSTM layer over a block of sequences: forward, and backward through time.
 *
 * Hochreiter & Schmidhuber (1997) with the forget gate of Gers, Schmidhuber & Cummins (2000), as Keras computes it.
 * With x_t `[I]` the input, h_t and c_t `[H]` the hidden and cell state (zero before the first step), W `[I, 4H]`,
 * U `[H, 4H]`, b `[4H]`, and * the product of elements:
 *
 *     z_t = x_t W + h_{t-1} U + b                  [4H] = the four gates' parts [z_i | z_f | z_g | z_o]
 *     i = sigmoid(z_i)   f = sigmoid(z_f)   g = tanh(z_g)   o = sigmoid(z_o)
 *     c_t = f * c_{t-1} + i * g
 *     h_t = o * tanh(c_t)
 *
 * Backward, with dh_t the loss gradient that reaches h_t from above and from step t + 1, and dc_{T} = 0:
 *
 *     dc   = dc_{t+1} * f_{t+1} + dh_t * o * (1 - tanh(c_t)^2)
 *     dz_i = dc * g * i * (1 - i)                  dz_f = dc * c_{t-1} * f * (1 - f)
 *     dz_g = dc * i * (1 - g^2)                    dz_o = dh_t * tanh(c_t) * o * (1 - o)
 *     dh_{t-1} += dz_t U^T      dx_t = dz_t W^T
 *     dW = sum_t x_t^T dz_t     dU = sum_t h_{t-1}^T dz_t     db = sum_t dz_t
 *
 * Arrays are time-major, `[T, n, ...]` with n the block's sequences: one step is one matrix, and h_{t-1} stands
 * exactly one step before h_t, so that the sums over t are single products.
 */
import { addColumnSums, addProduct, addProductTransposed, addTransposedProduct, fillRows } from './matrix.ts';

/** Where a layer's parameters begin in the flat array of `parameters.ts`. */
export interface LstmOffsets {
  readonly kernel: number;
  readonly recurrent: number;
  readonly bias: number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export class LstmLayer {
  /** `[T, n, H]` hidden states of the last forward. */
  readonly hidden: Float64Array;
  /** `[T, n, H]` the loss gradient of `hidden`: the caller sets what comes from above, backward adds what comes from later steps. */
  readonly hiddenGradient: Float64Array;
  readonly units: number;
  readonly #inputs: number;
  readonly #steps: number;
  readonly #offsets: LstmOffsets;
  /** `[T, n, 4H]` gates after forward; backward writes dz over them. */
  readonly #gates: Float64Array;
  /** `[T, n, H]` */
  readonly #cell: Float64Array;
  /** `[n, H]` dc_{t+1} * f_{t+1} */
  readonly #cellGradient: Float64Array;

  /** @param block most sequences at a time */
  constructor(inputs: number, units: number, steps: number, block: number, offsets: LstmOffsets) {
    this.units = units;
    this.#inputs = inputs;
    this.#steps = steps;
    this.#offsets = offsets;
    this.hidden = new Float64Array(steps * block * units);
    this.hiddenGradient = new Float64Array(steps * block * units);
    this.#gates = new Float64Array(steps * block * 4 * units);
    this.#cell = new Float64Array(steps * block * units);
    this.#cellGradient = new Float64Array(block * units);
  }

  /** Fills {@link hidden} from `input [T, n, I]`; `n` at most the block. */
  forward(weights: Float64Array, input: Float64Array, n: number): void {
    const gates = this.#gates;
    const { kernel, recurrent, bias } = this.#offsets;
    const columns = 4 * this.units;
    const rows = this.#steps * n;
    fillRows(gates, weights, bias, rows, columns);
    addProduct(gates, 0, input, 0, weights, kernel, rows, this.#inputs, columns);
    const state = n * this.units;
    for (let t = 0; t < this.#steps; t++) {
      if (t > 0) {
        addProduct(gates, t * 4 * state, this.hidden, (t - 1) * state, weights, recurrent, n, this.units, columns);
      }
      this.#activate(t, n);
    }
  }

  /** z to gates in place, and from them c_t and h_t. */
  #activate(t: number, n: number): void {
    const gates = this.#gates;
    const cell = this.#cell;
    const units = this.units;
    for (let s = 0; s < n; s++) {
      const z = (t * n + s) * 4 * units;
      const now = (t * n + s) * units;
      const before = now - n * units;
      for (let j = 0; j < units; j++) {
        const i = (gates[z + j] = sigmoid(gates[z + j]));
        const f = (gates[z + units + j] = sigmoid(gates[z + units + j]));
        const g = (gates[z + 2 * units + j] = Math.tanh(gates[z + 2 * units + j]));
        const o = (gates[z + 3 * units + j] = sigmoid(gates[z + 3 * units + j]));
        const c = (t > 0 ? f * cell[before + j] : 0) + i * g;
        cell[now + j] = c;
        this.hidden[now + j] = o * Math.tanh(c);
      }
    }
  }

  /**
   * Adds this layer's parameter gradients to `gradients [P]`, from {@link hiddenGradient} and the last forward.
   * @param input `[T, n, I]` what forward got
   * @param inputGradient `[T, n, I]` to which dx is added; absent for the bottom layer
   */
  backward(
    weights: Float64Array,
    input: Float64Array,
    n: number,
    gradients: Float64Array,
    inputGradient?: Float64Array,
  ): void {
    const gates = this.#gates;
    const { kernel, recurrent, bias } = this.#offsets;
    const columns = 4 * this.units;
    const rows = this.#steps * n;
    const state = n * this.units;
    this.#cellGradient.fill(0, 0, state);
    for (let t = this.#steps - 1; t >= 0; t--) {
      this.#differentiate(t, n);
      if (t > 0) {
        addProductTransposed(
          this.hiddenGradient,
          (t - 1) * state,
          gates,
          t * 4 * state,
          weights,
          recurrent,
          n,
          this.units,
          columns,
        );
      }
    }
    addTransposedProduct(gradients, kernel, input, 0, gates, 0, rows, this.#inputs, columns);
    addTransposedProduct(gradients, recurrent, this.hidden, 0, gates, 4 * state, rows - n, this.units, columns);
    addColumnSums(gradients, bias, gates, rows, columns);
    if (inputGradient) addProductTransposed(inputGradient, 0, gates, 0, weights, kernel, rows, this.#inputs, columns);
  }

  /** dz_t over the gates of step t, from dh_t; the cell's gradient goes one step back. */
  #differentiate(t: number, n: number): void {
    const gates = this.#gates;
    const cell = this.#cell;
    const cellGradient = this.#cellGradient;
    const units = this.units;
    for (let s = 0; s < n; s++) {
      const z = (t * n + s) * 4 * units;
      const now = (t * n + s) * units;
      const before = now - n * units;
      for (let j = 0; j < units; j++) {
        const i = gates[z + j];
        const f = gates[z + units + j];
        const g = gates[z + 2 * units + j];
        const o = gates[z + 3 * units + j];
        const tanhCell = Math.tanh(cell[now + j]);
        const dh = this.hiddenGradient[now + j];
        const dc = cellGradient[s * units + j] + dh * o * (1 - tanhCell * tanhCell);
        gates[z + j] = dc * g * i * (1 - i);
        gates[z + units + j] = t > 0 ? dc * cell[before + j] * f * (1 - f) : 0;
        gates[z + 2 * units + j] = dc * i * (1 - g * g);
        gates[z + 3 * units + j] = dh * tanhCell * o * (1 - o);
        cellGradient[s * units + j] = dc * f;
      }
    }
  }
}
