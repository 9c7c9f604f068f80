/**
 * The text of a `key = value` configuration file. A line of `extra` replaces the setting with its key, or is added;
 * a key may be in `extra` once.
 */
export function mergeSettings(
  settings: Readonly<Record<string, string | number>>,
  extra: readonly string[],
  separator: string,
): string {
  const lines = new Map(Object.entries(settings).map(([key, value]) => [key, `${key}${separator}${value}`]))
  for (const line of extra) lines.set((line.split('=')[0] ?? line).trim(), line)
  return `${[...lines.values()].join('\n')}\n`
}
