/** The little linear algebra that fitting a recipe takes: a penalised solve and leading eigenvectors, in float64. */

/**
 * Solves (A + penalty I) x = b by Cholesky's decomposition; undefined when the matrix is not positive definite.
 *
 * @param matrix `[K, K]`, of which the lower triangle is read
 * @param penalty `[K]` what is added to the diagonal
 * @param right `[K]`
 */
export function solvePenalised(
  matrix: Float64Array,
  penalty: Float64Array | number,
  right: Float64Array,
): Float64Array | undefined {
  const lower = decompose(matrix, penalty, right.length);
  return lower && substitute(lower, right);
}

/** Cholesky's lower triangle of A + penalty I, for {@link substitute}; undefined when that is not positive definite. */
export function decompose(matrix: Float64Array, penalty: Float64Array | number, K: number): Float64Array | undefined {
  const lower = Float64Array.from(matrix);
  for (let i = 0; i < K; i++) {
    lower[i * K + i] += typeof penalty === 'number' ? penalty : penalty[i];
    for (let j = 0; j <= i; j++) {
      let value = lower[i * K + j];
      for (let k = 0; k < j; k++) value -= lower[i * K + k] * lower[j * K + k];
      if (i !== j) lower[i * K + j] = value / lower[j * K + j];
      else if (value > 0) lower[i * K + i] = Math.sqrt(value);
      else return undefined;
    }
  }
  return lower;
}

/** Solves L L' x = b. */
export function substitute(lower: Float64Array, right: Float64Array): Float64Array {
  const K = right.length;
  const x = Float64Array.from(right);
  for (let i = 0; i < K; i++) {
    for (let k = 0; k < i; k++) x[i] -= lower[i * K + k] * x[k];
    x[i] /= lower[i * K + i];
  }
  for (let i = K - 1; i >= 0; i--) {
    for (let k = i + 1; k < K; k++) x[i] -= lower[k * K + i] * x[k];
    x[i] /= lower[i * K + i];
  }
  return x;
}

/** Numbers that {@link addProducts} holds in registers: it wants rows of a multiple of so many. */
const TILE = 4;

/** The least width for {@link addProducts} that holds `count` numbers; what is beyond them stays 0. */
export const paddedWidth = (count: number): number => Math.ceil(count / TILE) * TILE;

/**
 * Adds X' X to `sums` `[width, width]`: its lower triangle, and some numbers above it. A tile of 2 x 4 sums stays in
 * registers while it goes over the rows, so a few dozen rows that stay in the cache are best.
 *
 * @param rows X `[count, width]`
 * @param width a {@link paddedWidth}
 */
export function addProducts(sums: Float64Array, width: number, rows: Float64Array, count: number): void {
  const end = count * width;
  for (let i = 0; i < width; i += 2) {
    for (let j = 0; j <= i + 1; j += TILE) {
      let a0 = 0;
      let a1 = 0;
      let a2 = 0;
      let a3 = 0;
      let b0 = 0;
      let b1 = 0;
      let b2 = 0;
      let b3 = 0;
      for (let p = i, q = j; p < end; p += width, q += width) {
        const x = rows[p];
        const y = rows[p + 1];
        const u = rows[q];
        const v = rows[q + 1];
        const w = rows[q + 2];
        const z = rows[q + 3];
        a0 += x * u;
        a1 += x * v;
        a2 += x * w;
        a3 += x * z;
        b0 += y * u;
        b1 += y * v;
        b2 += y * w;
        b3 += y * z;
      }
      const at = i * width + j;
      sums[at] += a0;
      sums[at + 1] += a1;
      sums[at + 2] += a2;
      sums[at + 3] += a3;
      sums[at + width] += b0;
      sums[at + width + 1] += b1;
      sums[at + width + 2] += b2;
      sums[at + width + 3] += b3;
    }
  }
}

const ROUNDS = 60;

/**
 * The `count` leading eigenvectors of a symmetric positive semi-definite matrix, as rows `[count, n]`, by orthogonal
 * iteration from fixed starting vectors: the same matrix gives the same bits. The last ones may still be mixed with
 * their neighbours in the spectrum; they span nearly the same space.
 *
 * @param matrix `[n, n]`, whole
 */
export function leadingVectors(matrix: Float64Array, n: number, count: number): Float64Array {
  let vectors = Float64Array.from({ length: count * n }, (_, i) => Math.cos((1 + Math.floor(i / n)) * (1 + (i % n))));
  orthonormalise(vectors, n, count);
  for (let round = 0; round < ROUNDS; round++) {
    const next = new Float64Array(count * n);
    for (let v = 0; v < count; v++) {
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = 0, a = i * n, b = v * n; j < n; j++) sum += matrix[a + j] * vectors[b + j];
        next[v * n + i] = sum;
      }
    }
    orthonormalise(next, n, count);
    vectors = next;
  }
  return vectors;
}

/** Modified Gram-Schmidt on the rows; a row that depends on the earlier ones becomes zero. */
function orthonormalise(rows: Float64Array, n: number, count: number): void {
  for (let v = 0; v < count; v++) {
    let before = 0;
    for (let i = 0; i < n; i++) before += rows[v * n + i] ** 2;
    for (let u = 0; u < v; u++) {
      let dot = 0;
      for (let i = 0; i < n; i++) dot += rows[u * n + i] * rows[v * n + i];
      for (let i = 0; i < n; i++) rows[v * n + i] -= dot * rows[u * n + i];
    }
    let square = 0;
    for (let i = 0; i < n; i++) square += rows[v * n + i] ** 2;
    const scale = square > 1e-20 * before && square > 0 ? 1 / Math.sqrt(square) : 0;
    for (let i = 0; i < n; i++) rows[v * n + i] *= scale;
  }
}
