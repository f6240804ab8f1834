/**
 * The three matrix products of a network, on row-major matrices inside flat float64 arrays. Each matrix is an array
 * and the index of its first number; each product is added to what the target holds.
 *
 * Each goes through four rows at a time: one load and store of the target then serves eight operations, which is what
 * brings plain JavaScript above a GFLOP/s. The order of addition follows from the sizes alone.
 */

/** `C[rows, columns] += A[rows, inner] B[inner, columns]` */
export function addProduct(
  c: Float64Array,
  cAt: number,
  a: Float64Array,
  aAt: number,
  b: Float64Array,
  bAt: number,
  rows: number,
  inner: number,
  columns: number,
): void {
  let k = 0;
  for (; k + 4 <= inner; k += 4) {
    const b0 = bAt + k * columns;
    const b1 = b0 + columns;
    const b2 = b1 + columns;
    const b3 = b2 + columns;
    for (let r = 0; r < rows; r++) {
      const at = aAt + r * inner + k;
      const a0 = a[at];
      const a1 = a[at + 1];
      const a2 = a[at + 2];
      const a3 = a[at + 3];
      const to = cAt + r * columns;
      for (let j = 0; j < columns; j++) {
        c[to + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + a2 * b[b2 + j] + a3 * b[b3 + j];
      }
    }
  }
  for (; k < inner; k++) {
    const b0 = bAt + k * columns;
    for (let r = 0; r < rows; r++) {
      const a0 = a[aAt + r * inner + k];
      const to = cAt + r * columns;
      for (let j = 0; j < columns; j++) c[to + j] += a0 * b[b0 + j];
    }
  }
}

/** `C[inner, columns] += A[rows, inner]ᵀ B[rows, columns]` */
export function addTransposedProduct(
  c: Float64Array,
  cAt: number,
  a: Float64Array,
  aAt: number,
  b: Float64Array,
  bAt: number,
  rows: number,
  inner: number,
  columns: number,
): void {
  let r = 0;
  for (; r + 4 <= rows; r += 4) {
    const b0 = bAt + r * columns;
    const b1 = b0 + columns;
    const b2 = b1 + columns;
    const b3 = b2 + columns;
    for (let k = 0; k < inner; k++) {
      const at = aAt + r * inner + k;
      const a0 = a[at];
      const a1 = a[at + inner];
      const a2 = a[at + 2 * inner];
      const a3 = a[at + 3 * inner];
      const to = cAt + k * columns;
      for (let j = 0; j < columns; j++) {
        c[to + j] += a0 * b[b0 + j] + a1 * b[b1 + j] + a2 * b[b2 + j] + a3 * b[b3 + j];
      }
    }
  }
  for (; r < rows; r++) {
    const b0 = bAt + r * columns;
    for (let k = 0; k < inner; k++) {
      const a0 = a[aAt + r * inner + k];
      const to = cAt + k * columns;
      for (let j = 0; j < columns; j++) c[to + j] += a0 * b[b0 + j];
    }
  }
}

/** `C[rows, inner] += A[rows, columns] B[inner, columns]ᵀ` */
export function addProductTransposed(
  c: Float64Array,
  cAt: number,
  a: Float64Array,
  aAt: number,
  b: Float64Array,
  bAt: number,
  rows: number,
  inner: number,
  columns: number,
): void {
  let k = 0;
  for (; k + 4 <= inner; k += 4) {
    const b0 = bAt + k * columns;
    const b1 = b0 + columns;
    const b2 = b1 + columns;
    const b3 = b2 + columns;
    for (let r = 0; r < rows; r++) {
      const from = aAt + r * columns;
      let sum0 = 0;
      let sum1 = 0;
      let sum2 = 0;
      let sum3 = 0;
      for (let j = 0; j < columns; j++) {
        const value = a[from + j];
        sum0 += value * b[b0 + j];
        sum1 += value * b[b1 + j];
        sum2 += value * b[b2 + j];
        sum3 += value * b[b3 + j];
      }
      const to = cAt + r * inner + k;
      c[to] += sum0;
      c[to + 1] += sum1;
      c[to + 2] += sum2;
      c[to + 3] += sum3;
    }
  }
  for (; k < inner; k++) {
    const b0 = bAt + k * columns;
    for (let r = 0; r < rows; r++) {
      const from = aAt + r * columns;
      let sum = 0;
      for (let j = 0; j < columns; j++) sum += a[from + j] * b[b0 + j];
      c[cAt + r * inner + k] += sum;
    }
  }
}

/** `C[r, :] = row` for each of `rows` rows: a bias before the products are added. */
export function fillRows(c: Float64Array, row: Float64Array, rowAt: number, rows: number, columns: number): void {
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < columns; j++) c[r * columns + j] = row[rowAt + j];
  }
}

/** `row += sum over r of A[r, :]`: the gradient of a bias. */
export function addColumnSums(row: Float64Array, rowAt: number, a: Float64Array, rows: number, columns: number): void {
  for (let r = 0; r < rows; r++) {
    for (let j = 0; j < columns; j++) row[rowAt + j] += a[r * columns + j];
  }
}
