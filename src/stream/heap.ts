/**
 * How V8 keeps the heap of a process that forecasts. Each market minute leaves garbage behind and little that lives, so
 * V8 sets its limit just above what is alive and marks the whole heap every few minutes of the market: ten milliseconds
 * of both cores of a small machine, of all times while forecasts are made. With more room it does so a tenth as often.
 */
import { setFlagsFromString } from 'node:v8';

/** The heap may grow to so many times what was alive at the last full collection. */
const ROOM = 5;

/** For the whole process, once. */
export function makeRoomForGarbage(): void {
  setFlagsFromString(`--heap-growing-percent=${100 * (ROOM - 1)}`);
}
