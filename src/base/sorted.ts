/** The first place in [low, high) whose value is not below the wanted one, or `high`; the values there do not fall. */
export function lowerBound(values: ArrayLike<number>, wanted: number, low = 0, high = values.length): number {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
