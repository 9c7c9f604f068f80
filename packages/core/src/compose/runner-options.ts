import { StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import { requireNames, signalFields } from '../options/call-options.js'
import { isPlainObject, type OptionValues, option } from '../options/fields.js'
import { readOptions } from '../options/resolve.js'
import type { HealthServerOptions } from './health-server.js'
import type { ConsumerRunner } from './runner.js'
import type { TransportChoice } from './transport-pool.js'

/** Called at a turn of the runner's life; may be asynchronous, and is waited for. */
export type RunnerHook = (runner: ConsumerRunner) => unknown

/** Options of a {@link ConsumerRunner}. */
export interface RunnerOptions {
  /**
   * Time for the whole stop, in milliseconds: handlers, acks, flushes and producers together. The default is below the 30 s that orchestrators allow.
   * @default 25000 (25 s)
   */
  readonly timeoutMs?: number
  /**
   * Signals that stop the runner while it runs. An empty list: none.
   * @default ['SIGINT', 'SIGTERM']
   */
  readonly signals?: readonly NodeJS.Signals[]
  /** Where to answer health checks over HTTP. Left out: nowhere. */
  readonly health?: HealthServerOptions
  /** Where the routes of routers are consumed. Left out: what the environment says. */
  readonly transport?: TransportChoice
  /** The group of routes that name none. */
  readonly group?: string
  /** In place of `process.env`. `STREAMSWITCH_RUN` names the loops to run, separated by commas; of names with commas of their own the longest that fits counts. */
  readonly environment?: NodeJS.ProcessEnv
  /** Where to tell what happens. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Before anything is connected; the state is `starting`. A failure fails the start. */
  readonly onStartup?: RunnerHook
  /** When every loop handles messages; the state is `running`. A failure stops the runner, and `run` rejects with it. */
  readonly afterStartup?: RunnerHook
  /** Before the loops are closed; the state is `stopping`. A failure stops nothing; `run` rejects with it. */
  readonly onStop?: RunnerHook
  /** When everything is closed; the state is `stopped` or `failed`. As `onStop`. */
  readonly afterStop?: RunnerHook
}

/** Which loops to run, and until when. */
export interface RunOptions {
  /** Names of the loops to run. Left out: those that `STREAMSWITCH_RUN` names, else all. */
  readonly only?: readonly string[]
  /** Stops the runner as a signal of the process does. */
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
  only: option.custom<readonly string[]>('list of texts', (raw) =>
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

/** Checks the options that aren't handed on. Throws INVALID_ARGUMENT with every problem. */
export function readRunnerOptions(options: RunnerOptions): RunnerOptionValues {
  const known = [...Object.keys(runnerFields), 'transport', 'group', 'environment', 'logger']
  requireNames(options, known, { subject: 'the ConsumerRunner' })
  const { transport: _transport, group: _group, environment: _environment, logger: _logger, ...own } = options
  return readOptions(runnerFields, own, { subject: 'the ConsumerRunner' })
}

/** Names of loops, and where they were given. */
export interface Choice {
  /** @param known - the names that loops have. */
  names(known: Iterable<string>): readonly string[]
  readonly from: string
}

/** Which loops to run, by name; `undefined` for all. */
export function chosenNames(only: readonly string[] | undefined, environment: NodeJS.ProcessEnv): Choice | undefined {
  if (only !== undefined) return { names: () => only, from: 'only' }
  const parts = partsOf(environment.STREAMSWITCH_RUN ?? '')
  return parts.length === 0 ? undefined : { names: (known) => namesIn(parts, known), from: 'STREAMSWITCH_RUN' }
}

/** Puts together again the names that have commas themselves: from left to right, the longest name that a loop has. */
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
    'must be { port, host, details }, with a port from 0 (any free one) to 65535, and details true or false'
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
