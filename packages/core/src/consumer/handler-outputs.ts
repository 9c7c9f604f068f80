import { createHash } from 'node:crypto'
import { StreamError } from '../errors.js'
import type { Handler, Message } from '../message.js'
import type { LoopNames } from '../native-names/loop-names.js'
import { BatchEntryOf } from '../producer/batch-entry.js'
import { mayDifferFromBytes, PASSED_ON, type PassedOn } from '../producer/passed-on.js'
import type { SendOptions } from '../producer/producer-options.js'
import type { Delivery } from './delivery.js'

/** Forwards what a handler yields or returns. The promise settles with the outcome. */
export type Forward = (message: Message, value: unknown, index: number) => Promise<unknown>

/** Target of forwarded values: a producer, or any object with the same `send`. */
export interface OutputTarget<Out = never> {
  send(value: Out, options?: SendOptions): Promise<unknown>
}

/** Maximum number of values of one handler in flight at once. */
const WINDOW = 500

/** Maximum length of an id that is used as it is, in characters: a longer one is hashed, since ids are bounded. */
const MAX_CLEAR_ID = 80

/**
 * Runs generators to their end and forwards what they yield: the attempt succeeds once every output is confirmed, and
 * fails with the first error of the generator or of an output.
 */
export function withOutputs(handler: Handler, forward: Forward, forwardsReturned: boolean): Handler {
  return (message) => {
    const result = handler(message)
    if (isGenerator(result)) return runGenerator(message, result, forward)
    if (!forwardsReturned) return result
    return Promise.resolve(result).then((value) => {
      if (isGenerator(value)) return runGenerator(message, value, forward)
      return value === undefined ? undefined : forward(message, value, 0)
    })
  }
}

/**
 * Sends outputs to a target. They have the message's key unless they set one (`batchEntry`), and an id derived from the
 * message's, so that outputs repeated by a retry are recognised downstream.
 */
export function sendTo(target: OutputTarget, names: LoopNames): Forward {
  const { groupOrigin } = names.group
  return (message, value, index) => {
    const entry = value instanceof BatchEntryOf ? value : undefined
    const keyed = message.key === undefined ? {} : { key: message.key }
    const options = {
      id: outputId(message, names.originOf(message.topic), groupOrigin, index),
      ...keyed,
      ...entry?.options,
    }
    if (message.key !== undefined && mayDifferFromBytes(message.key))
      Object.assign(options, { [PASSED_ON]: { message, part: 'key' } satisfies PassedOn })
    return target.send((entry === undefined ? value : entry.value) as never, options)
  }
}

/**
 * Without a target, yielded values are the reply to a request. They are dropped when no request is pending, and when
 * the reply address belongs to another system, to which no answer can be sent.
 */
export const answerOutputs: Forward = (message, value) =>
  (message as Delivery).unanswerable ? Promise.resolve() : message.respond(value)

/** The error of a batch handler that yields values without a target. */
export function noTarget(): StreamError {
  return new StreamError(
    'the batch handler yields values but has no target: call handleBatch() with { to: producer }',
    {
      code: 'INVALID_ARGUMENT',
      operation: 'handle',
    },
  )
}

type Steps = AsyncGenerator<unknown> | Generator<unknown>

/** True for what a generator function returns. Lists and other iterables are ordinary values. */
export function isGenerator(value: unknown): value is Steps {
  if (typeof value !== 'object' || value === null) return false
  try {
    if (!(Symbol.asyncIterator in value || Symbol.iterator in value)) return false
    return (
      'next' in value && typeof value.next === 'function' && 'return' in value && typeof value.return === 'function'
    )
  } catch {
    // It can't be inspected (a revoked Proxy): an ordinary value.
    return false
  }
}

const GENERATORS: readonly unknown[] = [
  Object.getPrototypeOf(function* () {}),
  Object.getPrototypeOf(async function* () {}),
]

/** True for a generator function, bound or not. */
export function isGeneratorFunction(handler: unknown): boolean {
  return GENERATORS.includes(Object.getPrototypeOf(handler))
}

/** Runs a generator to its end: see {@link withOutputs}. */
export function runGenerator(message: Message, steps: Steps, forward: Forward): Promise<void> {
  return drain(steps, [message.signal], (value, index) => forward(message, value, index))
}

/** Forwards what the generator of a whole batch yields, with the key and id of each entry, if set. */
export function runBatchGenerator(messages: readonly Message[], steps: Steps, target: OutputTarget): Promise<void> {
  const signals = messages.map((message) => message.signal)
  return drain(steps, signals, (value) =>
    value instanceof BatchEntryOf ? target.send(value.value as never, value.options) : target.send(value as never),
  )
}

type Emit = (value: unknown, index: number) => Promise<unknown>

async function drain(steps: Steps, signals: readonly AbortSignal[], emit: Emit): Promise<void> {
  const onTheirWay = new Set<Promise<unknown>>()
  let failure: { readonly error: unknown } | undefined
  let index = 0
  try {
    for await (const value of steps) {
      for (const signal of signals) signal.throwIfAborted()
      const sent: Promise<unknown> = emit(value, index).then(
        () => onTheirWay.delete(sent),
        (error: unknown) => {
          failure ??= { error }
          onTheirWay.delete(sent)
        },
      )
      onTheirWay.add(sent)
      index += 1
      if (onTheirWay.size >= WINDOW) await Promise.race(onTheirWay)
      if (failure !== undefined) throw failure.error
    }
  } finally {
    // Also after an error: outputs in flight have an outcome before the next attempt sends them again.
    await Promise.all(onTheirWay)
  }
  if (failure !== undefined) throw failure.error
}

/**
 * The same in every attempt. Includes topic and group: others may forward messages with the same id to the same topic.
 */
function outputId(message: Message, topic: string, group: string, index: number): string {
  const origin = `${topic}/${group}/${message.id}`
  const clear = origin.length <= MAX_CLEAR_ID && /^[\x20-\x7e]*$/.test(origin)
  return `${clear ? origin : createHash('sha256').update(origin).digest('base64url')}/${index}`
}
