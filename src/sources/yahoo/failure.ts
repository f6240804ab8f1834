/** What can go wrong with one request to a chart API, and what a user is told when asking again did not help. */
import { BarcastError } from '../../base/index.ts';

export type FailureKind =
  /** The source does not know the symbol. */
  | 'unknown'
  /** Status 429: ask later. */
  | 'rate-limited'
  /** No connection, or none that lasted. */
  | 'network'
  /** No answer in time. */
  | 'timeout'
  /** Status 500 and above. */
  | 'server'
  /** An answer that is not the documented one. */
  | 'format'
  /** The source understood and says no: a range it does not keep, a request it does not take. */
  | 'refused';

export class ChartFailure extends Error {
  readonly kind: FailureKind;
  /** How long the source asked us to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(kind: FailureKind, message: string, options: { cause?: unknown; retryAfterMs?: number } = {}) {
    super(message, { cause: options.cause });
    this.name = 'ChartFailure';
    this.kind = kind;
    this.retryAfterMs = options.retryAfterMs;
  }

  /** Whether the same request may succeed a little later. */
  get mayPass(): boolean {
    return this.kind !== 'unknown' && this.kind !== 'refused';
  }

  /** Whether the source works as it should and says no to this one request. */
  get isAnswer(): boolean {
    return this.kind === 'unknown' || this.kind === 'refused';
  }

  /** The failure as users see it. `where` names the source. */
  toBarcastError(where: string): BarcastError {
    const about = { cause: this };
    switch (this.kind) {
      case 'rate-limited':
        return new BarcastError(
          'BARCAST_E_RATE_LIMITED',
          `${where} refuses further requests for now (HTTP 429)`,
          'wait some minutes and run the same command again; what was brought in is kept',
          about,
        );
      case 'unknown':
        return new BarcastError('BARCAST_E_SYMBOL', this.message, 'check how Yahoo Finance spells it', about);
      case 'format':
      case 'refused':
        return new BarcastError(
          'BARCAST_E_SOURCE_FORMAT',
          `${where} answered otherwise than documented: ${this.message}`,
          'try again later; if it persists the service has changed and barcast needs an update',
          about,
        );
      case 'network':
      case 'timeout':
      case 'server':
        return new BarcastError(
          'BARCAST_E_NETWORK',
          `${where} cannot be reached: ${this.message}`,
          'check the connection and the address',
          about,
        );
    }
  }
}
