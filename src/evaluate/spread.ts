/**
 * The effective bid-ask spread, which bars do not show, from the bounce it leaves in prices. Roll 1984, "A simple
 * implicit measure of the effective bid-ask spread in an efficient market": trades that fall now on the bid and now on
 * the ask make successive price changes r_t, r_{t-1} of a symbol negatively correlated, and
 *
 *     spread = 2 sqrt(-cov(r_t, r_{t-1}))     as a share of the price.
 *
 * Where the covariance is not negative the measure is silent; the spread is never taken for less than one tick. What a
 * forecaster of minute returns lives on is mostly this very covariance: the measure charges it what it finds.
 *
 * Causal: the estimate at a minute knows the bars before it alone. Returns cross no night.
 */
import { type Bar, sessionAt } from '../bars/index.ts';

/** Pairs of returns that an estimate needs. */
export const LEAST_PAIRS = 60;

interface Sums {
  sessionOpen: number;
  lastClose: number;
  lastReturn: number;
  pairs: number;
  /** Of r_t r_{t-1}. The mean return of a minute is far below its error and is taken for 0. */
  products: number;
}

/** The smallest step of a US quotation (Regulation NMS, Rule 612). */
const tickOf = (price: number): number => (price >= 1 ? 0.01 : 0.0001);

export class RollSpreads {
  readonly #sums = new Map<string, Sums>();

  /** Takes a symbol's next bar; bars outside the session and without a usable close change nothing. */
  add({ symbol, minute, close }: Bar): void {
    const session = sessionAt(minute);
    if (session === undefined || !(close > 0)) return;
    let sums = this.#sums.get(symbol);
    if (sums === undefined) {
      sums = { sessionOpen: Number.NaN, lastClose: Number.NaN, lastReturn: Number.NaN, pairs: 0, products: 0 };
      this.#sums.set(symbol, sums);
    }
    if (sums.sessionOpen !== session.open) {
      sums.sessionOpen = session.open;
      sums.lastReturn = Number.NaN;
    } else {
      const now = Math.log(close / sums.lastClose);
      if (!Number.isNaN(sums.lastReturn)) {
        sums.products += now * sums.lastReturn;
        sums.pairs++;
      }
      sums.lastReturn = now;
    }
    sums.lastClose = close;
  }

  /** The spread as a share of the price, at least a tick; undefined before there are {@link LEAST_PAIRS} pairs. */
  of(symbol: string, price: number): number | undefined {
    const sums = this.#sums.get(symbol);
    if (sums === undefined || sums.pairs < LEAST_PAIRS) return undefined;
    const roll = 2 * Math.sqrt(Math.max(0, -sums.products / sums.pairs));
    return Math.max(roll, tickOf(price) / price);
  }
}
