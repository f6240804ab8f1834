/** What is read of segments, cut into parts of about equal rows: for threads that read one each. */
import { quoted } from './database.ts';
import type { Piece } from './fill.ts';
import type { Segment } from './manifest.ts';

/** The rows of segments that meet a condition. */
export interface Span {
  readonly segments: readonly Segment[];
  readonly condition: string;
}

/** A piece of the segment with this place among those of the span. */
export interface Placed extends Piece {
  readonly segment: number;
}

export interface Stretch {
  readonly span: Span;
  readonly pieces: readonly Placed[];
}

/**
 * Parts of one or more stretches each, some perhaps of none. Cuts are between symbols.
 * @param pieces all of the span's, segment by segment, and the symbols of each in their order
 */
export function cutParts(span: Span, pieces: readonly Placed[], count: number): Stretch[][] {
  const ofSegment = new Map<number, number>();
  let rows = 0;
  for (const piece of pieces) {
    ofSegment.set(piece.segment, (ofSegment.get(piece.segment) ?? 0) + 1);
    rows += piece.rows;
  }
  let next = 0;
  let taken = 0;
  return Array.from({ length: count }, (_, part) => {
    const first = next;
    const due = ((part + 1) * rows) / count;
    for (; next < pieces.length && taken + pieces[next]!.rows / 2 <= due; next++) taken += pieces[next]!.rows;
    return stretchesOf(span, pieces.slice(first, next), ofSegment);
  });
}

/** Whole segments that follow one another are one stretch; of another segment only the symbols from the first to the last. */
function stretchesOf(span: Span, pieces: readonly Placed[], ofSegment: ReadonlyMap<number, number>): Stretch[] {
  const stretches: Stretch[] = [];
  let whole: { first: number; pieces: Placed[] } | undefined;
  for (const [segment, own] of Map.groupBy(pieces, (piece) => piece.segment)) {
    if (own.length < ofSegment.get(segment)!) {
      whole = undefined;
      const symbols = `symbol between ${quoted(own[0]!.symbol)} and ${quoted(own.at(-1)!.symbol)}`;
      const condition = `${span.condition} and ${symbols}`;
      stretches.push({ span: { segments: [span.segments[segment]!], condition }, pieces: own });
      continue;
    }
    if (whole === undefined) whole = { first: segment, pieces: own };
    else {
      stretches.pop();
      whole.pieces.push(...own);
    }
    const segments = span.segments.slice(whole.first, segment + 1);
    stretches.push({ span: { segments, condition: span.condition }, pieces: whole.pieces });
  }
  return stretches;
}
