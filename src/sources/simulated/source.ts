/** Bars of a simulated exchange, through the same path as Yahoo's: HTTP, retries, the same judging of rows. */
import { type YahooOptions, type YahooSource, yahooSource } from '../yahoo/index.ts';
import { type Exchange, type ExchangeOptions, startExchange } from './exchange.ts';

export interface SimulatedOptions extends Omit<YahooOptions, 'clock'>, Partial<ExchangeOptions> {
  /**
   * An exchange that runs already, with whatever options it was started with. By default one is started with the
   * options here, on any free port, with seed 1.
   */
  readonly url?: string;
}

export interface SimulatedSource extends YahooSource {
  /** The exchange that was started for this source. */
  readonly exchange: Exchange | undefined;
  /** Stops the exchange that was started for this source. */
  close(): Promise<void>;
}

/** A source whose clock is right from the start. @throws BARCAST_E_PORT_IN_USE, BARCAST_E_USAGE */
export async function simulatedSource(options: SimulatedOptions = {}): Promise<SimulatedSource> {
  const exchange = options.url === undefined ? await startExchange({ seed: 1, port: 0, ...options }) : undefined;
  const source = yahooSource({
    name: 'simulated',
    ...options,
    clock: exchange?.clock,
    url: options.url ?? exchange?.url,
  });
  await source.sync();
  return { ...source, exchange, close: async () => exchange?.close() };
}
