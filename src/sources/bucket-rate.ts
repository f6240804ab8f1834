/**
 * The rate of a token bucket from what it granted: it holds at most a second's worth of requests, gains so many a second,
 * and refuses a request that finds less than one.
 */

const BISECTIONS = 30;
const MOST = 2 ** 24;

/**
 * Requests a second of the bucket whose first refusal is the last of these requests.
 * @param sentAt when each was sent, in milliseconds, in order: all but the last were granted
 * @param saved seconds' worth that the bucket held when the first was sent, at most 1
 */
export function bucketRate(sentAt: readonly number[], saved: number): number {
  // The more it gains, the later it refuses.
  let low = 0;
  let high = 1;
  while (high < MOST && refusesBefore(sentAt, high, saved)) high *= 2;
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (low + high) / 2;
    if (refusesBefore(sentAt, middle, saved)) low = middle;
    else high = middle;
  }
  return high;
}

/** Whether a bucket of this rate refuses one of the requests before the last. */
function refusesBefore(sentAt: readonly number[], perSecond: number, saved: number): boolean {
  const most = Math.max(1, perSecond);
  let tokens = Math.max(1, perSecond * saved);
  for (let i = 0; i < sentAt.length - 1; i++) {
    if (i > 0) tokens = Math.min(most, tokens + ((sentAt[i]! - sentAt[i - 1]!) * perSecond) / 1000);
    if (tokens < 1) return true;
    tokens--;
  }
  return false;
}
