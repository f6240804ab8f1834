/** The scoreboard on disk, so that a restart loses no past score. The file is whole or absent at any moment. */
import { readFileSync } from 'node:fs';
import { BarcastError, systemErrorCode, toBarcastError, writeFileAtomic } from '../base/index.ts';
import type { LiveState } from './state.ts';

const SAVE_EVERY_MS = 60_000;

/**
 * Takes up the scores that a file holds, then writes the file again once a minute while scores come in, and at its
 * `close`. A file of another model is left out and written over. A write that fails is told, not thrown: serving goes on.
 *
 * @throws BARCAST_E_CHECKPOINT when the file is there and is no snapshot, BARCAST_E_PERMISSION when it cannot be read
 */
export function keepScoreboard(
  state: LiveState,
  path: string,
  notice: (line: string) => void = () => {},
): { close(): void } {
  const stored = readSnapshot(path);
  if (stored !== undefined && state.scoreboard?.restore(stored) === false) {
    notice(`the scores in ${path} are of another model; counting starts anew`);
  }
  let savedAt = performance.now();
  let unsaved = false;
  const save = () => {
    savedAt = performance.now();
    if (!unsaved || state.scoreboard === undefined) return;
    try {
      writeFileAtomic(path, JSON.stringify(state.scoreboard.snapshot()));
      unsaved = false;
    } catch (error) {
      notice(`the scores could not be saved: ${toBarcastError(error).line}`);
    }
  };
  const stop = state.listen((event) => {
    if (event.type === 'scores' || event.type === 'forecasts') unsaved = true;
    if (event.type === 'scores' && performance.now() - savedAt >= SAVE_EVERY_MS) save();
  });
  return {
    close() {
      stop();
      save();
    },
  };
}

function readSnapshot(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    if (!(error instanceof SyntaxError)) throw toBarcastError(error);
    const remedy = 'delete the file to start counting anew';
    throw new BarcastError('BARCAST_E_CHECKPOINT', `${path} holds no scores that can be read`, remedy, {
      cause: error,
    });
  }
}
