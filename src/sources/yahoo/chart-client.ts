/**
 * One request to Yahoo's chart API, or to a server that speaks it, through the package yahoo-finance2, which knows the
 * request's form and validates the answer. Asking again is the caller's.
 */
import YahooFinance from 'yahoo-finance2';
import { type EpochMs, epochMs, systemErrorCode } from '../../base/index.ts';
import type { RawBars } from '../source.ts';
import type { AnswerClock } from './answer-clock.ts';
import { ChartFailure } from './failure.ts';

export interface ChartClientOptions {
  /** A server that answers instead of Yahoo, without a slash at its end. */
  readonly url?: string;
  /** Told of every answer's time. */
  readonly clock: AnswerClock;
  /** After this long without a whole answer a request is given up. */
  readonly timeoutMs: number;
}

const LONGEST_QUOTE = 160;

export class ChartClient {
  readonly #url: string | undefined;
  readonly #clock: AnswerClock;
  readonly #timeoutMs: number;
  readonly #yahoo: InstanceType<typeof YahooFinance>;

  constructor(options: ChartClientOptions) {
    this.#url = options.url?.replace(/\/+$/, '');
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#yahoo = new YahooFinance({
      // The callers limit what is in flight; the package's own queue would only hide it.
      queue: { concurrency: 1000 },
      versionCheck: false,
      suppressNotices: ['yahooSurvey', 'ripHistorical'],
      validation: { logErrors: false, logOptionsErrors: false },
    });
  }

  /**
   * The one-minute rows of `symbol` with period1 <= time < period2, as the source gave them.
   * @param period1 Unix seconds
   * @throws ChartFailure; the signal's reason when it aborts
   */
  async rows(symbol: string, period1: number, period2: number, signal?: AbortSignal): Promise<RawBars> {
    let askedAt: EpochMs = this.#clock.now();
    const ask = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const answer = await this.#fetch(input, init, signal);
      askedAt = answer.marketTime ?? askedAt;
      return answer.response;
    };
    try {
      const result = await this.#yahoo.chart(
        symbol,
        { period1, period2, interval: '1m', includePrePost: false, events: '', return: 'object' },
        { fetch: ask as typeof fetch },
      );
      return rawBarsOf(symbol, askedAt, result.timestamp ?? [], result.indicators.quote[0]);
    } catch (error) {
      signal?.throwIfAborted();
      throw failureOf(error, symbol);
    }
  }

  /**
   * Learns the time from a simulated exchange, whether it has told it before or not; asks nobody else. A server without
   * a clock, or none at all, changes nothing.
   */
  async syncClock(signal?: AbortSignal): Promise<void> {
    if (this.#url === undefined) return;
    try {
      const timeout = AbortSignal.timeout(this.#timeoutMs);
      const response = await fetch(`${this.#url}/clock`, {
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
  ): Promise<{ response: Response; marketTime: EpochMs | undefined }> {
    const asked = new URL(input instanceof Request ? input.url : input);
    const target = this.#url === undefined ? asked : `${this.#url}${asked.pathname}${asked.search}`;
    const timeout = AbortSignal.timeout(this.#timeoutMs);
    let response: Response;
    let body: ArrayBuffer;
    try {
      response = await fetch(target, { ...init, signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
      // The whole body is read here, so that a connection that breaks off is told from an answer that does.
      body = await response.arrayBuffer();
    } catch (error) {
      signal?.throwIfAborted();
      if (timeout.aborted)
        throw new ChartFailure('timeout', `no answer within ${this.#timeoutMs / 1000} s`, { cause: error });
      throw new ChartFailure('network', networkReason(error), { cause: error });
    }
    const marketTime = this.#clock.observe(response.headers);
    if (!response.ok) throw refusalOf(response, Buffer.from(body).toString());
    return { response: new Response(body, { status: response.status, headers: response.headers }), marketTime };
  }
}

function networkReason(error: unknown): string {
  const code = systemErrorCode(error);
  if (code === 'ECONNREFUSED') return 'the connection was refused';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return 'its name cannot be resolved';
  return code ?? (error instanceof Error ? error.message : String(error));
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
  if (status >= 500) {
    return new ChartFailure('server', description, { retryAfterMs: retryAfterOf(response.headers.get('retry-after')) });
  }
  return new ChartFailure('refused', `HTTP ${status}, ${description}`);
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
  if (error instanceof ChartFailure) return error;
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
  if (error.message.startsWith('Response.ok where we expect JSON')) {
    return new ChartFailure('format', `${symbol}: the answer is not whole JSON`, about);
  }
  return new ChartFailure('format', `${symbol}: ${shortened(error.message)}`, about);
}

const nameOf = (missing: unknown): string =>
  typeof missing === 'object' && missing !== null && 'missingProperty' in missing
    ? String(missing.missingProperty)
    : JSON.stringify(missing);

const shortened = (text: string): string => (text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE)}…` : text);

type Quote = { readonly [field in 'open' | 'high' | 'low' | 'close' | 'volume']: readonly (number | null)[] };
const FIELDS = ['open', 'high', 'low', 'close', 'volume'] as const;

/** @throws ChartFailure when the columns differ in length */
function rawBarsOf(symbol: string, askedAt: EpochMs, timestamps: readonly number[], quote: Quote | undefined): RawBars {
  const rows = timestamps.length;
  const columns: { [field in (typeof FIELDS)[number]]?: Float64Array } = {};
  for (const field of FIELDS) {
    const values = quote?.[field] ?? [];
    if (values.length !== rows) {
      throw new ChartFailure(
        'format',
        `${symbol}: indicators.quote.${field} has ${values.length} values for ${rows} times`,
      );
    }
    columns[field] = numbersOf(values);
  }
  const timeMs = numbersOf(timestamps);
  for (let i = 0; i < rows; i++) timeMs[i] *= 1000;
  return { symbol, askedAt: epochMs(askedAt), timeMs, ...(columns as { [field in keyof Quote]: Float64Array }) };
}

/** A plain loop: `Float64Array.from` with a function takes ten times as long. */
function numbersOf(values: readonly (number | null)[]): Float64Array {
  const numbers = new Float64Array(values.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = values[i] ?? Number.NaN;
  return numbers;
}
