import type { Handler, Message } from '../message.js'
import type { LoopNames } from '../native-names/loop-names.js'
import { unknownOption } from '../options/fields.js'
import { describeType } from '../options/problems.js'
import { type BatchHandler, type BatchLimits, HandlerBatches } from './handler-batches.js'
import { chainHandler, type HandlerStage } from './handler-chain.js'
import {
  answerOutputs,
  type Forward,
  isGenerator,
  isGeneratorFunction,
  noTarget,
  type OutputTarget,
  runBatchGenerator,
  sendTo,
  withOutputs,
} from './handler-outputs.js'
import { listenerProblem } from './listener.js'

/** What the dispatcher needs to handle messages. Created once per `handle`. */
export interface PreparedHandler {
  readonly handle: Handler
  /** Forwards the values of a generator. */
  readonly forward: Forward
  readonly batches?: HandlerBatches
  /** Maximum number of handlers at once, instead of the loop's `concurrency`. */
  readonly limit?: number
}

/** Options of `handle`. */
export interface HandleOptions {
  /** Target of the values that the handler yields or returns. */
  readonly to?: OutputTarget
}

/** Options of `handleBatch`. */
export interface HandleBatchOptions {
  /** Maximum number of messages in a batch. Default 100; at most the loop's `prefetch`. */
  readonly maxMessages?: number
  /**
   * Maximum wait of a batch's first message for others, in milliseconds. Default 50; at most half of
   * `handlerTimeoutMs`.
   */
  readonly maxWaitMs?: number
  /** Target of the values that the handler yields. */
  readonly to?: OutputTarget
}

const DEFAULT_MAX_MESSAGES = 100
const DEFAULT_MAX_WAIT_MS = 50

/** The stages around the handler, and the default target of its values (without `to`). */
export interface HandlerSurroundings {
  readonly stages: readonly HandlerStage[]
  /** Names of topic and group in ids. */
  readonly names: LoopNames
  /** Forwards what a handler yields without a `to`. Default: replies. */
  readonly forward?: Forward
}

/** Prepares a handler for single messages, with its stages. */
export function prepareHandler(
  handler: Handler,
  { stages, names, forward: own = answerOutputs }: HandlerSurroundings,
  { to }: HandleOptions,
): PreparedHandler {
  const forward = to === undefined ? own : sendTo(to, names)
  // A plain handler without stages stays itself; the dispatcher runs a generator that it returns.
  const plain = to === undefined && stages.length === 0 && !isGeneratorFunction(handler)
  const inner = plain ? handler : withOutputs(handler, forward, to !== undefined)
  return { handle: chainHandler(stages, inner), forward }
}

/** Prepares a handler for lists of messages: each message passes the stages separately. */
export function prepareBatchHandler(
  handler: BatchHandler,
  { stages }: HandlerSurroundings,
  { maxMessages = DEFAULT_MAX_MESSAGES, maxWaitMs = DEFAULT_MAX_WAIT_MS, to }: HandleBatchOptions,
): PreparedHandler {
  const limits: BatchLimits = { maxMessages, maxWaitMs }
  const run = (messages: readonly Message[]): unknown => {
    const result = handler(messages)
    return isGenerator(result) ? runBatchGenerator(messages, result, to ?? REFUSING) : result
  }
  const batches = new HandlerBatches(run, limits)
  return { handle: batches.around(chainHandler(stages, batches.collect)), forward: answerOutputs, batches }
}

const REFUSING: OutputTarget<unknown> = {
  send: () => Promise.reject(noTarget()),
}

/** Checks a handler and its options; returns what is wrong. */
export function checkHandler(handler: unknown, options: HandleOptions | undefined): string | undefined {
  const problem = listenerProblem(handler)
  return problem === undefined ? (namesProblem(options, ['to']) ?? checkTarget(options?.to)) : `the handler ${problem}`
}

/** As {@link checkHandler}; the sizes must fit the loop's own limits. */
export function checkBatchHandler(
  handler: unknown,
  options: HandleBatchOptions,
  limits: { readonly prefetch: number; readonly handlerTimeoutMs: number },
): string | undefined {
  const unknown = namesProblem(options, ['maxMessages', 'maxWaitMs', 'to'])
  if (unknown !== undefined) return unknown
  const { maxMessages = DEFAULT_MAX_MESSAGES, maxWaitMs = DEFAULT_MAX_WAIT_MS } = options
  const longest = Math.floor(limits.handlerTimeoutMs / 2)
  const problems = [
    typeof handler === 'function' ? undefined : `the handler must be a function, got ${describeType(handler)}`,
    checkTarget(options.to),
  ]
  if (!isWhole(maxMessages, 1, limits.prefetch))
    problems.push(`maxMessages must be an integer from 1 to prefetch (${limits.prefetch})`)
  if (!isWhole(maxWaitMs, 0, longest))
    problems.push(`maxWaitMs must be an integer from 0 to half of handlerTimeoutMs (${longest})`)
  const found = problems.filter((problem) => problem !== undefined)
  return found.length === 0 ? undefined : found.join('; ')
}

function namesProblem(options: unknown, known: readonly string[]): string | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null)
    return `its options must be an object, got ${describeType(options)}`
  const unknown = Object.entries(options).find(([name, value]) => value !== undefined && !known.includes(name))
  return unknown === undefined ? undefined : `${unknown[0]}: ${unknownOption(unknown[0], known)}`
}

function checkTarget(to: unknown): string | undefined {
  if (to === undefined) return undefined
  const sends = typeof to === 'object' && to !== null && 'send' in to && typeof to.send === 'function'
  return sends ? undefined : `to must be a producer, got ${describeType(to)}`
}

function isWhole(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
}
