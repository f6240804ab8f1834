/**
 * The recipe `returns`: each window is measured by its own volatility and volume, so that a calm fund and a wild
 * stock look alike to the network and neither drowns the other in the loss. Beside a symbol's own minutes it sees what
 * the market says of it (`market-model.ts`), and the forecast starts from a straight line (`linear-forecast.ts`): the
 * network is trained on the quantiles of what that leaves over. Formulas: `docs/concepts/features.md`.
 *
 * Scaled inputs are bounded for T = 60: |return| by sqrt(T) = 7.7, range by 4 sqrt(T) = 31, volume by sqrt(T), because
 * each is divided by a root mean square that contains it.
 */
import type { DecodedOutputs, Recipe, WindowSet } from './recipe.ts';
import { fit, fitting, fitWork, type ReturnsFitStep } from './returns-fit.ts';
import { COLUMNS, F, RETURNS_ROWS, STRAIN, TURBULENCE, WINDOW_LENGTH } from './returns-rows.ts';
import { linearOf, liquidityOf, scale, targets } from './returns-scales.ts';

/** Quantile levels of the outputs: the middles of 15 equal parts, so that their mean is the forecast's. */
export const QUANTILE_LEVELS = Array.from({ length: 15 }, (_, i) => (2 * i + 1) / 30);
const O = QUANTILE_LEVELS.length;
/** Outputs of the levels 0.1 and 0.9. */
const [LOW, HIGH] = [1, 13];
/** The interval's ends lie at least this many volatilities from the forecast. */
const LEAST_DISTANCE = 0.02;

/** The linear forecast and the mean of the quantiles, times the volatility; the interval's ends are two of them. */
function decode(output: Float32Array, windows: WindowSet): DecodedOutputs {
  const { volatility, matrix, starts } = windows;
  const N = volatility.length;
  const linear = new Float64Array(N);
  const network = new Float64Array(N);
  const below = new Float64Array(N);
  const above = new Float64Array(N);
  const strain = new Float64Array(N);
  const turbulence = new Float64Array(N);
  const liquidity = new Float64Array(N);
  for (let w = 0; w < N; w++) {
    let sum = 0;
    for (let o = 0; o < O; o++) sum += output[w * O + o];
    const mean = sum / O;
    linear[w] = linearOf(windows, w) * volatility[w];
    network[w] = mean * volatility[w];
    below[w] = Math.max(LEAST_DISTANCE, mean - output[w * O + LOW]) * volatility[w];
    above[w] = Math.max(LEAST_DISTANCE, output[w * O + HIGH] - mean) * volatility[w];
    strain[w] = matrix[(starts[w] + WINDOW_LENGTH - 1) * COLUMNS + STRAIN];
    let turbulent = 0;
    for (let t = 0; t < WINDOW_LENGTH; t++) turbulent += matrix[(starts[w] + t) * COLUMNS + TURBULENCE];
    turbulence[w] = turbulent / WINDOW_LENGTH;
    liquidity[w] = liquidityOf(windows, w);
  }
  return { parts: [linear, network], below, above, strain, turbulence, liquidity };
}

export const returnsRecipe: Recipe = {
  name: 'returns',
  version: 4,
  ...RETURNS_ROWS,
  network: {
    windowLength: WINDOW_LENGTH,
    features: F,
    lstm: [32],
    dropout: 0.1,
    dense: [
      { units: 32, activation: 'relu' },
      { units: O, activation: 'linear' },
    ],
  },
  training: {
    epochs: 6,
    batch: 256,
    loss: { kind: 'pinball', levels: QUANTILE_LEVELS },
    optimizer: { learningRate: 2e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weightDecay: 1e-2, clipNorm: 1 },
    validationSplit: 'chronological',
    validationShare: 0.15,
    patience: 3,
    schedule: 'cosine',
    calibrateAmplitude: true,
  },
  targets,
  decode,
  fit,
  fitting,
  fitWork: (step) => fitWork(step as ReturnsFitStep),
  scale,
};
