/**
 * One request to Yahoo's chart API, or to a server that speaks it, through the package yahoo-finance2, which knows the
 * request's form and validates the answer. Asking again is the caller's.
 */
import YahooFinance from 'yahoo-finance2';
import { type EpochMs, systemErrorCode } from '../../base/index.ts';
import type { RawBars } from '../source.ts';
import type { AnswerClock } from './answer-clock.ts';
import { type ChartColumns, type ChartEvents, eventsOf, rowsOf, takeColumns } from './chart-rows.ts';
import { ChartFailure } from './failure.ts';

export interface ChartClientOptions {
  /** A server that answers instead of Yahoo, without a slash at its end. */
  readonly url?: string;
  /** Told of every answer's time. */
  readonly clock: AnswerClock;
  /** After this long without a byte a request is given up, and after four times as long without the last one. */
  readonly silenceMs: number;
}

const LONGEST_QUOTE = 160;
const LONGEST_ANSWER = 4;
/** Answers any request, and so tells its time. */
const YAHOO_HOST = 'https://query2.finance.yahoo.com';
/** A range without any bar: Yahoo calls it a bad request. */
const NO_DATA_IN_RANGE = /^Data doesn't exist for startDate/;

export class ChartClient {
  readonly #url: string | undefined;
  readonly #clock: AnswerClock;
  readonly #silenceMs: number;
  readonly #yahoo: InstanceType<typeof YahooFinance>;

  constructor(options: ChartClientOptions) {
    this.#url = options.url?.replace(/\/+$/, '');
    this.#clock = options.clock;
    this.#silenceMs = options.silenceMs;
    this.#yahoo = new YahooFinance({
      // The callers limit what is in flight; the package's own queue would only hide it.
      queue: { concurrency: 100_000 },
      versionCheck: false,
      suppressNotices: ['yahooSurvey', 'ripHistorical'],
      validation: { logErrors: false, logOptionsErrors: false },
    });
  }

  /**
   * The one-minute rows of `symbol` with period1 <= time < period2, as the source gave them, and its dividends and splits.
   * @param period1 Unix seconds
   * @throws ChartFailure; the signal's reason when it aborts
   */
  async rows(symbol: string, period1: number, period2: number, signal?: AbortSignal): Promise<RawBars> {
    let askedAt: EpochMs = this.#clock.now();
    let columns: ChartColumns | undefined;
    const ask = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const { text, marketTime } = await this.#fetch(input, init, signal);
      askedAt = marketTime ?? this.#clock.now();
      const body = parse(text);
      columns = takeColumns(body);
      return new Response(JSON.stringify(body));
    };
    try {
      const { meta, events } = await this.#yahoo.chart(
        symbol,
        { period1, period2, interval: '1m', includePrePost: false, events: 'div|split', return: 'object' },
        { fetch: ask as typeof fetch },
      );
      if (meta.dataGranularity !== '1m') {
        throw new ChartFailure('format', `meta.dataGranularity is ${JSON.stringify(meta.dataGranularity)}, not "1m"`);
      }
      return rowsOf(symbol, askedAt, columns, eventsOf(events as ChartEvents | undefined));
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ChartFailure && error.kind === 'refused' && NO_DATA_IN_RANGE.test(error.message)) {
        return rowsOf(symbol, askedAt, undefined, []);
      }
      throw failureOf(error, symbol);
    }
  }

  /**
   * Learns the time: from a simulated exchange's clock, or else from the date of an answer. Without an answer nothing
   * changes.
   */
  async syncClock(signal?: AbortSignal): Promise<void> {
    const timeout = AbortSignal.timeout(Math.min(this.#silenceMs, 10_000));
    try {
      const response = await fetch(this.#url === undefined ? YAHOO_HOST : `${this.#url}/clock`, {
        method: this.#url === undefined ? 'HEAD' : 'GET',
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      await response.arrayBuffer();
      this.#clock.observe(response.headers);
    } catch {
      signal?.throwIfAborted();
    }
  }

  /** Sends the package's request, to another server where one is set, and turns every refusal into a failure. */
  async #fetch(
    input: string | URL | Request,
    init: RequestInit | undefined,
    signal: AbortSignal | undefined,
  ): Promise<{ text: string; marketTime: EpochMs | undefined }> {
    const asked = new URL(input instanceof Request ? input.url : input);
    const target = this.#url === undefined ? asked : `${this.#url}${asked.pathname}${asked.search}`;
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), this.#silenceMs);
    const whole = setTimeout(() => silence.abort(), LONGEST_ANSWER * this.#silenceMs);
    let response: Response;
    const chunks: Uint8Array[] = [];
    try {
      response = await fetch(target, {
        ...init,
        signal: signal ? AbortSignal.any([signal, silence.signal]) : silence.signal,
      });
      // The whole body is read here, so that a connection that breaks off is told from an answer that does.
      for await (const chunk of response.body ?? []) {
        chunks.push(chunk);
        timer.refresh();
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (silence.signal.aborted) {
        throw new ChartFailure('timeout', `no byte for ${this.#silenceMs / 1000} s`, { cause: error });
      }
      throw new ChartFailure('network', networkReason(error), { cause: error });
    } finally {
      clearTimeout(timer);
      clearTimeout(whole);
    }
    const marketTime = this.#clock.observe(response.headers);
    const text = Buffer.concat(chunks).toString();
    if (!response.ok) throw refusalOf(response, text);
    return { text, marketTime };
  }
}

/** @throws ChartFailure */
function parse(text: string): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw new ChartFailure('format', 'the answer is not whole JSON', { cause: error });
  }
  if (typeof body === 'object' && body !== null) return body as Record<string, unknown>;
  throw new ChartFailure('format', 'the answer is no object');
}

function networkReason(error: unknown): string {
  const code = systemErrorCode(error);
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'its name cannot be resolved';
  if (code !== undefined && /^CERT_(?:NOT_YET_VALID|HAS_EXPIRED)$/.test(code)) {
    return `its certificate is not valid at this machine's time, ${new Date().toISOString()}; set the clock`;
  }
  if (code !== undefined) return code;
  // What fetch says itself is 'fetch failed'.
  const told = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return told instanceof Error ? told.message : String(told);
}

/** Names of the failure that a status and a body stand for. */
function refusalOf(response: Response, body: string): ChartFailure {
  const { status } = response;
  const description = descriptionOf(body) ?? `HTTP ${status}`;
  if (status === 429) {
    return new ChartFailure('rate-limited', 'HTTP 429', {
      retryAfterMs: retryAfterOf(response.headers.get('retry-after')),
    });
  }
  if (status === 404) return new ChartFailure('unknown', description);
  // Blocked for a while, as far as anybody outside of Yahoo knows.
  if (status >= 500 || status === 401 || status === 403) {
    return new ChartFailure('server', description, { retryAfterMs: retryAfterOf(response.headers.get('retry-after')) });
  }
  return new ChartFailure(
    'refused',
    description.startsWith('HTTP') || NO_DATA_IN_RANGE.test(description)
      ? description
      : `HTTP ${status}, ${description}`,
  );
}

function descriptionOf(body: string): string | undefined {
  try {
    const description = (JSON.parse(body) as { chart?: { error?: { description?: unknown } } }).chart?.error
      ?.description;
    return typeof description === 'string' ? shortened(description) : undefined;
  } catch {
    return undefined;
  }
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
function retryAfterOf(header: string | null): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

interface ValidationProblem {
  readonly instancePath?: string;
  readonly message?: string;
  readonly params?: { readonly missing?: unknown };
}

/** What the package threw, as a failure; a validation error names the field. */
function failureOf(error: unknown, symbol: string): ChartFailure {
  if (error instanceof ChartFailure) {
    if (error.kind !== 'format') return error;
    return new ChartFailure('format', `${symbol}: ${error.message}`, { cause: error.cause });
  }
  const about = { cause: error };
  if (!(error instanceof Error)) return new ChartFailure('format', String(error), about);
  const problems = (error as { errors?: readonly ValidationProblem[] | null }).errors;
  if (error.name === 'FailedYahooValidationError' && problems) {
    const [first] = problems;
    const field = first?.instancePath ? first.instancePath.slice(1).replaceAll('/', '.') : 'the answer';
    const missing = first?.params?.missing;
    const detail =
      missing === undefined ? (first?.message ?? 'not valid') : `lacks ${[missing].flat().map(nameOf).join(', ')}`;
    return new ChartFailure('format', `${symbol}: ${field}: ${detail}`, about);
  }
  return new ChartFailure('format', `${symbol}: ${shortened(error.message)}`, about);
}

const nameOf = (missing: unknown): string =>
  typeof missing === 'object' && missing !== null && 'missingProperty' in missing
    ? String(missing.missingProperty)
    : JSON.stringify(missing);

const shortened = (text: string): string => (text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text);
