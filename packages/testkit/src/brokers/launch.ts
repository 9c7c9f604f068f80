import { spawn } from 'node:child_process'
import { accessSync, closeSync, constants, openSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { LaunchCommand } from './definition.js'
import { BrokerError } from './errors.js'
import { identifyProcess, type ProcessIdentity, signalProcess } from './process.js'

/**
 * How long a started process lives: `process` ends it with SIGKILL when the process that started it ends in whatever
 * way; `detached` lets it run on.
 */
export type Lifetime = 'process' | 'detached'

/** How a launched process ended. */
export interface LaunchExit {
  /** Its exit code, or null when a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** Processes of lifetime `process`; ended when this process exits, should the kernel not do it already. */
const owned = new Set<ProcessIdentity>()

function endOwned(): void {
  for (const identity of owned) signalProcess(identity, 'SIGKILL')
}

/** The path of a program on the search path, or undefined. */
function findProgram(name: string, searchPath: string = process.env['PATH'] ?? ''): string | undefined {
  return searchPath
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

/**
 * Starts a process in a session of its own, so that Ctrl-C in a terminal doesn't reach it, its output appended to
 * `logFile`. Resolves with its identity once it exists; rejects with NOT_FOUND when the program is missing. `onExit` is
 * called when it ends.
 */
export async function launch(
  command: LaunchCommand,
  cwd: string,
  logFile: string,
  lifetime: Lifetime,
  onExit?: (exit: LaunchExit) => void,
): Promise<ProcessIdentity> {
  // Only the kernel can act on the SIGKILL of this process; setpriv arranges for it and then becomes the command.
  const setpriv = lifetime === 'process' ? findProgram('setpriv') : undefined
  const [file, ...args] =
    setpriv === undefined
      ? [command.file, ...command.args]
      : [setpriv, '--pdeathsig', 'KILL', command.file, ...command.args]
  const log = openSync(logFile, 'a')
  try {
    const child = spawn(file ?? '', args, { cwd, env: command.env, detached: true, stdio: ['ignore', log, log] })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', (error) =>
        reject(new BrokerError('NOT_FOUND', `${command.file} can't be started: ${error.message}`, { cause: error })),
      )
    })
    child.unref()
    if (onExit !== undefined) child.once('exit', (code, signal) => onExit({ code, signal }))
    const identity = child.pid === undefined ? undefined : identifyProcess(child.pid)
    if (identity === undefined)
      throw new BrokerError('UNAVAILABLE', `${command.file} ended at once:\n${lastLines(logFile)}`)
    if (lifetime === 'process') {
      if (owned.size === 0) process.once('exit', endOwned)
      owned.add(identity)
      child.once('exit', () => owned.delete(identity))
    }
    return identity
  } finally {
    closeSync(log)
  }
}

/** The last lines of a log file, or a note that there are none. */
export function lastLines(logFile: string, count = 20): string {
  let text: string
  try {
    text = readFileSync(logFile, 'utf8')
  } catch {
    return '(no log)'
  }
  const lines = text.trimEnd().split('\n')
  return text.trim() === '' ? '(the log is empty)' : lines.slice(-count).join('\n')
}
