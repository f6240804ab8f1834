/**
 * What of a range a store lacks, symbol by symbol, and what of that has come. The unit is a session of a symbol. It has
 * come when rows cover what was wanted of it, as far as it had happened when they were asked for; it is answered, and
 * need not be asked for again, when that is all of the session.
 */
import { dayOf, type Session, sessionsBetween } from '../bars/index.ts';
import { type DayString, type EpochMinute, type EpochMs, minuteToMs, msToMinute } from '../base/index.ts';
import type { Span } from './source.ts';

/** The sessions that lie in a range, at least in part. */
export const sessionsIn = ({ from, to }: Span): Session[] =>
  to <= from
    ? []
    : sessionsBetween(dayOf(from), dayOf((to - 1) as EpochMinute)).filter(
        ({ open, close }) => close > from && open < to,
      );

const cut = (session: Session, { from, to }: Span): Span => ({
  from: Math.max(session.open, from) as EpochMinute,
  to: Math.min(session.close, to) as EpochMinute,
});

interface WantedOf {
  /** What is wanted of each session that has not come. */
  readonly open: Map<Session, Span>;
  /** What to ask for. */
  readonly spans: readonly Span[];
  /** What has come: apart from each other. */
  covered: Span[];
}

export class Wanted {
  readonly #of = new Map<string, WantedOf>();
  /** (symbol, session) pairs that were wanted at first, and those that the store held. */
  readonly asked: number;
  readonly held: number;
  #come = 0;

  private constructor(of: Map<string, WantedOf>, held: number) {
    this.#of = of;
    this.held = held;
    this.asked = [...of.values()].reduce((sum, { open }) => sum + open.size, 0);
  }

  /** The sessions of a range that have not been answered before. */
  static lacking(
    symbols: readonly string[],
    range: Span,
    answered: ReadonlyMap<string, ReadonlySet<DayString>>,
  ): Wanted {
    const sessions = sessionsIn(range);
    const of = new Map<string, WantedOf>();
    let held = 0;
    for (const symbol of new Set(symbols)) {
      const days = answered.get(symbol) ?? new Set();
      const open = new Map<Session, Span>();
      const spans: { from: EpochMinute; to: EpochMinute }[] = [];
      let run = false;
      for (const session of sessions) {
        const lacks = !days.has(session.day);
        if (lacks) {
          const need = cut(session, range);
          open.set(session, need);
          if (run) spans.at(-1)!.to = need.to;
          else spans.push({ ...need });
        } else held++;
        run = lacks;
      }
      if (open.size > 0) of.set(symbol, { open, spans, covered: [] });
    }
    return new Wanted(of, held);
  }

  /** Certain minutes, whether they were answered before or not. */
  static again(spans: ReadonlyMap<string, readonly Span[]>): Wanted {
    const of = new Map<string, WantedOf>();
    for (const [symbol, own] of spans) {
      const open = new Map<Session, Span>();
      for (const span of own) {
        for (const session of sessionsIn(span)) {
          const need = cut(session, span);
          const before = open.get(session);
          open.set(session, before === undefined ? need : { from: before.from, to: need.to });
        }
      }
      if (open.size > 0) of.set(symbol, { open, spans: own, covered: [] });
    }
    return new Wanted(of, 0);
  }

  /** Symbols with something to ask for, as given. */
  get symbols(): string[] {
    return [...this.#of.keys()];
  }

  /** By symbol: what to ask for. */
  get spans(): Map<string, readonly Span[]> {
    return new Map([...this.#of].map(([symbol, { spans }]) => [symbol, spans]));
  }

  /** Pairs that have come. */
  get come(): number {
    return this.#come;
  }

  /** Symbols of which all has come. */
  get symbolsCome(): number {
    let come = 0;
    for (const { open } of this.#of.values()) if (open.size === 0) come++;
    return come;
  }

  /** The sessions of each symbol that have not come. */
  *missing(): Generator<[symbol: string, sessions: readonly Session[]]> {
    for (const [symbol, { open }] of this.#of) if (open.size > 0) yield [symbol, [...open.keys()]];
  }

  /** Notes that rows cover a span. Returns the days that are answered for good by it. */
  cover(symbol: string, span: Span, askedAt: EpochMs): DayString[] {
    const own = this.#of.get(symbol);
    if (own === undefined) return [];
    const touches = (other: Span) => other.to >= span.from && other.from <= span.to;
    const touching = own.covered.filter(touches);
    const whole = {
      from: Math.min(span.from, ...touching.map(({ from }) => from)) as EpochMinute,
      to: Math.max(span.to, ...touching.map(({ to }) => to)) as EpochMinute,
    };
    own.covered = [...own.covered.filter((other) => !touches(other)), whole];
    const days: DayString[] = [];
    for (const [session, need] of own.open) {
      if (need.from < whole.from || Math.min(need.to, msToMinute(askedAt)) > whole.to) continue;
      own.open.delete(session);
      this.#come++;
      const all = need.from === session.open && need.to === session.close;
      if (all && minuteToMs(session.close) <= askedAt) days.push(session.day);
    }
    return days;
  }
}
