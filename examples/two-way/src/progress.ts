import { Presets, SingleBar } from 'cli-progress'
import { MONTHS, type ReportPart } from './service.js'

/** Shows the parts of a report as they come: a bar on a terminal, else a line each. */
export function showParts(output: NodeJS.WriteStream = process.stdout): (part: ReportPart) => void {
  if (!output.isTTY) return ({ month, of }) => void output.write(`report: part ${month} of ${of}\n`)
  const bar = new SingleBar(
    { format: ' report {bar} {value}/{total} parts', stream: output, hideCursor: true },
    Presets.shades_classic,
  )
  bar.start(MONTHS, 0)
  return ({ month, of }) => {
    bar.update(month)
    if (month === of) bar.stop()
  }
}
