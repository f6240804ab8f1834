/**
 * What rate a server permits, from the requests around a refusal.
 *
 * It is known in two ways. Most servers save up for a second (a token bucket): the rate of such a one that would have
 * refused this very request first follows from when requests were sent (`bucket-rate.ts`), and exactly where it was seen
 * for long. And of what was in flight at the refusal, with nothing left saved up, a server grants just what it permits:
 * that needs no bucket, but is short and so coarse. Where both agree, or the first says what it said at the refusal
 * before, the first is sure. Otherwise the second counts, as it needs no assumption.
 */
import { bucketRate } from './bucket-rate.ts';

/** A refusal, and what was granted before and after it. Times are in milliseconds. */
export interface Evidence {
  /** When requests were sent since the limiter opened, up to the refused one; all but that one were granted. */
  readonly sentAt: readonly number[];
  /** Seconds' worth that the server had saved up at the first of them, were it a bucket of a second. */
  readonly saved: number;
  /** From the refused request to the last one that was sent before the refusal came, and those granted of them. */
  readonly inFlightMs: number;
  readonly inFlightGranted: number;
  /** Requests granted between this refusal and the one before, or the start; over how long, and how long it was open. */
  readonly granted: number;
  readonly overMs: number;
  readonly openMs: number;
  /** What the first way said at the refusal before. */
  readonly bucketBefore: number | undefined;
}

export interface PermittedRate {
  /** Requests a second. */
  readonly perSecond: number;
  /** `guessed`: too little was in flight to tell. */
  readonly trust: 'sure' | 'unsure' | 'guessed';
  /** What the first way says. */
  readonly bucket: number;
}

/** Answers in flight that tell a rate. */
const MEASURED_ANSWERS = 20;
/** Two measurements that differ by less are the same; by less than the second, they may be. */
const SAME = 0.12;
const SIMILAR = 0.35;
/** Over as long as this a bucket is known without a second way. */
const LONG_MS = 3000;
/** What a server may have saved up. */
const SAVED_MS = 1000;

export function permittedRate(evidence: Evidence): PermittedRate {
  const { inFlightGranted, inFlightMs, granted, overMs, openMs, bucketBefore } = evidence;
  const bucket = bucketRate(evidence.sentAt, evidence.saved);
  const again = bucketBefore !== undefined && openMs > LONG_MS && Math.abs(bucket / bucketBefore - 1) < SAME;
  if (inFlightGranted >= MEASURED_ANSWERS && inFlightMs > 0) {
    const inFlight = (inFlightGranted * 1000) / Math.max(1, inFlightMs);
    const difference = Math.abs(bucket / inFlight - 1);
    if (difference < (again ? SIMILAR : SAME)) return { perSecond: bucket, trust: 'sure', bucket };
    if (difference <= SIMILAR) return { perSecond: (bucket + inFlight) / 2, trust: 'unsure', bucket };
    // A machine that was too busy to send measures too little: no less than was granted all along.
    const sustained = (granted * 1000) / (overMs + SAVED_MS);
    return { perSecond: Math.max(inFlight, sustained), trust: 'unsure', bucket };
  }
  if (again) return { perSecond: bucket, trust: 'sure', bucket };
  return {
    perSecond: bucketBefore === undefined ? 0 : (granted * 1000) / (openMs + SAVED_MS),
    trust: 'guessed',
    bucket,
  };
}
