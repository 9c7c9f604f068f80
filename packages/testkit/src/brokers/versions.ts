/** A version's numbers: `8.0.2` is 8, 0, 2. What follows the numbers doesn't count. */
function numbersOf(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? '').split('.').map(Number)
}

/** Negative where `a` is older than `b`, positive where it is newer, 0 where they have the same numbers. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)]
  for (let index = 0; index < Math.max(left.length, right.length); index += 1) {
    const difference = (left[index] ?? -1) - (right[index] ?? -1)
    if (difference !== 0) return difference
  }
  return 0
}

/** Whether a version is the one asked for or belongs to the series asked for: `8.0.2` matches `8.0.2`, `8.0` and `8`, but not `8.0.20`. */
export function matchesVersion(version: string, wanted: string): boolean {
  return version === wanted || version.startsWith(`${wanted}.`)
}
