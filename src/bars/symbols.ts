/**
 * Symbols: one canonical spelling for each, Yahoo's, so that `BRK.B`, `brk/b` and `BRK-B` are one series.
 *
 * The rules, applied after trimming and upper-casing:
 * - a slash is a share class: `BRK/B` is `BRK-B`;
 * - a dot before ONE letter from A to C at the end is a share class: `BF.B` is `BF-B`. Any other suffix after a dot is an
 *   exchange and stays: `VOD.L`, `SHOP.TO`, `0700.HK`;
 * - `^` begins an index (`^GSPC`); `=` belongs to currencies and futures (`EURUSD=X`, `ES=F`).
 *
 * A share class beyond C is written with `-` or `/` (`MKC-V`), since `.V` is an exchange.
 */
import { BarcastError } from '../base/index.ts';

const CANONICAL = /^\^?[A-Z0-9]{1,12}(?:[-.=&][A-Z0-9]{1,8}){0,3}$/;
const LONGEST_SHOWN = 24;

/**
 * The canonical form of a symbol.
 * @throws BARCAST_E_SYMBOL for text that is no symbol: empty, without a letter, or with other characters
 */
export function parseSymbol(text: string): string {
  const symbol = text
    .trim()
    .toUpperCase()
    .replaceAll('/', '-')
    .replace(/\.([A-C])$/, '-$1');
  if (!CANONICAL.test(symbol) || !/[A-Z]/.test(symbol)) {
    const shown = text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text;
    throw new BarcastError(
      'BARCAST_E_SYMBOL',
      `${JSON.stringify(shown)} is not a symbol`,
      'write it as Yahoo does, as in AAPL, BRK-B or ^GSPC',
    );
  }
  return symbol;
}

/**
 * The symbols of a list in their order, each once. Commas, spaces and line breaks separate.
 * @throws BARCAST_E_SYMBOL for an item that is no symbol, and for a list without any
 */
export function parseSymbols(list: string): string[] {
  const items = list.split(/[\s,]+/).filter((item) => item !== '');
  if (items.length === 0) {
    throw new BarcastError('BARCAST_E_SYMBOL', 'the list of symbols is empty', 'name at least one, as in AAPL,MSFT');
  }
  return [...new Set(items.map(parseSymbol))];
}
