/** Which models forecast: one that is active and, if there is one, a shadow that forecasts silently and is scored. */
import type { Predictor } from './forecast.ts';

/** A model that forecasts, and the one that is tried out beside it. */
export interface ModelPair {
  readonly active: Predictor;
  readonly shadow?: Predictor;
}

/** Which models forecast now. Asked once for each batch, so that no minute is a mixture of two. */
export interface ModelSource {
  /**
   * A model that was answered stays usable, also after others have taken its place: a batch ends with the models it
   * began with, even when a forecaster that died began it.
   */
  current(): ModelPair;
  /** Closes what the source opened itself. */
  close(): Promise<void>;
}

/** Always these models. Their owner closes them. */
export function fixedModel(active: Predictor, shadow?: Predictor): ModelSource {
  const models = shadow === undefined ? { active } : { active, shadow };
  return { current: () => models, close: async () => {} };
}
