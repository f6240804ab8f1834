/**
 * The rate of fused multiply-adds in registers on so many threads, in GFLOP/s (two a lane): the ceiling that figures
 * of the native kernel are compared with. Takes about half a second. @throws BARCAST_E_KERNEL_UNAVAILABLE
 */
export async function measureFmaPeak(threads: number): Promise<number> {
  // Loaded only when asked for, as in `choose.ts`.
  return (await import('./native.ts')).measureFmaPeak(threads);
}
