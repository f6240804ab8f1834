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
  const K = right.length;
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
        for (let j = 0; j < n; j++) sum += matrix[i * n + j] * vectors[v * n + j];
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
