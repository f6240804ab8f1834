/**
 * Plots as SVG text: lines over numbers, and points with error bars over categories. No script, no font and no colour
 * of its own: classes carry the colours, so that a page shows them light, dark and in print. {@link standalone} makes a
 * file of a plot by giving it the same style sheet.
 */
export interface Axis {
  readonly label: string;
  readonly format?: (value: number) => string;
  /** Widens the range to hold these. */
  readonly include?: readonly number[];
  /** In place of round numbers. */
  readonly ticks?: readonly { readonly at: number; readonly label: string }[];
}

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  readonly dots?: boolean;
}

export interface LineChart {
  /** What the plot shows, in words: for those who do not see it. */
  readonly title: string;
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  /** A thin line from one point to another, as the diagonal of a calibration plot or a zero line. */
  readonly guide?: readonly [readonly [number, number], readonly [number, number]];
}

export interface CategoryPoint {
  readonly label: string;
  readonly value: number;
  readonly low?: number;
  readonly high?: number;
  /** Shown when pointed at. */
  readonly note?: string;
}

export interface CategoryChart {
  readonly title: string;
  readonly y: Axis;
  readonly points: readonly CategoryPoint[];
  /** A horizontal guide, as zero or the nominal level. */
  readonly guide: number;
  /** A shaded band around it. */
  readonly band?: readonly [number, number];
}

const WIDTH = 720;
const HEIGHT = 260;
/** Without a label under the axis. */
const CATEGORY_HEIGHT = 238;
const LEFT = 66;
const RIGHT = 14;
const TOP = 26;
const BOTTOM = 44;
const INNER_WIDTH = WIDTH - LEFT - RIGHT;
const INNER_HEIGHT = HEIGHT - TOP - BOTTOM;

/** Colours by role; a page that holds plots includes this once. */
export const PLOT_STYLE = `
.plot { font: 12px/1.3 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; --ink: #131820; --muted: #586373; --rule: #e1e6ec; --band: #e2f3ea; --s0: #2456d6; --s1: #c2571a; --s2: #08744a; }
.plot text { fill: var(--muted); }
.plot .rule { stroke: var(--rule); }
.plot .guide { stroke: var(--muted); stroke-dasharray: 4 3; }
.plot .band { fill: var(--band); }
.plot .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.plot .s0 { stroke: var(--s0); } .plot .s1 { stroke: var(--s1); } .plot .s2 { stroke: var(--s2); }
.plot .d0 { fill: var(--s0); } .plot .d1 { fill: var(--s1); } .plot .d2 { fill: var(--s2); }
.plot .whisker { stroke: var(--s0); stroke-width: 1.5; }
@media screen and (prefers-color-scheme: dark) {
  .plot { --ink: #e7ebf1; --muted: #97a3b3; --rule: #252d38; --band: #12291f; --s0: #7aa2ff; --s1: #f0a06a; --s2: #45c188; }
}`;

export const escapeText = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** Up to about `count` round numbers within [low, high]: steps of 1, 2 or 5 times a power of ten. */
export function roundTicks(low: number, high: number, count = 5): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= raw)! * power;
  const ticks: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(k === 0 ? 0 : k * step);
  return ticks;
}

interface Scale {
  readonly low: number;
  readonly high: number;
}

/** The range of the values, a little wider; a single value gets room on both sides. */
function scaleOf(values: readonly number[], include: readonly number[] = []): Scale {
  const all = [...values, ...include].filter(Number.isFinite);
  if (all.length === 0) return { low: 0, high: 1 };
  const low = all.reduce((a, b) => Math.min(a, b));
  const high = all.reduce((a, b) => Math.max(a, b));
  const room = high > low ? 0.04 * (high - low) : Math.max(Math.abs(low) * 0.1, 1e-6);
  return { low: low - room, high: high + room };
}

const xAt = (value: number, { low, high }: Scale): string =>
  (LEFT + ((value - low) / (high - low)) * INNER_WIDTH).toFixed(1);
const yAt = (value: number, { low, high }: Scale): string =>
  (TOP + (1 - (value - low) / (high - low)) * INNER_HEIGHT).toFixed(1);

function horizontalRules(y: Axis, scale: Scale): string {
  const format = y.format ?? String;
  return roundTicks(scale.low, scale.high)
    .map((tick) => {
      const at = yAt(tick, scale);
      return `<line class="rule" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${at}" y2="${at}"/><text x="${LEFT - 6}" y="${at}" dy="4" text-anchor="end">${escapeText(format(tick))}</text>`;
    })
    .join('');
}

function frame(title: string, yLabel: string, body: string, height = HEIGHT): string {
  return `<svg class="plot" viewBox="0 0 ${WIDTH} ${height}" xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeText(title)}"><text x="0" y="13">${escapeText(yLabel)}</text>${body}</svg>`;
}

export function lineChart({ title, x, y, series, guide }: LineChart): string {
  const points = series.flatMap((one) => one.points);
  const ends = guide ?? [];
  const xScale = scaleOf(
    points.map(([at]) => at),
    [...(x.include ?? []), ...ends.map(([at]) => at)],
  );
  const yScale = scaleOf(
    points.map(([, at]) => at),
    [...(y.include ?? []), ...ends.map(([, at]) => at)],
  );
  const format = x.format ?? String;
  const ticks = x.ticks ?? roundTicks(xScale.low, xScale.high, 8).map((at) => ({ at, label: format(at) }));
  const parts = [horizontalRules(y, yScale)];
  for (const { at, label } of ticks) {
    parts.push(
      `<text x="${xAt(at, xScale)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${escapeText(label)}</text>`,
    );
  }
  parts.push(
    `<text x="${LEFT + INNER_WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escapeText(x.label)}</text>`,
  );
  if (guide) {
    const [[x1, y1], [x2, y2]] = guide;
    parts.push(
      `<line class="guide" x1="${xAt(x1, xScale)}" y1="${yAt(y1, yScale)}" x2="${xAt(x2, xScale)}" y2="${yAt(y2, yScale)}"/>`,
    );
  }
  let legend = WIDTH - RIGHT;
  for (const [k, one] of [...series.entries()].reverse()) {
    const path = one.points.map(([a, b]) => `${xAt(a, xScale)},${yAt(b, yScale)}`).join(' ');
    parts.push(`<polyline class="line s${k % 3}" points="${path}"/>`);
    if (one.dots) {
      for (const [a, b] of one.points) {
        const text = `${one.name}: ${format(a)}, ${(y.format ?? String)(b)}`;
        parts.push(
          `<circle class="d${k % 3}" cx="${xAt(a, xScale)}" cy="${yAt(b, yScale)}" r="3"><title>${escapeText(text)}</title></circle>`,
        );
      }
    }
    parts.push(`<text x="${legend}" y="13" text-anchor="end">${escapeText(one.name)}</text>`);
    legend -= 6.2 * one.name.length + 6;
    parts.push(`<line class="line s${k % 3}" x1="${legend - 16}" x2="${legend}" y1="9" y2="9"/>`);
    legend -= 32;
  }
  return frame(title, y.label, parts.join(''));
}

export function categoryChart({ title, y, points, guide, band }: CategoryChart): string {
  const values = points.flatMap(({ value, low, high }) => [value, low ?? value, high ?? value]);
  const scale = scaleOf(values, [guide, ...(band ?? []), ...(y.include ?? [])]);
  const step = INNER_WIDTH / Math.max(points.length, 1);
  // Labels that would run into each other are left out, every so many.
  const longest = Math.max(1, ...points.map(({ label }) => label.length));
  const every = Math.max(1, Math.ceil((7 * longest + 8) / step));
  const parts: string[] = [];
  if (band) {
    const top = Number(yAt(band[1], scale));
    const height = (Number(yAt(band[0], scale)) - top).toFixed(1);
    parts.push(`<rect class="band" x="${LEFT}" y="${top}" width="${INNER_WIDTH}" height="${height}"/>`);
  }
  parts.push(horizontalRules(y, scale));
  const line = yAt(guide, scale);
  parts.push(`<line class="guide" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${line}" y2="${line}"/>`);
  for (const [i, { label, value, low, high, note }] of points.entries()) {
    const x = (LEFT + (i + 0.5) * step).toFixed(1);
    if (low !== undefined && high !== undefined) {
      parts.push(`<line class="whisker" x1="${x}" x2="${x}" y1="${yAt(low, scale)}" y2="${yAt(high, scale)}"/>`);
    }
    const text = `${label}: ${(y.format ?? String)(value)}${note ? `, ${note}` : ''}`;
    parts.push(
      `<circle class="d0" cx="${x}" cy="${yAt(value, scale)}" r="${points.length > 60 ? 2 : 4}"><title>${escapeText(text)}</title></circle>`,
    );
    if (i % every === 0) {
      parts.push(`<text x="${x}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${escapeText(label)}</text>`);
    }
  }
  return frame(title, y.label, parts.join(''), CATEGORY_HEIGHT);
}

/** A plot as a file of its own. */
export const standalone = (svg: string): string => svg.replace('>', `><style>${PLOT_STYLE}</style>`);
