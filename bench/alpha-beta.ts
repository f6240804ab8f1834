/**
 * The time of an all-reduce as latency and bandwidth (Hockney 1994), in the form of the reduce-scatter and all-gather
 * algorithm (Rabenseifner 2004; Thakur, Rabenseifner & Gropp 2005): over p ranks and n bytes
 *
 *     T(p, n) = 2 ceil(log2 p) alpha + 2 (p - 1) / p n beta
 *
 * alpha in seconds a message, beta in seconds a byte. Adding is part of beta.
 */

export interface Network {
  readonly name: string;
  readonly alpha: number;
  readonly beta: number;
}

export interface ReduceSample {
  readonly ranks: number;
  readonly bytes: number;
  readonly seconds: number;
}

export const reduceSeconds = ({ alpha, beta }: Pick<Network, 'alpha' | 'beta'>, ranks: number, bytes: number): number =>
  2 * Math.ceil(Math.log2(ranks)) * alpha + ((2 * (ranks - 1)) / ranks) * bytes * beta;

/** Least squares of the relative errors, with both numbers at least 0; and the mean relative error that is left. */
export function fitAlphaBeta(samples: readonly ReduceSample[]): { alpha: number; beta: number; error: number } {
  let [aa, ab, bb, a1, b1] = [0, 0, 0, 0, 0];
  for (const { ranks, bytes, seconds } of samples) {
    const a = (2 * Math.ceil(Math.log2(ranks))) / seconds;
    const b = (((2 * (ranks - 1)) / ranks) * bytes) / seconds;
    aa += a * a;
    ab += a * b;
    bb += b * b;
    a1 += a;
    b1 += b;
  }
  const determinant = aa * bb - ab * ab;
  let alpha = determinant > 0 ? (a1 * bb - b1 * ab) / determinant : 0;
  let beta = determinant > 0 ? (b1 * aa - a1 * ab) / determinant : b1 / bb;
  if (alpha < 0) [alpha, beta] = [0, b1 / bb];
  if (beta < 0) [alpha, beta] = [a1 / aa, 0];
  const errors = samples.map(({ ranks, bytes, seconds }) =>
    Math.abs(reduceSeconds({ alpha, beta }, ranks, bytes) / seconds - 1),
  );
  return { alpha, beta, error: errors.reduce((sum, error) => sum + error, 0) / errors.length };
}

export interface Prediction {
  readonly network: string;
  readonly nodes: number;
  readonly collectiveMs: number;
  readonly stepMs: number;
  readonly speedup: number;
  readonly efficiency: number;
}

/** Weak scaling: every node computes a step as long as one node alone, and then they add `bytes`. */
export function predict(
  network: Network,
  computeMs: number,
  bytes: (nodes: number) => number,
  nodes: number,
): Prediction {
  const collectiveMs = 1000 * reduceSeconds(network, nodes, bytes(nodes));
  const stepMs = computeMs + collectiveMs;
  const efficiency = computeMs / stepMs;
  return { network: network.name, nodes, collectiveMs, stepMs, efficiency, speedup: nodes * efficiency };
}

/** Speedup over nodes, both on a scale of powers of two, a line for each network and one for what would be perfect. */
export function speedupPlot(predictions: readonly Prediction[], title: string): string {
  const [width, height, left, bottom] = [640, 420, 60, 50];
  const most = Math.log2(Math.max(...predictions.map(({ nodes }) => nodes)));
  const x = (nodes: number) => left + (Math.log2(nodes) / most) * (width - left - 150);
  const y = (speedup: number) => height - bottom - (Math.log2(speedup) / most) * (height - bottom - 40);
  const networks = [...new Set(predictions.map(({ network }) => network))];
  const colours = ['#1b6ca8', '#c0392b', '#2e8b57', '#8e44ad'];
  const text = (at: [number, number], words: string, more = '') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${more}>${words}</text>`;
  const ticks = Array.from({ length: most + 1 }, (_, power) => 2 ** power);
  const line = (points: [number, number][], style: string) =>
    `<polyline fill="none" ${style} points="${points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(' ')}"/>`;
  const end = 2 ** most;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="white"/>`,
    text([left, 22], title, 'font-size="14"'),
    ...ticks.map((tick) => text([x(tick), height - bottom + 18], String(tick), 'text-anchor="middle"')),
    ...ticks.map((tick) => text([left - 8, y(tick) + 4], String(tick), 'text-anchor="end"')),
    `<path d="M${left} ${y(end)}V${y(1)}H${x(end)}" fill="none" stroke="#444"/>`,
    text([x(end) / 2 + left / 2, height - 10], 'nodes', 'text-anchor="middle"'),
    text([16, height / 2], 'speedup', `text-anchor="middle" transform="rotate(-90 16 ${height / 2})"`),
    line(
      [
        [1, 1],
        [end, end],
      ],
      'stroke="#999" stroke-dasharray="4 4"',
    ),
    text([x(end) + 6, y(end)], 'perfect', 'fill="#777"'),
    ...networks.flatMap((network, i) => {
      const points = predictions.filter((point) => point.network === network);
      const all: [number, number][] = [
        [1, 1],
        ...points.map(({ nodes, speedup }): [number, number] => [nodes, speedup]),
      ];
      const last = points.at(-1)!;
      return [
        line(all, `stroke="${colours[i % 4]}" stroke-width="2"`),
        text([x(last.nodes) + 6, y(last.speedup) + 14 * (i + 1)], network, `fill="${colours[i % 4]}"`),
      ];
    }),
    '</svg>',
    '',
  ].join('\n');
}
