/** Bars from streams: Yahoo's quotes, Alpaca's bars and trades. */
export { type AlpacaOptions, alpacaSource } from './alpaca.ts';
export type { FeedPace } from './feed.ts';
export { decodePricingData, type PricingData } from './pricing-data.ts';
export { type YahooStreamOptions, yahooStreamSource } from './yahoo-stream.ts';
