/** Which symbols' bars a scaler's forecasts rest on, beside a symbol's own. */
import type { FittedScaler } from './recipe.ts';

/** The market's references; none for a recipe that looks at each symbol alone. */
export const referencesOf = ({ references }: FittedScaler): readonly string[] =>
  Array.isArray(references) ? (references as readonly string[]) : [];
