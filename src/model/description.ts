/**
 * What stands in a model's `model.json`: everything a forecast needs besides the weights, and where the model came
 * from. The weights lie beside it in `weights.safetensors`.
 */
import { BarcastError } from '../base/index.ts';
import { type FittedScaler, type Recipe, recipeOf } from '../features/index.ts';
import { checkShape, type KernelName, type NetworkShape } from '../kernel/index.ts';
import type { Calibration } from './calibration.ts';

/** Where a model came from. */
export interface Provenance {
  readonly barcast: string;
  readonly trainedAt: string;
  /** The bars it was fitted on, ISO 8601: first window's first bar, and the end of the last target. */
  readonly from: string;
  readonly to: string;
  readonly symbols: readonly string[];
  readonly windows: number;
  readonly seed: number;
  readonly kernel: KernelName;
  readonly epochs: number;
  readonly steps: number;
  readonly trainLoss: number;
  readonly validation: Validation;
  /** Losses of every epoch, in their order; absent in models of earlier versions. */
  readonly history?: readonly EpochLosses[];
}

/** Mean losses of one epoch, numbered from 1. */
export interface EpochLosses {
  readonly epoch: number;
  readonly trainLoss: number;
  readonly validationLoss: number;
}

/** What the validation part said when training ended. */
export interface Validation {
  readonly windows: number;
  readonly loss: number;
  /** 1 - MSE / MSE of persistence, after calibration, on returns divided by the window's own volatility. */
  readonly skillScaled: number;
  /** The epoch whose weights were kept, from 1. */
  readonly epoch: number;
}

export interface ModelDescription {
  readonly format: 1;
  readonly name: string;
  readonly version: string;
  /** Absent for an imported network, which answers `forward` alone. */
  readonly recipe?: { readonly name: Recipe['name']; readonly version: number };
  readonly shape: NetworkShape;
  readonly scaler?: FittedScaler;
  readonly calibration?: Calibration;
  readonly weightsHash: string;
  readonly provenance?: Provenance;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads and checks a `model.json`. @throws BARCAST_E_MODEL_FORMAT */
export function parseDescription(text: string, source: string): ModelDescription {
  const refuse = (what: string, cause?: unknown): never => {
    throw new BarcastError('BARCAST_E_MODEL_FORMAT', `${source}: ${what}`, 'restore it from a copy, or train again', {
      cause,
    });
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    refuse('it is not JSON', error);
  }
  if (!isRecord(value) || value.format !== 1) return refuse('it is not the description of a barcast model of format 1');
  const description = value as unknown as ModelDescription;
  for (const key of ['name', 'version', 'weightsHash'] as const) {
    if (typeof description[key] !== 'string') refuse(`'${key}' is missing`);
  }
  if (!isRecord(description.shape) || !Array.isArray(description.shape.lstm) || !Array.isArray(description.shape.dense))
    refuse("'shape' is missing");
  try {
    checkShape(description.shape);
  } catch (error) {
    refuse((error as Error).message, error);
  }
  if (description.recipe) {
    const recipe = recipeOf(description.recipe.name);
    if (recipe.version !== description.recipe.version) {
      throw new BarcastError(
        'BARCAST_E_MODEL_FORMAT',
        `${source}: it was trained with version ${description.recipe.version} of recipe '${recipe.name}', and this barcast has version ${recipe.version}`,
        'train again, or use the barcast that trained it',
      );
    }
    if (!isRecord(description.scaler)) refuse("'scaler' is missing");
    if (!isRecord(description.calibration)) refuse("'calibration' is missing");
  }
  return description;
}
