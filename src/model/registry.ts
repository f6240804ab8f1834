/**
 * The registry: a folder of models, each with its versions and a pointer to the current one.
 *
 *     models/NAME/versions/VERSION/{model.json, weights.safetensors}
 *     models/NAME/current.json      {"version": …, "previous": […], "shadow": …}, replaced atomically
 *
 * A version is written under a temporary name and renamed when it is whole; it is never changed afterwards. A running
 * server reads `current.json` about once a second, so that promote, rollback and shadow need no restart.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { BarcastError, isTemporaryName, syncDirectory, temporaryName, writeFileAtomic } from '../base/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { type ModelDescription, parseDescription } from './description.ts';
import { Model } from './model.ts';
import { decodeSafetensors, encodeSafetensors } from './safetensors.ts';
import { weightsFromTensors, weightsHash, weightsToTensors } from './weights.ts';

const DESCRIPTION = 'model.json';
const WEIGHTS = 'weights.safetensors';

/** What `current.json` says: which version forecasts. */
export interface Current {
  readonly version: string;
  /** Versions that were current before, latest last. */
  readonly previous: readonly string[];
  /** `NAME@VERSION` of a model that forecasts silently beside it and is scored. */
  readonly shadow?: string;
}

/** What a model's folder holds. */
export interface StoredModel {
  readonly description: ModelDescription;
  readonly weights: Float32Array;
}

export interface RegistryEntry {
  readonly name: string;
  readonly current: string | null;
  readonly shadow: string | null;
  readonly versions: readonly string[];
}

const MODEL_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** @throws BARCAST_E_USAGE for a name that cannot be a folder's */
export function checkModelName(name: string): string {
  if (!MODEL_NAME.test(name)) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      `'${name}' cannot be a model's name`,
      'use up to 64 letters, digits, dots, dashes and underscores',
    );
  }
  return name;
}

const missing = (reference: string, models: string) =>
  new BarcastError(
    'BARCAST_E_MODEL_MISSING',
    `there is no model '${reference}' in ${models}`,
    "'barcast models list' shows what there is; 'barcast train' makes one",
  );

function parseCurrent(text: string): Current | undefined {
  try {
    const { version, previous, shadow } = JSON.parse(text) ?? {};
    const texts = [
      version,
      ...(Array.isArray(previous) ? previous : [undefined]),
      ...(shadow === undefined ? [] : [shadow]),
    ];
    return texts.every((it) => typeof it === 'string' && it !== '') ? { version, previous, shadow } : undefined;
  } catch {
    return undefined;
  }
}

function subfolders(path: string): string[] {
  if (!existsSync(path)) return [];
  const folders = readdirSync(path, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && !isTemporaryName(entry.name),
  );
  return folders.map((entry) => entry.name).sort();
}

export class Registry {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  #folder(name: string): string {
    return join(this.directory, checkModelName(name));
  }

  /** What forecasts under a name; undefined while no version was promoted. @throws BARCAST_E_MODEL_FORMAT */
  current(name: string): Current | undefined {
    const path = join(this.#folder(name), 'current.json');
    if (!existsSync(path)) return undefined;
    const current = parseCurrent(readFileSync(path, 'utf8'));
    if (current !== undefined) return current;
    throw new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${path} does not name a version`,
      `delete it, then 'barcast models promote ${name}@VERSION' writes it anew`,
    );
  }

  list(): RegistryEntry[] {
    return subfolders(this.directory)
      .map((name) => ({ name, versions: subfolders(join(this.directory, name, 'versions')) }))
      .filter(({ versions }) => versions.length > 0)
      .map(({ name, versions }) => {
        const current = this.current(name);
        return { name, current: current?.version ?? null, shadow: current?.shadow ?? null, versions };
      });
  }

  /** The folder of a model named `NAME` (its current version), `NAME@VERSION`, or by a path. @throws BARCAST_E_MODEL_MISSING */
  resolve(reference: string): string {
    if (existsSync(join(reference, DESCRIPTION))) return reference;
    const [name, version] = reference.split('@', 2);
    if (!MODEL_NAME.test(name)) throw missing(reference, this.directory);
    const chosen = version ?? this.current(name)?.version;
    const folder = chosen ? join(this.#folder(name), 'versions', chosen) : undefined;
    if (!folder || !existsSync(join(folder, DESCRIPTION))) throw missing(reference, this.directory);
    return folder;
  }

  show(reference: string): ModelDescription {
    const path = join(this.resolve(reference), DESCRIPTION);
    return parseDescription(readFileSync(path, 'utf8'), path);
  }

  /** Writes a new version whole or not at all; one that is there already is left as it is. Answers its folder. */
  save(description: ModelDescription, weights: Float32Array): string {
    const versions = join(this.#folder(description.name), 'versions');
    if (existsSync(join(versions, description.version))) return join(versions, description.version);
    mkdirSync(versions, { recursive: true });
    for (const entry of readdirSync(versions))
      if (isTemporaryName(entry)) rmSync(join(versions, entry), { recursive: true, force: true });
    const target = join(versions, description.version);
    const temporary = temporaryName(target);
    try {
      mkdirSync(temporary);
      writeModel(temporary, description, weights);
      renameSync(temporary, target);
      syncDirectory(versions);
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw error;
    }
    return target;
  }

  /** Makes a version the current one; it is no shadow then. @throws BARCAST_E_MODEL_MISSING */
  promote(name: string, version: string): void {
    this.resolve(`${name}@${version}`);
    const now = this.current(name);
    if (now?.version === version) return;
    const previous = now ? [...now.previous, now.version] : [];
    const shadow = now?.shadow === `${name}@${version}` ? undefined : now?.shadow;
    this.#point(name, { version, previous, shadow });
  }

  /**
   * Lets a second model forecast silently beside the current one, or none.
   * @param reference `NAME@VERSION`, or `NAME` for its current version
   * @returns the shadow as `NAME@VERSION`
   * @throws BARCAST_E_MODEL_MISSING; BARCAST_E_USAGE for the version that forecasts already
   */
  shadow(name: string, reference: string | undefined): string | undefined {
    const now = this.current(name);
    if (now === undefined) throw missing(name, this.directory);
    const shadow = reference && this.#fullReference(reference);
    if (shadow === `${name}@${now.version}`) {
      throw new BarcastError(
        'BARCAST_E_USAGE',
        `${shadow} is the current version of '${name}' and forecasts already`,
        'name another version or another model as its shadow',
      );
    }
    this.#point(name, { ...now, shadow });
    return shadow;
  }

  /** `NAME@VERSION` of a model in this registry. @throws BARCAST_E_MODEL_MISSING */
  #fullReference(reference: string): string {
    const [name, version] = reference.split('@', 2);
    if (!MODEL_NAME.test(name)) throw missing(reference, this.directory);
    const full = `${name}@${version ?? this.current(name)?.version ?? ''}`;
    this.resolve(full);
    return full;
  }

  /** Makes the version current that was so before; answers it. @throws BARCAST_E_MODEL_MISSING when there is none */
  rollback(name: string): string {
    const now = this.current(name);
    const version = now?.previous.at(-1);
    if (!now || version === undefined) {
      throw new BarcastError(
        'BARCAST_E_MODEL_MISSING',
        `model '${name}' has no earlier version to go back to`,
        "'barcast models show' tells its versions",
      );
    }
    this.resolve(`${name}@${version}`);
    this.#point(name, { ...now, version, previous: now.previous.slice(0, -1) });
    return version;
  }

  #point(name: string, current: Current): void {
    writeFileAtomic(join(this.#folder(name), 'current.json'), `${JSON.stringify(current, null, 2)}\n`);
  }

  /** A model's description and weights, without a kernel. @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT */
  read(reference: string): StoredModel {
    return readModelFiles(this.resolve(reference));
  }

  /** @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT */
  load(reference: string, kernel: Kernel): Promise<Model> {
    return readModel(this.resolve(reference), kernel);
  }
}

/** Writes a model's two files into a folder that exists. */
export function writeModel(folder: string, description: ModelDescription, weights: Float32Array): void {
  const metadata = {
    format: 'barcast',
    model: description.name,
    version: description.version,
    weightsHash: description.weightsHash,
  };
  writeFileAtomic(
    join(folder, WEIGHTS),
    encodeSafetensors({ tensors: weightsToTensors(description.shape, weights), metadata }),
  );
  writeFileAtomic(join(folder, DESCRIPTION), `${JSON.stringify(description, null, 2)}\n`);
}

/** The files of the model in a folder, its weights checked against the hash in its description. */
function readModelFiles(folder: string): StoredModel {
  const read = (name: string) => {
    const path = join(folder, name);
    if (!existsSync(path))
      throw new BarcastError(
        'BARCAST_E_MODEL_MISSING',
        `${path} does not exist`,
        "name a model's folder, or a model that 'barcast models list' shows",
      );
    return { path, bytes: readFileSync(path) };
  };
  const text = read(DESCRIPTION);
  const description = parseDescription(text.bytes.toString('utf8'), text.path);
  const file = read(WEIGHTS);
  const weights = weightsFromTensors(description.shape, decodeSafetensors(file.bytes, file.path), file.path);
  if (weightsHash(weights) !== description.weightsHash) {
    throw new BarcastError(
      'BARCAST_E_MODEL_FORMAT',
      `${file.path} is not the file that ${text.path} describes: the hashes of the weights differ`,
      'restore both from one copy, or train again',
    );
  }
  return { description, weights };
}

/** Opens the model in a folder. @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT */
export async function readModel(folder: string, kernel: Kernel): Promise<Model> {
  const { description, weights } = readModelFiles(folder);
  return Model.open(description, weights, kernel);
}
