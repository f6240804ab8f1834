/** Numbers as people read them; what is not defined is a dash. */
export const MISSING = '-';

export const digits = (value: number | null, significant = 4): string =>
  value === null ? MISSING : value.toPrecision(significant);

/** 0.123 as `12.3%`. */
export const share = (value: number | null, places = 1): string =>
  value === null ? MISSING : `${(100 * value).toFixed(places)}%`;

/** 0.00123 as `+0.123%`. */
export function percent(value: number | null): string {
  if (value === null) return MISSING;
  const text = (100 * value).toFixed(3);
  return `${Number(text) > 0 ? '+' : ''}${Number(text) === 0 ? '0.000' : text}%`;
}

export const range = (value: readonly [number, number] | null): string =>
  value === null ? MISSING : `${percent(value[0])} to ${percent(value[1])}`;

export const signed = (value: number | null, places = 4): string => (value === null ? MISSING : value.toFixed(places));
