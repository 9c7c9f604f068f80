import { parseArgs } from 'node:util'
import { isStreamError } from '@streamswitch/core'
import { runInOneProcess } from './one-process.js'
import type { Outcome } from './outcome.js'
import { runInProcesses } from './processes.js'
import { showProgress } from './progress.js'
import { report } from './report.js'
import type { RunMonitor } from './run-monitor.js'

const USAGE = `usage: demo [--processes]

Runs the services in one process, or each in its own. STREAMSWITCH_URL or STREAMSWITCH_TRANSPORT says on which transport;
with neither set it runs in memory.
`

/** The URL to use, or undefined where the environment names a transport without one. */
function chosenUrl(): string | undefined {
  const { STREAMSWITCH_URL: url, STREAMSWITCH_TRANSPORT: name } = process.env
  return url || (name ? undefined : 'memory://')
}

async function run(inProcesses: boolean): Promise<Outcome> {
  const interruption = new AbortController()
  const interrupt = (): void => interruption.abort(new Error('interrupted'))
  const onStart = (monitor: RunMonitor, transport: string): void => {
    process.stdout.write(
      `${monitor.total} departures on ${transport}${inProcesses ? ', each service in its own process' : ''}\n`,
    )
    const stopProgress = showProgress(monitor)
    monitor.finished.then(stopProgress, stopProgress)
  }
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  try {
    return await (inProcesses ? runInProcesses : runInOneProcess)({
      url: chosenUrl(),
      onStart,
      signal: interruption.signal,
    })
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { processes: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    return
  }
  const outcome = await run(values.processes)
  process.stdout.write(`\n${report(outcome)}\n`)
  if (!outcome.isCorrect) process.exitCode = 1
}

try {
  await main()
} catch (error) {
  // What the user can act on needs no stack trace.
  const isExpected =
    isStreamError(error) || (error instanceof Error && (error.message === 'interrupted' || 'code' in error))
  process.stderr.write(`${isExpected ? error.message : error instanceof Error ? error.stack : String(error)}\n`)
  process.exitCode = 1
}
