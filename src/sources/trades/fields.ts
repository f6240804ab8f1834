/** What the fields of a trade are called, and a trade as whoever writes JSON has it. */
import { BarcastError } from '../../base/index.ts';
import type { SymbolTable, TradeBatch } from './batch.ts';
import { CANCEL, CORRECT, REGULAR, withCondition } from './conditions.ts';
import { idOf, timeOfText } from './scan.ts';

export type TradeField = 'symbol' | 'time' | 'price' | 'size' | 'conditions' | 'tape' | 'id' | 'action' | 'type';

/** Names as they are written, case and all: in Alpaca's messages `s` is the size and `S` the symbol, `t` the time and `T` the kind. */
export const FIELD_NAMES: Readonly<Record<string, TradeField>> = {
  S: 'symbol',
  symbol: 'symbol',
  Symbol: 'symbol',
  SYMBOL: 'symbol',
  sym: 'symbol',
  ticker: 'symbol',
  Ticker: 'symbol',
  t: 'time',
  time: 'time',
  Time: 'time',
  timestamp: 'time',
  Timestamp: 'time',
  ts: 'time',
  datetime: 'time',
  Datetime: 'time',
  sip_timestamp: 'time',
  ts_event: 'time',
  p: 'price',
  price: 'price',
  Price: 'price',
  s: 'size',
  size: 'size',
  Size: 'size',
  quantity: 'size',
  qty: 'size',
  shares: 'size',
  c: 'conditions',
  conditions: 'conditions',
  condition: 'conditions',
  Conditions: 'conditions',
  sale_condition: 'conditions',
  z: 'tape',
  tape: 'tape',
  i: 'id',
  id: 'id',
  trade_id: 'id',
  action: 'action',
  T: 'type',
};

const tapeIsUtp = (tape: unknown): boolean => tape === 'C' || tape === 3 || tape === '3';

/** The bits of an action; NaN for one that is not known. */
export function actionOf(action: unknown): number {
  switch (action) {
    case undefined:
    case null:
    case '':
    case 'new':
    case 'trade':
      return 0;
    case 'cancel':
    case 'error':
      return CANCEL;
    case 'correct':
    case 'correction':
      return CORRECT;
    default:
      return Number.NaN;
  }
}

/**
 * Adds a trade given as a JSON object: plain, or an Alpaca message (`T` is `t` for a trade, `x` for a cancel, `c` for a
 * correction; other kinds are passed over).
 * @throws Error saying what is wrong; the caller knows where
 */
export function addObject(batch: TradeBatch, symbols: SymbolTable, object: Record<string, unknown>): void {
  const found: Partial<Record<TradeField, unknown>> = {};
  for (const [name, value] of Object.entries(object)) {
    const field = FIELD_NAMES[name];
    if (field !== undefined && found[field] === undefined) found[field] = value;
  }
  const { type } = found;
  if (type !== undefined && type !== 't' && type !== 'x' && type !== 'c') return;
  if (type === 'c') {
    found.id = object.oi;
    found.price = object.cp;
    found.size = object.cs;
    found.conditions = object.cc;
  }
  const action = type === 'x' ? CANCEL : type === 'c' ? CORRECT : actionOf(found.action);
  if (Number.isNaN(action)) throw new Error(`the action ${JSON.stringify(found.action)} is not known`);
  if (typeof found.symbol !== 'string') throw new Error('a trade without a symbol');
  const symbol = symbols.numberOf(found.symbol);
  const time = typeof found.time === 'number' ? timeOfText(String(found.time)) : timeOfText(String(found.time ?? ''));
  if (Number.isNaN(time)) throw new Error(`${JSON.stringify(found.time ?? null)} is not a time`);
  const number = (value: unknown) =>
    value === null || value === undefined || value === '' ? Number.NaN : Number(value);
  const isUtp = tapeIsUtp(found.tape);
  let rule = REGULAR;
  for (const condition of [found.conditions ?? []].flat()) rule = addCondition(rule, String(condition), isUtp);
  const id = found.id === undefined || found.id === null ? Number.NaN : idOf(String(found.id));
  batch.add(symbol, time, number(found.price), number(found.size), rule | action, id);
}

/** Every character is a code, but a number of several digits is no code that the table knows. */
function addCondition(rule: number, text: string, isUtp: boolean): number {
  if (/^\d{2,}$/.test(text.trim())) return withCondition(rule, 0xff, isUtp);
  let all = rule;
  for (let i = 0; i < text.length; i++) all = withCondition(all, text.charCodeAt(i), isUtp);
  return all;
}

export const conditionsOfText = (text: string, isUtp: boolean): number =>
  text.split(/[\s,;|]+/).reduce((rule, part) => addCondition(rule, part, isUtp), REGULAR);

export const badTrades = (where: string, what: string, cause?: unknown): BarcastError =>
  new BarcastError(
    'BARCAST_E_FILE_FORMAT',
    `${where}: ${what}`,
    'trades need a symbol, a time, a price and a size; repair the line or leave it out',
    { cause },
  );
