/** What is taken out of an HDF5 file, and what passes between the reading thread and the one that asks. */

/** What the reading thread is asked for. */
export interface Hdf5Order {
  readonly bytes: Uint8Array;
  /** Names of the root's groups to read; of the root itself only the attributes are. */
  readonly groups: readonly string[];
}

export interface Hdf5Dataset {
  readonly dimensions: readonly number[];
  /** Row-major; 64-bit numbers are rounded to 32. */
  readonly data: Float32Array;
}

export interface Hdf5Content {
  /** By path of the object (`''` for the root, then `'/a/b'`), then by name; other than text is left out. */
  readonly attributes: ReadonlyMap<string, Readonly<Record<string, string | readonly string[]>>>;
  /** By path; datasets of other types, or of more than `DATASET_LIMIT` numbers, are left out. */
  readonly datasets: ReadonlyMap<string, Hdf5Dataset>;
}

/** What the reading thread answers: the content, or why there is none. */
export type Hdf5Answer = { readonly content: Hdf5Content } | { readonly failure: string };

/** Numbers a dataset may have to be read: the largest tensor of a network of this kernel has 262,144. */
export const DATASET_LIMIT = 2 ** 20;
