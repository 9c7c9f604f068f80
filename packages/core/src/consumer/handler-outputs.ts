import { createHash } from 'node:crypto'
import { StreamError } from '../errors.js'
import type { Handler, Message } from '../message.js'
import { BatchEntryOf } from '../producer/batch-entry.js'
import { mayDifferFromBytes, PASSED_ON, type PassedOn } from '../producer/passed-on.js'
import type { SendOptions } from '../producer/producer-options.js'
import type { Delivery } from './delivery.js'

/** Takes what a handler puts out. The promise settles with the outcome. */
export type Forward = (message: Message, value: unknown, index: number) => Promise<unknown>

/** Where values may go: a producer, or anything that sends like one. */
export interface OutputTarget<Out = never> {
  send(value: Out, options?: SendOptions): Promise<unknown>
}

/** Most values of one handler that are on their way at once. */
const WINDOW = 500

/** Longest id that stands in clear, in characters: what goes beyond is hashed, since ids are bounded. */
const MAX_CLEAR_ID = 80

/**
 * Runs generators to their end and passes on what they yield: the attempt succeeds once every output has been confirmed, and fails
 * with the first error of the generator or of an output.
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
 * Sends outputs on. They have the message's key unless they say otherwise (`batchEntry`), and an id made of the message's, so that what
 * a repeated attempt sends again can be recognised downstream.
 */
export function sendTo(target: OutputTarget, group: string): Forward {
  return (message, value, index) => {
    const entry = value instanceof BatchEntryOf ? value : undefined
    const keyed = message.key === undefined ? {} : { key: message.key }
    const options = { id: outputId(message, group, index), ...keyed, ...entry?.options }
    if (message.key !== undefined && mayDifferFromBytes(message.key))
      Object.assign(options, { [PASSED_ON]: { message, part: 'key' } satisfies PassedOn })
    return target.send((entry === undefined ? value : entry.value) as never, options)
  }
}

/** Where no other place is given: what is yielded to a request is its reply. What is yielded to another system's reply address, at which no answer is possible, is dropped. */
export const answerOutputs: Forward = (message, value) => {
  if (message.replyTo === undefined) return Promise.reject(noTarget('handle()'))
  return (message as Delivery).unanswerable ? Promise.resolve() : message.respond(value)
}

/** The error of a handler whose values have nowhere to go. */
export function noTarget(call: string): StreamError {
  return new StreamError(`the handler yields values that have nowhere to go: give ${call} { to: producer }`, {
    code: 'INVALID_ARGUMENT',
    operation: 'handle',
  })
}

type Steps = AsyncGenerator<unknown> | Generator<unknown>

/** What a generator function returns when it is called. Lists and other iterables are ordinary values. */
export function isGenerator(value: unknown): value is Steps {
  if (typeof value !== 'object' || value === null) return false
  try {
    if (!(Symbol.asyncIterator in value || Symbol.iterator in value)) return false
    return (
      'next' in value && typeof value.next === 'function' && 'return' in value && typeof value.return === 'function'
    )
  } catch {
    // It can't be looked at (a revoked Proxy): a value like any other.
    return false
  }
}

const GENERATORS: readonly unknown[] = [
  Object.getPrototypeOf(function* () {}),
  Object.getPrototypeOf(async function* () {}),
]

/** A generator function, bound or not. */
export function isGeneratorFunction(handler: unknown): boolean {
  return GENERATORS.includes(Object.getPrototypeOf(handler))
}

/** Runs a generator to its end: see {@link withOutputs}. */
export function runGenerator(message: Message, steps: Steps, forward: Forward): Promise<void> {
  return drain(steps, [message.signal], (value, index) => forward(message, value, index))
}

/** Sends on what the generator of a whole batch yields: with the key and the id that each entry says, if it says any. */
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
    // Also after an error: what is on its way has its outcome before the next attempt sends it again.
    await Promise.all(onTheirWay)
  }
  if (failure !== undefined) throw failure.error
}

/** The same in every attempt. Topic and group are part of it: others may pass on messages with the same id to the same topic. */
function outputId(message: Message, group: string, index: number): string {
  const origin = `${message.topic}/${group}/${message.id}`
  const clear = origin.length <= MAX_CLEAR_ID && /^[\x20-\x7e]*$/.test(origin)
  return `${clear ? origin : createHash('sha256').update(origin).digest('base64url')}/${index}`
}
