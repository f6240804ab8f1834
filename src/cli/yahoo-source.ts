/** The source of history that a command's options name. */
import { simulatedSource, type YahooSource, yahooSource } from '../sources/index.ts';

/** Opens it, works with it and closes it. @throws BARCAST_E_USAGE, and what the work throws */
export async function withHistorySource<T>(
  { source, url }: { readonly source: 'yahoo' | 'simulated'; readonly url?: string },
  work: (source: YahooSource) => Promise<T>,
): Promise<T> {
  const address = url === undefined ? {} : { url };
  if (source === 'yahoo') return work(yahooSource(address));
  const simulated = await simulatedSource(address);
  try {
    return await work(simulated);
  } finally {
    await simulated.close();
  }
}
