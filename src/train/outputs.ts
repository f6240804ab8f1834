/** Inference of a window set shared out over the ranks. */
import { type Collective, together } from '../collective/index.ts';
import { selectWindows, type WindowSet } from '../features/index.ts';
import { type KernelNetwork, outputsOf, TILE } from '../kernel/index.ts';
import { networkOutputs } from '../model/index.ts';
import { evenly } from './balance.ts';

/** Outputs `[N, O]` of all windows on every rank, each rank having computed its part in whole tiles. */
export async function outputsOverRanks(
  collective: Collective,
  network: KernelNetwork,
  windows: WindowSet,
): Promise<Float32Array> {
  const { rank: own, size } = collective;
  if (size === 1) return networkOutputs(network, windows);
  const count = windows.starts.length;
  const outputs = outputsOf(network.shape);
  const all = new Float32Array(count * outputs);
  const ends = [0];
  for (let rank = 0; rank < size; rank++) {
    ends.push(Math.min(count, ends[rank] + TILE * evenly(Math.ceil(count / TILE), size, rank)));
  }
  const indices = Int32Array.from({ length: ends[own + 1] - ends[own] }, (_, i) => ends[own] + i);
  const mine = await together(collective, () => networkOutputs(network, selectWindows(windows, indices)));
  all.set(mine, ends[own] * outputs);
  for (let rank = 0; rank < size; rank++) {
    const part = all.subarray(ends[rank] * outputs, ends[rank + 1] * outputs);
    if (part.length > 0)
      await collective.broadcast(new Uint8Array(part.buffer, part.byteOffset, part.byteLength), rank);
  }
  return all;
}
