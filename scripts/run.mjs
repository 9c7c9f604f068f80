import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { endLeftovers, newMark } from './leftovers.mjs'
import { ROOT } from './workspace.mjs'

/** @type {Readonly<Record<'inherit' | 'capture' | 'forward', import('node:child_process').StdioOptions>>} */
const STDIO = {
  inherit: 'inherit',
  capture: ['ignore', 'pipe', 'inherit'],
  forward: ['ignore', 'pipe', 'pipe'],
}
/** How long the end of what a program has printed may take to be read. */
const DRAIN_MS = 2_000

/** Thrown to end a script with a message and an exit code, without a stack trace. */
export class ScriptFailure extends Error {
  /**
   * @param {string} message Empty when everything has been said.
   * @param {number} [exitCode]
   */
  constructor(message, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/**
 * @typedef {object} RunOptions
 * @property {string} [cwd] Default: the repository's root.
 * @property {NodeJS.ProcessEnv} [env] Added to this process's environment.
 * @property {'inherit' | 'capture' | 'forward'} [output] Default: inherit. `forward`: this process prints what the program prints,
 *   until the program ends: processes that it leaves behind can't print later, nor keep the pipe of this process open.
 * @property {boolean} [endLeftovers] Kill what the program has started and left running when it ended, and print its command lines. On
 *   Linux only. Default: false.
 * @property {number} [timeoutMs] After it the program is killed, with all that it has started. Default: no limit.
 */

/**
 * Runs a program and resolves with its exit code and what it printed (empty unless captured). A program that a signal
 * ended gets the shell's code, 128 + the signal's number. Ctrl-C reaches the program through the terminal; this process
 * waits for it. Rejects when the program can't be started, or ran longer than its limit.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 * @returns {Promise<{ code: number, output: string }>}
 */
export function run(program, args, options = {}) {
  const { cwd = ROOT, env = {}, output = 'inherit', endLeftovers: endsLeftovers = false, timeoutMs } = options
  const mark = endsLeftovers ? newMark() : {}
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env, ...mark },
      stdio: STDIO[output],
      // npm and pnpm are command files on Windows.
      shell: process.platform === 'win32',
    })
    let text = ''
    if (output === 'capture')
      child.stdout?.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
    if (output === 'forward') forwardOutput(child)
    const limit = endAfter(child, timeoutMs)
    const forwarded = forwardSignals(child)
    const release = () => {
      forwarded()
      clearTimeout(limit.timer)
    }
    child.once('error', (error) => {
      release()
      reject(new ScriptFailure(`cannot start ${program}: ${error.message}`))
    })
    child.once('close', async (code, signal) => {
      release()
      if (endsLeftovers) await endLeftovers(mark)
      if (limit.reached()) {
        const what = `${[program, ...args].join(' ')} ran for longer than ${timeoutMs} ms and was killed`
        reject(new ScriptFailure(text === '' ? what : `${what}\n${text}`))
      } else resolve({ code: code ?? 128 + (signal === null ? 0 : constants.signals[signal]), output: text })
    })
  })
}

/**
 * Runs a program and rejects with its exit code when that isn't 0.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {RunOptions} [options]
 */
export async function mustRun(program, args, options) {
  const { code, output } = await run(program, args, options)
  if (code !== 0) throw new ScriptFailure('', code)
  return output
}

/**
 * Passes on what a program prints. When it has ended, what it left in its pipes is read, and then they are closed, though
 * processes that it has left behind may have them open.
 *
 * @param {import('node:child_process').ChildProcess} child
 */
function forwardOutput(child) {
  child.stdout?.pipe(process.stdout, { end: false })
  child.stderr?.pipe(process.stderr, { end: false })
  child.once('exit', () => {
    const timer = setTimeout(() => {
      child.stdout?.destroy()
      child.stderr?.destroy()
    }, DRAIN_MS)
    child.once('close', () => clearTimeout(timer))
  })
}

/**
 * Kills a program with its descendants when it has run for so long.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @param {number | undefined} timeoutMs
 */
function endAfter(child, timeoutMs) {
  let reached = false
  const end = async () => {
    reached = true
    // Loaded late: this file also runs before anything is installed.
    const { default: killTree } = await import('tree-kill')
    if (child.pid !== undefined) killTree(child.pid, 'SIGKILL')
  }
  const timer = timeoutMs === undefined ? undefined : setTimeout(end, timeoutMs)
  return { timer, reached: () => reached }
}

/**
 * While a program runs, a signal must not end this process first: what comes after (stopping brokers) has to happen.
 * SIGINT comes from the terminal, which sends it to the program as well; SIGTERM is passed on.
 *
 * @param {import('node:child_process').ChildProcess} child
 */
function forwardSignals(child) {
  const ignore = () => {}
  const pass = () => child.kill('SIGTERM')
  process.on('SIGINT', ignore)
  process.on('SIGTERM', pass)
  return () => {
    process.off('SIGINT', ignore)
    process.off('SIGTERM', pass)
  }
}
