import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import type { CountsByService, RunMonitor } from './run-monitor.js'

const SHOWN = ['departures', 'delays', 'audit'] as const
const BAR_INTERVAL_MS = 100
const LINE_INTERVAL_MS = 2_000

/** Shows how far a run is: bars on a terminal, else a line every two seconds. Returns what ends it. */
export function showProgress(monitor: RunMonitor, output: NodeJS.WriteStream = process.stdout): () => void {
  return output.isTTY ? showBars(monitor, output) : showLines(monitor, output)
}

function showBars(monitor: RunMonitor, output: NodeJS.WriteStream): () => void {
  const format = ' {service} {bar} {percentage}% | {value}/{total} | retries {retries} | alerts {alerts}'
  const bars = new MultiBar(
    { format, stream: output, hideCursor: true, clearOnComplete: false },
    Presets.shades_classic,
  )
  const byService = new Map<string, SingleBar>()
  for (const name of SHOWN)
    byService.set(name, bars.create(monitor.total, 0, { service: name.padEnd(10), retries: 0, alerts: 0 }))
  const draw = (): void => {
    const { counts } = monitor
    for (const name of SHOWN) {
      const { records, injectedFailures, alerts } = counts[name]
      byService.get(name)?.update(records, { retries: injectedFailures, alerts })
    }
  }
  const timer = setInterval(draw, BAR_INTERVAL_MS)
  return () => {
    clearInterval(timer)
    draw()
    bars.stop()
  }
}

function showLines(monitor: RunMonitor, output: NodeJS.WriteStream): () => void {
  const print = (): void => void output.write(`${progressLine(monitor.counts, monitor.total)}\n`)
  const timer = setInterval(print, LINE_INTERVAL_MS)
  return () => {
    clearInterval(timer)
    print()
  }
}

function progressLine(counts: CountsByService, total: number): string {
  const parts = SHOWN.map((name) => `${name} ${Math.floor((100 * counts[name].records) / total)}%`)
  return `${parts.join('  ')}  alerts ${counts.alerts.records}`
}
