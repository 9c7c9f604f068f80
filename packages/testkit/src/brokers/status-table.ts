/** One line of the status table. */
export type StatusRow = readonly [
  name: string,
  version: string,
  pid: string,
  ports: string,
  data: string,
  health: string,
]

const HEADINGS: StatusRow = ['name', 'version', 'pid', 'ports', 'data', 'health']

/** Lays rows out in columns under headings. */
export function formatStatus(rows: readonly StatusRow[]): string {
  const lines: readonly (readonly string[])[] = [HEADINGS, ...rows]
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
