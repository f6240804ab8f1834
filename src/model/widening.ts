/**
 * What widens and narrows intervals as bars come in, for all symbols at once. Both measures are functions of the
 * session's bars up to `asOf`, so live, replay and evaluation agree to the bit.
 */
import type { DecodedOutputs } from '../features/index.ts';

/** Log width per unit of strain beyond the usual one: moves of late that went beyond what came before. */
export interface StrainResponse {
  readonly usual: number;
  readonly slope: number;
}

/**
 * Log width per unit of log turbulence above the usual one: a market that is louder than it was when the interval was
 * fitted. A network that has seen calm days takes a loud hour for one that passes.
 */
export interface TurbulenceResponse {
  /** ln of the windows' mean turbulence, by hour of the session from the first. */
  readonly usual: readonly number[];
  readonly slope: number;
}

export interface Responses {
  readonly strain: StrainResponse;
  /** Absent in models that were trained before there was one, and without a market. */
  readonly turbulence?: TurbulenceResponse;
}

/** Strain counts up to this far from the usual one. */
const STRAIN_LIMIT = 0.3;
/** Turbulence counts up to this far above the usual one: four and a half times as much. */
const TURBULENCE_LIMIT = 1.5;

const strainFactor = (strain: number, { usual, slope }: StrainResponse): number =>
  slope === 0 ? 1 : Math.exp(slope * Math.max(-STRAIN_LIMIT, Math.min(STRAIN_LIMIT, strain - usual)));

/** @param turbulence 0 while the market is unknown, which widens nothing */
function turbulenceFactor(turbulence: number, hour: number, { usual, slope }: TurbulenceResponse): number {
  if (!(turbulence > 0)) return 1;
  return Math.exp(slope * Math.max(0, Math.min(TURBULENCE_LIMIT, Math.log(turbulence) - usual[hour])));
}

/** What a window's distances are multiplied by. @param hour of the session in which it is made */
export function wideningOf(
  { strain, turbulence }: Pick<DecodedOutputs, 'strain' | 'turbulence'>,
  window: number,
  hour: number,
  responses: Responses,
): number {
  const strained = strainFactor(strain[window], responses.strain);
  if (turbulence === undefined || responses.turbulence === undefined) return strained;
  return strained * turbulenceFactor(turbulence[window], hour, responses.turbulence);
}
