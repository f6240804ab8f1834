/** Numbers and times as people read them. Times are New York's, where the bars come from. */

const MINUS = '\u2212';
const fixed = new Map();

function format(value, decimals) {
  if (!fixed.has(decimals)) {
    const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    fixed.set(decimals, new Intl.NumberFormat('en-US', digits));
  }
  return fixed.get(decimals).format(value).replace('-', MINUS);
}

export const NOTHING = '–';

/** Decimals that show a price of this size to a cent, and a price below a dollar to a hundredth of one. */
export const decimalsOf = (price) => (Math.abs(price) < 1 ? 4 : 2);
export const price = (value) => format(value, decimalsOf(value));
export const wholeNumber = (value) => format(value, 0);

function signed(value, decimals) {
  const text = format(value, decimals);
  return Number(value.toFixed(decimals)) > 0 ? `+${text}` : text.replace(/^\u2212(?=[0.]+$)/, '');
}

/** A log return in basis points. */
export const basisPoints = (logReturn) => signed(logReturn * 1e4, 1);
export const percent = (share, decimals = 1) => (share === null ? NOTHING : `${format(share * 100, decimals)}%`);
export const signedPercent = (share) => (share === null ? NOTHING : `${signed(share * 100, 2)}%`);

/** How long ago, in one unit. */
export function age(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

const zone = { timeZone: 'America/New_York', hourCycle: 'h23' };
const timeFormat = new Intl.DateTimeFormat('en-GB', { ...zone, hour: '2-digit', minute: '2-digit' });
const secondsFormat = new Intl.DateTimeFormat('en-GB', {
  ...zone,
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const dayFormat = new Intl.DateTimeFormat('en-GB', {
  ...zone,
  weekday: 'short',
  day: 'numeric',
  month: 'short',
  year: 'numeric',
});
const shortDayFormat = new Intl.DateTimeFormat('en-GB', { ...zone, day: 'numeric', month: 'short' });

export const clockTime = (ms) => timeFormat.format(ms);
export const shortDay = (ms) => shortDayFormat.format(ms);
export const marketTime = (ms) => `${dayFormat.format(ms).replace(',', '')}, ${secondsFormat.format(ms)} ET`;
