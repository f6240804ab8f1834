/**
 * One dense layer over a block of sequences: `y = a(x W + b)` with x `[n, I]`, W `[I, U]`, b `[U]`, y `[n, U]` and a
 * the identity or ReLU, max(0, z). Backward: `dz = dy * a'(z)`, `dW = x^T dz`, `db` = column sums of dz,
 * `dx = dz W^T`; ReLU's slope at 0 is 0.
 */
import type { Activation } from '../kernel.ts';
import { addColumnSums, addProduct, addProductTransposed, addTransposedProduct, fillRows } from './matrix.ts';

/** Where a layer's parameters begin in the flat array of `parameters.ts`. */
export interface DenseOffsets {
  readonly kernel: number;
  readonly bias: number;
}

export class DenseLayer {
  /** `[n, U]` outputs of the last forward. */
  readonly output: Float64Array;
  /** `[n, U]` the loss gradient of `output`, set by the caller; backward makes it that of z. */
  readonly outputGradient: Float64Array;
  readonly units: number;
  readonly #inputs: number;
  readonly #activation: Activation;
  readonly #offsets: DenseOffsets;

  /** @param block most sequences at a time */
  constructor(inputs: number, units: number, activation: Activation, block: number, offsets: DenseOffsets) {
    this.units = units;
    this.#inputs = inputs;
    this.#activation = activation;
    this.#offsets = offsets;
    this.output = new Float64Array(block * units);
    this.outputGradient = new Float64Array(block * units);
  }

  /** Fills {@link output} from `input [n, I]`. */
  forward(weights: Float64Array, input: Float64Array, n: number): void {
    const output = this.output;
    fillRows(output, weights, this.#offsets.bias, n, this.units);
    addProduct(output, 0, input, 0, weights, this.#offsets.kernel, n, this.#inputs, this.units);
    if (this.#activation === 'relu') {
      // A comparison, not Math.max: NaN must pass through to the loss, where it is found.
      for (let i = 0; i < n * this.units; i++) if (output[i] < 0) output[i] = 0;
    }
  }

  /** Adds the parameter gradients to `gradients [P]` and sets `inputGradient [n, I]`, from {@link outputGradient}. */
  backward(
    weights: Float64Array,
    input: Float64Array,
    n: number,
    gradients: Float64Array,
    inputGradient: Float64Array,
  ): void {
    const { output, outputGradient: dz, units } = this;
    const { kernel, bias } = this.#offsets;
    if (this.#activation === 'relu') {
      for (let i = 0; i < n * units; i++) if (output[i] === 0) dz[i] = 0;
    }
    addTransposedProduct(gradients, kernel, input, 0, dz, 0, n, this.#inputs, units);
    addColumnSums(gradients, bias, dz, n, units);
    inputGradient.fill(0, 0, n * this.#inputs);
    addProductTransposed(inputGradient, 0, dz, 0, weights, kernel, n, this.#inputs, units);
  }
}
