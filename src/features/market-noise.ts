/** How much of each reference's one-minute return is its own: the weight that it has in the estimate of a minute's factors. */
import type { SymbolsStep } from './market-loadings.ts';

/** A reference that follows the factors to the last digit counts as if at least this share of its deviation was its own. */
const LEAST_SHARE = 0.5;

/**
 * @param returns `[n, T]` one-minute returns of the references
 * @param series `[T, K]` factor returns of each minute
 * @param deviations `[n]` root mean square of the returns
 * @returns `[n]` root mean square of what loadings times factors leave over
 */
export function residualDeviations(
  { factors: K, references, fitted, loadings }: SymbolsStep,
  returns: Float64Array,
  series: Float64Array,
  deviations: Float32Array,
): Float32Array {
  const T = series.length / K;
  return Float32Array.from(references, (symbol, j) => {
    if (fitted[symbol] === 0) return deviations[j];
    const own = loadings.subarray(symbol * K, (symbol + 1) * K);
    let squares = 0;
    for (let t = 0, at = 0; t < T; t++) {
      let left = returns[j * T + t];
      for (let k = 0; k < K; k++) left -= own[k] * series[at++];
      squares += left * left;
    }
    return Math.max(LEAST_SHARE * deviations[j], Math.sqrt(squares / T));
  });
}
