/** Penalised linear least squares from sums of products, in float64; no copy of the N x K inputs is ever made. */
import { BarcastError } from '../base/index.ts';
import { solvePenalised } from '../features/index.ts';

/** X'X, X'y, y'y and the number of rows, added up row by row. */
export class NormalEquations {
  readonly size: number;
  /** `[K, K]`, of which the lower triangle is kept. */
  readonly inputs: Float64Array;
  /** `[K]` */
  readonly products: Float64Array;
  target = 0;
  rows = 0;

  /** @param size K, inputs a row */
  constructor(size: number) {
    this.size = size;
    this.inputs = new Float64Array(size * size);
    this.products = new Float64Array(size);
  }

  /** Adds one row of K inputs and its target. */
  add(row: Float64Array, target: number): void {
    const { size, inputs, products } = this;
    for (let i = 0; i < size; i++) {
      const value = row[i];
      const base = i * size;
      for (let j = 0; j <= i; j++) inputs[base + j] += value * row[j];
      products[i] += value * target;
    }
    this.target += target * target;
    this.rows++;
  }

  /** Adds the sums of other rows. */
  merge(other: NormalEquations): void {
    for (let i = 0; i < this.inputs.length; i++) this.inputs[i] += other.inputs[i];
    for (let i = 0; i < this.products.length; i++) this.products[i] += other.products[i];
    this.target += other.target;
    this.rows += other.rows;
  }

  /** Mean square of an input, over rows and inputs. */
  get meanSquare(): number {
    let trace = 0;
    for (let i = 0; i < this.size; i++) trace += this.inputs[i * this.size + i];
    return this.rows > 0 ? trace / (this.rows * this.size) : 0;
  }

  /** w'X'Xw and w'X'y: what the squared error of any multiple of the weights is made of. */
  forms(weights: Float64Array): { readonly quadratic: number; readonly linear: number } {
    let quadratic = 0;
    let linear = 0;
    for (let i = 0; i < this.size; i++) {
      let row = 0.5 * this.inputs[i * this.size + i] * weights[i];
      for (let j = 0; j < i; j++) row += this.inputs[i * this.size + j] * weights[j];
      quadratic += 2 * row * weights[i];
      linear += this.products[i] * weights[i];
    }
    return { quadratic, linear };
  }

  /**
   * `[K]` weights that minimise |y - Xw|^2 + penalty |w|^2 (Hoerl & Kennard 1970), by Cholesky's decomposition.
   * @throws BARCAST_E_NOT_FINITE when the matrix is not positive definite: a penalty above zero prevents that
   */
  solve(penalty: number): Float64Array {
    const weights = solvePenalised(this.inputs, penalty, this.products);
    if (weights !== undefined) return weights;
    throw new BarcastError(
      'BARCAST_E_NOT_FINITE',
      'the inputs of a linear regression are not finite or depend on each other',
      'look for windows without a single move or with unknown values',
    );
  }
}
