/**
 * The models of a registry, followed while it changes: `barcast models promote|rollback|shadow` takes effect within a
 * second, between two batches.
 *
 * A model is read, checked against its hash and warmed before it takes over; the change itself is one assignment, so a
 * batch is forecast by the model before or by the one after. A model that is broken, or still being written, is refused
 * with one line and the one before stays; it is tried again until it is whole or no longer wanted. A network is closed
 * once its model was replaced and no prediction uses it.
 */
import { BarcastError, toBarcastError } from '../base/index.ts';
import type { WindowSet } from '../features/index.ts';
import type { Kernel } from '../kernel/index.ts';
import { Model, type ModelDescription, type Predictions, type Registry, type StoredModel } from '../model/index.ts';
import type { Predictor } from './forecast.ts';
import type { ModelSource } from './model-source.ts';

/** A model that forecasts, with where it came from. */
export interface RegistryPredictor extends Predictor {
  readonly description: ModelDescription;
}

export interface ModelsInUse {
  readonly active: RegistryPredictor;
  readonly shadow?: RegistryPredictor;
}

export interface WatchedModels extends ModelSource {
  current(): ModelsInUse;
  /** Times that the models in use changed since the start. */
  readonly changes: number;
  /** Looks now instead of at the next turn; resolves once what is wanted is in use or refused. Never rejects. */
  look(): Promise<void>;
}

export interface WatchOptions {
  readonly registry: Pick<Registry, 'current' | 'read'>;
  /** The model's name in the registry. */
  readonly name: string;
  readonly kernel: Kernel;
  /** Told in one line of every model that takes over and of every model that is refused. */
  readonly notice?: (line: string) => void;
  /** Called after every change, before the next batch. */
  readonly onChange?: (models: ModelsInUse) => void;
  /** Why a model cannot be used here, or undefined when it can. */
  readonly objection?: (description: ModelDescription) => string | undefined;
  readonly everyMs?: number;
}

const EVERY_MS = 1000;
/** Sequences of the forward pass that warms a model: threads, scratch memory and caches are there afterwards. */
const WARM_UP_SEQUENCES = 512;

/**
 * Opens the current version of a model and its shadow and follows the registry from then on.
 * @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT when the current version cannot be used
 */
export async function watchRegistry(options: WatchOptions): Promise<WatchedModels> {
  const watcher = new RegistryWatcher(options);
  await watcher.open();
  return watcher;
}

/** References of what should forecast. */
interface Wanted {
  readonly active: string;
  readonly shadow?: string;
}

/** Without an active model only before the first is loaded. */
interface OpenModels {
  readonly active?: OpenModel;
  readonly shadow?: OpenModel;
}

class RegistryWatcher implements WatchedModels {
  readonly #options: WatchOptions;
  readonly #say: (line: string) => void;
  #models: OpenModels = {};
  /** The wish that is in force whole; another one, or one that met a refusal, is worked on at every turn. */
  #settled = '';
  #changes = 0;
  #looking: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Refusals that were told, by what was wanted: one line each, not one a second. */
  readonly #told = new Map<string, string>();

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#say = options.notice ?? (() => {});
  }

  get changes(): number {
    return this.#changes;
  }

  current(): ModelsInUse {
    const { active, shadow } = this.#models;
    if (active === undefined) throw new Error('the registry is not open');
    return shadow === undefined ? { active } : { active, shadow };
  }

  async open(): Promise<void> {
    this.#models = { active: await this.#load(this.#wanted().active) };
    await this.#refresh();
    this.#timer = setInterval(() => void this.look(), this.#options.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  look(): Promise<void> {
    this.#looking = this.#looking.then(() => this.#refresh());
    return this.#looking;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#looking;
    this.#models.active?.retire();
    this.#models.shadow?.retire();
  }

  /** @throws BARCAST_E_MODEL_MISSING, BARCAST_E_MODEL_FORMAT */
  #wanted(): Wanted {
    const { registry, name } = this.#options;
    const current = registry.current(name);
    if (current === undefined) {
      throw new BarcastError(
        'BARCAST_E_MODEL_MISSING',
        `no version of model '${name}' is the current one`,
        `'barcast models promote ${name}@VERSION' makes one so`,
      );
    }
    return { active: `${name}@${current.version}`, shadow: current.shadow };
  }

  async #refresh(): Promise<void> {
    if (this.#closed) return;
    const before = this.#models!;
    let wanted: Wanted;
    try {
      wanted = this.#wanted();
      this.#told.delete('registry');
    } catch (error) {
      this.#refuse('registry', error);
      return;
    }
    const asked = `${wanted.active} ${wanted.shadow ?? ''}`;
    if (asked === this.#settled) return;
    const active = await this.#loadOrRefuse(wanted.active);
    const shadow = wanted.shadow === undefined ? undefined : await this.#loadOrRefuse(wanted.shadow);
    const next = this.#choose(before, wanted, active, shadow);
    for (const model of new Set([before.active, before.shadow, active, shadow]))
      if (model !== next.active && model !== next.shadow) model?.retire();
    // What was refused is tried again at the next turn.
    const whole = active !== undefined && (wanted.shadow === undefined || shadow !== undefined);
    this.#settled = whole ? asked : '';
    this.#use(before, next);
  }

  /** What is wanted where it could be loaded, otherwise what there was. A model is not its own shadow. */
  #choose(
    before: OpenModels,
    wanted: Wanted,
    active: OpenModel | undefined,
    shadow: OpenModel | undefined,
  ): OpenModels {
    if (this.#closed) return {};
    const chosen = active ?? before.active!;
    const silent = wanted.shadow === undefined ? undefined : (shadow ?? before.shadow);
    return silent === undefined || silent.weightsHash === chosen.weightsHash
      ? { active: chosen }
      : { active: chosen, shadow: silent };
  }

  #use(before: OpenModels, next: OpenModels): void {
    const { active, shadow } = next;
    if (active === undefined || (active === before.active && shadow === before.shadow)) return;
    this.#models = next;
    this.#changes++;
    if (active !== before.active) this.#say(`model ${active.told} forecasts now, in place of ${before.active!.told}`);
    if (shadow !== before.shadow)
      this.#say(shadow ? `model ${shadow.told} forecasts silently now, as a shadow` : 'no model is the shadow now');
    this.#options.onChange?.(this.current());
  }

  async #loadOrRefuse(reference: string): Promise<OpenModel | undefined> {
    const { active, shadow } = this.#models;
    for (const model of [active, shadow]) if (model?.reference === reference) return model;
    try {
      const loaded = await this.#load(reference);
      this.#told.delete(reference);
      return loaded;
    } catch (error) {
      this.#refuse(reference, error);
      return undefined;
    }
  }

  #refuse(what: string, error: unknown): void {
    const { line } = toBarcastError(error);
    if (this.#told.get(what) === line) return;
    this.#told.set(what, line);
    const subject = what === 'registry' ? 'the registry cannot be read' : `model ${what} is refused`;
    this.#say(`${subject}, ${this.#models.active!.told} goes on: ${line}`);
  }

  async #load(reference: string): Promise<OpenModel> {
    const { registry, kernel, objection } = this.#options;
    const stored = registry.read(reference);
    const reason = objection?.(stored.description);
    if (reason !== undefined) {
      throw new BarcastError(
        'BARCAST_E_MODEL_FORMAT',
        `${reference} cannot be used here: ${reason}`,
        'start anew with it',
      );
    }
    const model = new OpenModel(reference, stored, kernel);
    await model.warmUp();
    return model;
  }
}

/** A stored model with its network, which is closed when nothing needs it and opened again should a late call come. */
class OpenModel implements RegistryPredictor {
  readonly reference: string;
  readonly description: ModelDescription;
  readonly #weights: Float32Array;
  readonly #kernel: Kernel;
  /** Known once it is warm. */
  #facts: Pick<Predictor, 'recipe' | 'scaler' | 'level'> | undefined;
  #model: Promise<Model> | undefined;
  #users = 0;
  #retired = false;

  constructor(reference: string, { description, weights }: StoredModel, kernel: Kernel) {
    this.reference = reference;
    this.description = description;
    this.#weights = weights;
    this.#kernel = kernel;
  }

  get name(): string {
    return this.description.name;
  }

  get weightsHash(): string {
    return this.description.weightsHash;
  }

  /** How lines name it. */
  get told(): string {
    return `${this.reference} (weights ${this.weightsHash.slice(0, 10)})`;
  }

  get recipe() {
    return this.#known.recipe;
  }

  get horizonMinutes(): number {
    return this.#known.recipe.horizonMinutes;
  }

  get level(): number {
    return this.#known.level;
  }

  get scaler() {
    return this.#known.scaler;
  }

  get #known(): Pick<Predictor, 'recipe' | 'scaler' | 'level'> {
    if (this.#facts === undefined) throw new Error('the model is not warm yet');
    return this.#facts;
  }

  /** @throws BARCAST_E_MODEL_FORMAT for a bare network; BARCAST_E_NOT_FINITE for one that answers no numbers */
  async warmUp(): Promise<void> {
    await this.#use(async (model) => {
      const { recipe, scaler, level } = model;
      const { windowLength, features } = this.description.shape;
      const inputs = new Float32Array(WARM_UP_SEQUENCES * windowLength * features);
      const outputs = await model.forward(inputs, WARM_UP_SEQUENCES);
      if (!outputs.every(Number.isFinite)) {
        const what = `${this.reference} answers a quiet market with something that is no number`;
        throw new BarcastError('BARCAST_E_NOT_FINITE', what, 'train it again');
      }
      this.#facts = { recipe, scaler, level };
    }).catch((error) => {
      this.retire();
      throw error;
    });
  }

  predict(windows: WindowSet): Promise<Predictions> {
    return this.#use((model) => model.predict(windows));
  }

  /** Frees the network as soon as no prediction uses it. */
  retire(): void {
    this.#retired = true;
    this.#closeIfIdle();
  }

  async #use<T>(work: (model: Model) => Promise<T>): Promise<T> {
    this.#users++;
    try {
      this.#model ??= Model.open(this.description, this.#weights, this.#kernel);
      return await work(await this.#model);
    } finally {
      this.#users--;
      this.#closeIfIdle();
    }
  }

  #closeIfIdle(): void {
    if (!this.#retired || this.#users > 0 || this.#model === undefined) return;
    void this.#model.then(
      (model) => model.close(),
      () => {},
    );
    this.#model = undefined;
  }
}
