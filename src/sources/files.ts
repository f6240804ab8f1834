/**
 * Bars from files: finds them, reads their headers, checks that gzipped ones are whole, and stages them by layout.
 * Everything is looked at before the store is touched.
 */
import { closeSync, createReadStream, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { constants, createGunzip, gunzipSync } from 'node:zlib';
import { parseSymbol } from '../bars/index.ts';
import { BarcastError, type EpochMs, type Progress, systemErrorCode } from '../base/index.ts';
import { type BarFile, type BarFileLayout, type IngestTransaction, parquetColumns } from '../store/index.ts';
import { csvLayouts, type NamedLayout, parquetLayouts } from './layout.ts';

/** Files that share a layout. */
export interface FileGroup {
  readonly layout: BarFileLayout;
  readonly files: readonly BarFile[];
}

const BAR_FILE = /^(.+?)\.(?:csv(?:\.gz)?|parquet)$/i;
/** The header is within the first bytes. */
const HEAD_BYTES = 64 * 1024;
/** Inflated whole up to this size, as a stream beyond it. */
const INFLATE_WHOLE_BYTES = 16 * 1024 * 1024;

/**
 * The bar files that a list of files and folders names, in its order, each once. A folder stands for the bar files
 * directly inside it, sorted by name.
 * @throws BARCAST_E_FILE_MISSING, BARCAST_E_FILE_FORMAT for a file that is no CSV, CSV.gz or Parquet by its name
 */
export function findBarFiles(names: readonly string[]): string[] {
  if (names.length === 0) {
    throw new BarcastError(
      'BARCAST_E_USAGE',
      'no files were named',
      'name CSV, CSV.gz or Parquet files, or folders of them',
    );
  }
  const found = names.flatMap((name) => {
    const path = resolve(name);
    if (statOf(path).isDirectory()) {
      const inside = readdirSync(path).filter((file) => BAR_FILE.test(file));
      if (inside.length === 0) throw missing(path, 'holds no CSV, CSV.gz or Parquet file');
      return inside.sort().map((file) => join(path, file));
    }
    if (!BAR_FILE.test(path)) throw badFile(path, 'is no .csv, .csv.gz or .parquet file by its name');
    return [path];
  });
  return [...new Set(found)];
}

/**
 * Reads the header of every file and checks the gzipped ones to their end.
 * @throws BARCAST_E_FILE_FORMAT naming the file
 */
export async function groupBarFiles(paths: readonly string[], progress: Progress): Promise<FileGroup[]> {
  const parquet = paths.filter((path) => /\.parquet$/i.test(path));
  const columnsOf = await parquetColumns(parquet);
  const groups = new Map<string, { layout: BarFileLayout; files: BarFile[] }>();
  for (const [position, path] of paths.entries()) {
    const columns = columnsOf.get(path);
    const layouts = columns === undefined ? await layoutsOfCsv(path) : layoutsIn(path, () => parquetLayouts(columns));
    for (const { layout, ticker } of layouts) {
      const symbol = layout.symbol === undefined ? symbolOf(path, ticker) : '';
      const key = JSON.stringify(layout);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { layout, files: [{ path, symbol, position }] });
      else group.files.push({ path, symbol, position });
    }
    progress.update('checking files', position + 1, paths.length);
  }
  return [...groups.values()];
}

/** Stages groups of files. @throws BARCAST_E_FILE_FORMAT naming the file, and the line where it is known */
export async function stageFileGroups(
  transaction: IngestTransaction,
  groups: readonly FileGroup[],
  askedAt: EpochMs,
  progress: Progress,
): Promise<void> {
  const total = groups.reduce((sum, { files }) => sum + files.length, 0);
  let done = 0;
  for (const { files, layout } of groups) {
    progress.update('reading files', done, total);
    await transaction.addFiles(files, layout, askedAt);
    done += files.length;
  }
  progress.update('reading files', total, total);
}

function symbolOf(path: string, ticker: string | undefined): string {
  const name = ticker ?? BAR_FILE.exec(basename(path))![1]!;
  try {
    return parseSymbol(name);
  } catch (error) {
    const where = ticker === undefined ? 'its name' : 'its header';
    throw badFile(path, `has neither a symbol column nor a symbol as ${where} (${JSON.stringify(name)})`, error);
  }
}

async function layoutsOfCsv(path: string): Promise<NamedLayout[]> {
  const gzip = /\.gz$/i.test(path);
  const head = gzip ? await inflateHead(path) : readHead(path);
  if (head.length === 0) throw badFile(path, 'is empty');
  // A header is plain text in all the encodings that read_csv takes here, so a zero byte or broken UTF-8 is none.
  const text = head.toString('utf8').replace(/^\uFEFF/, '');
  const firstLine = text.split('\n', 1)[0]!;
  if (firstLine.includes('\0') || firstLine.includes('\uFFFD')) throw badFile(path, 'is binary or not UTF-8 text');
  return layoutsIn(path, () => csvLayouts(text, gzip));
}

function layoutsIn(path: string, read: () => NamedLayout[]): NamedLayout[] {
  try {
    return read();
  } catch (error) {
    throw badFile(path, `has ${(error as Error).message}`, error);
  }
}

function readHead(path: string): Buffer {
  const buffer = Buffer.alloc(HEAD_BYTES);
  const handle = openSync(path, 'r');
  try {
    return buffer.subarray(0, readSync(handle, buffer));
  } finally {
    closeSync(handle);
  }
}

/**
 * The first bytes of a gzipped file, after inflating all of it: its checksum tells a truncated file, which DuckDB
 * would take for a short one.
 */
async function inflateHead(path: string): Promise<Buffer> {
  try {
    if (statSync(path).size <= INFLATE_WHOLE_BYTES) return gunzipSync(readFileSync(path)).subarray(0, HEAD_BYTES);
    const head = Buffer.alloc(HEAD_BYTES);
    let filled = 0;
    await pipeline(createReadStream(path), createGunzip(), async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) filled += chunk.copy(head, filled);
    });
    return head.subarray(0, filled);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    if (!code.startsWith('Z_')) throw error;
    const truncated = code === 'Z_BUF_ERROR' || (error as { errno?: number }).errno === constants.Z_BUF_ERROR;
    throw badFile(path, truncated ? 'is truncated' : 'is not a gzip file, or a damaged one', error);
  }
}

function statOf(path: string) {
  try {
    return statSync(path);
  } catch (error) {
    const code = systemErrorCode(error);
    throw missing(path, code === 'ENOENT' || code === 'ENOTDIR' ? 'does not exist' : 'cannot be read', error);
  }
}

const missing = (path: string, what: string, cause?: unknown) =>
  new BarcastError('BARCAST_E_FILE_MISSING', `${path} ${what}`, 'check the path', { cause });

const badFile = (path: string, what: string, cause?: unknown) =>
  new BarcastError(
    'BARCAST_E_FILE_FORMAT',
    `${path} ${what}`,
    `repair or leave out ${basename(path)} and run the same command again; nothing was stored`,
    { cause },
  );
