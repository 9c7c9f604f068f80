import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BrokerError } from './errors.js'

/**
 * A process that can be recognised later. A process id alone is reused by the kernel, so a signal to it may hit a
 * stranger; id, start time and boot together are unique.
 */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks between the boot of the machine and the start of the process. */
  readonly startTicks: number
  /** The kernel's id of this boot, since start times begin again at each. */
  readonly bootId: string
}

interface ProcessStat {
  readonly state: string
  readonly threadCount: number
  readonly startTicks: number
}

/** Fields 3 (state), 20 (threads) and 22 (start time) of a `/proc/<pid>/stat` line; see proc_pid_stat(5). */
export function parseProcessStat(line: string): ProcessStat {
  // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', threadCount: Number(fields[17]), startTicks: Number(fields[19]) }
}

function readStat(pid: number): ProcessStat | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return undefined
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function hasEnded({ state, threadCount }: ProcessStat): boolean {
  // A killed process is a zombie as soon as its first thread is gone; the others may still hold its ports and files.
  return state === 'X' || (state === 'Z' && threadCount <= 1)
}

/** The identity of a running process, or undefined when there is no such process (a zombie counts as none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid)
  if (stat === undefined || hasEnded(stat)) return undefined
  return { pid, startTicks: stat.startTicks, bootId: bootId() }
}

/** Whether exactly this process still runs; false when its id belongs to another process by now. */
export function isRunning(identity: ProcessIdentity): boolean {
  const current = identifyProcess(identity.pid)
  return current !== undefined && current.startTicks === identity.startTicks && current.bootId === identity.bootId
}

/** Whether the process is stopped by SIGSTOP. */
export function isStopped(identity: ProcessIdentity): boolean {
  return isRunning(identity) && readStat(identity.pid)?.state === 'T'
}

/** Sends a signal to exactly this process; false when it no longer runs, and then nothing is signalled. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false
  try {
    return process.kill(identity.pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}

/** Resolves to true when the process has ended, to false when it still runs after `timeoutMs`. */
async function waitForExit(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs
  while (isRunning(identity)) {
    if (performance.now() >= deadline) return false
    await delay(10)
  }
  return true
}

/** SIGKILL, then waits for the exit; rejects with TIMEOUT when the kernel doesn't end it within 10 s. */
export async function killAndWait(identity: ProcessIdentity): Promise<void> {
  signalProcess(identity, 'SIGKILL')
  if (!(await waitForExit(identity, 10_000))) {
    throw new BrokerError('TIMEOUT', `process ${identity.pid} did not end within 10 s of SIGKILL`)
  }
}

/** SIGTERM (a stopped process is continued first), and SIGKILL when that takes longer than `timeoutMs`. */
export async function terminateAndWait(identity: ProcessIdentity, timeoutMs: number): Promise<void> {
  signalProcess(identity, 'SIGTERM')
  signalProcess(identity, 'SIGCONT')
  if (!(await waitForExit(identity, timeoutMs))) await killAndWait(identity)
}

/** The command line of a process, as far as this user may see it. */
export function commandLine(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim() || undefined
  } catch {
    return undefined
  }
}

const execFileAsync = promisify(execFile)

/** What a program run by `runProgram` has written. */
export interface ProgramOutput {
  readonly stdout: string
  readonly stderr: string
}

/** Settings of `runProgram`. */
export interface RunProgramOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  /** Default 10 minutes. */
  readonly timeoutMs?: number
}

/**
 * Runs a program to its end and resolves with its output.
 * Rejects with NOT_FOUND and `installHint` when there is no such program, with UNAVAILABLE and the last lines of its
 * output when it fails.
 */
export async function runProgram(
  file: string,
  args: readonly string[],
  installHint: string,
  options: RunProgramOptions = {},
): Promise<ProgramOutput> {
  try {
    return await execFileAsync(file, [...args], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env ?? process.env,
      timeout: options.timeoutMs ?? 600_000,
      maxBuffer: 64 * 1024 * 1024,
    })
  } catch (error) {
    const failure = error as NodeJS.ErrnoException & Partial<ProgramOutput>
    if (failure.code === 'ENOENT') {
      throw new BrokerError('NOT_FOUND', `${file} is not installed. ${installHint}`, { cause: error })
    }
    const lines = `${failure.stdout ?? ''}\n${failure.stderr ?? ''}`.split('\n').filter((line) => line.trim() !== '')
    const tail = lines.slice(-8).join('\n')
    throw new BrokerError('UNAVAILABLE', `${file} ${args.join(' ')} failed:\n${tail || failure.message}`, {
      cause: error,
    })
  }
}
