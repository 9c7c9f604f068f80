import { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import { requireNames, signalFields } from '../options/call-options.js'
import { isPlainObject, type OptionValues, option } from '../options/fields.js'
import { readOptions } from '../options/resolve.js'
import type { HealthServerOptions } from './health-server.js'
import type { ConsumerRunner } from './runner.js'
import type { TransportChoice } from './transport-pool.js'

/** Called when the runner changes its state. May be asynchronous; the runner waits for it. */
export type RunnerHook = (runner: ConsumerRunner) => unknown

/** Options of a {@link ConsumerRunner}. */
export interface RunnerOptions {
  /**
   * Time for the whole shutdown, in milliseconds: handlers, acks, flushes and producers together. The default is below
   * the 30 s that orchestrators allow.
   * @default 25000 (25 s)
   */
  readonly timeoutMs?: number
  /**
   * Signals that stop the runner while it runs. An empty list: none.
   * @default ['SIGINT', 'SIGTERM']
   */
  readonly signals?: readonly NodeJS.Signals[]
  /** HTTP endpoint for health checks. Default: none. */
  readonly health?: HealthServerOptions
  /** Transport on which the routes of routers are consumed. Default: from the environment. */
  readonly transport?: TransportChoice
  /** Group of the routes that don't set one. */
  readonly group?: string
  /**
   * Environment variables to use instead of `process.env`. `STREAMSWITCH_RUN` names the loops to run, separated by
   * commas; if names contain commas, the longest matching name is used.
   */
  readonly environment?: NodeJS.ProcessEnv
  /** Logger of the runner. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Called before anything is connected; the state is `starting`. A failure fails the start. */
  readonly onStartup?: RunnerHook
  /**
   * Called when every loop handles messages; the state is `running`. A failure stops the runner, and `run` rejects with
   * it.
   */
  readonly afterStartup?: RunnerHook
  /**
   * Called before the loops are closed; the state is `stopping`. A failure doesn't interrupt the shutdown; `run`
   * rejects with it.
   */
  readonly onStop?: RunnerHook
  /** Called when everything is closed; the state is `stopped` or `failed`. Failures as for `onStop`. */
  readonly afterStop?: RunnerHook
}

/** Which loops to run, and how to stop them. */
export interface RunOptions {
  /** Names of the loops to run. Default: those in `STREAMSWITCH_RUN`, else all. */
  readonly only?: readonly string[]
  /** Stops the runner, as a process signal does. */
  readonly signal?: AbortSignal
}

export type HookName = 'onStartup' | 'afterStartup' | 'onStop' | 'afterStop'

const hook = option.custom<RunnerHook>('function', (raw) =>
  typeof raw === 'function' ? { value: raw as RunnerHook } : 'must be a function of the runner',
)

const runnerFields = {
  timeoutMs: option.integer({ default: 25_000, min: 0, max: 2_147_483_647 }),
  signals: option.custom<readonly NodeJS.Signals[]>(
    'list of signals',
    (raw) =>
      Array.isArray(raw) && raw.every((one) => typeof one === 'string' && one.startsWith('SIG'))
        ? { value: raw as readonly NodeJS.Signals[] }
        : 'must be a list of signal names',
    { default: ['SIGINT', 'SIGTERM'] },
  ),
  health: option.custom<HealthServerOptions>('{ port, host, details }', checkHealth),
  onStartup: hook,
  afterStartup: hook,
  onStop: hook,
  afterStop: hook,
}

/** Options of `run`. */
export const runFields = {
  ...signalFields,
  only: option.custom<readonly string[]>('string[]', (raw) =>
    Array.isArray(raw) && raw.every((one) => typeof one === 'string')
      ? { value: raw as readonly string[] }
      : 'must be a list of names',
  ),
}

/** Options of `add` and `health`. */
export const addFields = { name: option.text() }
export const healthFields = {
  /**
   * Whether brokers are asked how far loops are behind.
   * @default true
   */
  lag: option.flag({ default: true }),
}

export type RunnerOptionValues = OptionValues<typeof runnerFields>

/** Checks the runner's own options. Throws INVALID_ARGUMENT with every problem. */
export function readRunnerOptions(options: RunnerOptions): RunnerOptionValues {
  const known = [...Object.keys(runnerFields), 'transport', 'group', 'environment', 'logger']
  requireNames(options, known, { subject: 'the ConsumerRunner' })
  const { transport: _transport, group: _group, environment: _environment, logger: _logger, ...own } = options
  return readOptions(runnerFields, own, { subject: 'the ConsumerRunner' })
}

/** Names of loops, and where they were set. */
export interface Choice {
  /** @param known - the names that loops have. */
  names(known: Iterable<string>): readonly string[]
  readonly from: string
}

/** Returns the names of the loops to run; `undefined` for all. */
export function chosenNames(only: readonly string[] | undefined, environment: NodeJS.ProcessEnv): Choice | undefined {
  if (only !== undefined) return { names: () => only, from: 'only' }
  const parts = partsOf(environment.STREAMSWITCH_RUN ?? '')
  return parts.length === 0 ? undefined : { names: (known) => namesIn(parts, known), from: 'STREAMSWITCH_RUN' }
}

/** Rejoins names that contain commas: from left to right, the longest name that a loop has. */
function namesIn(parts: readonly string[], known: Iterable<string>): string[] {
  const whole = new Map([...known].map((name) => [partsOf(name).join(), name]))
  const names: string[] = []
  for (let at = 0; at < parts.length; ) {
    let end = parts.length
    while (end > at + 1 && !whole.has(parts.slice(at, end).join())) end -= 1
    const part = parts.slice(at, end).join()
    names.push(whole.get(part) ?? part)
    at = end
  }
  return names
}

function partsOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

export function runnerError(code: StreamError['code'], message: string, cause?: unknown): StreamError {
  return new StreamError(`the runner: ${message}`, { code, operation: 'run', cause })
}

function checkHealth(raw: unknown): { readonly value: HealthServerOptions } | string {
  const expected =
    'must be { port, host, details }, with a port from 0 (any free port) to 65535, and details true or false'
  if (!isPlainObject(raw)) return expected
  const { port, host, details, ...unknown } = raw
  const isPort = typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535
  const isHost = host === undefined || (typeof host === 'string' && host !== '')
  const isDetails = details === undefined || typeof details === 'boolean'
  if (!isPort || !isHost || !isDetails || Object.keys(unknown).length > 0) return expected
  return {
    value: { port, ...(host === undefined ? {} : { host }), ...(details === undefined ? {} : { details }) },
  }
}
