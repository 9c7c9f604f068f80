import {
  type DeadLetterTarget,
  deadLetterSpec,
  deadLetterTarget,
  requireTarget,
} from '../dead-letters/dead-letter-target.js'
import { type ErrorCode, isStreamError, messageOf, nameOf, type StreamError, toStreamError } from '../errors.js'
import type { Headers } from '../message.js'
import { isPortableName } from '../names.js'
import type { LoopNames } from '../native-names/loop-names.js'
import {
  leftOutHeaders,
  listOfMissing,
  notCarriedHeader,
  notCarriedOf,
  originalFor,
  type PassedOn,
} from '../producer/passed-on.js'
import { RecordSender } from '../producer/record-sender.js'
import { headersSize } from '../producer/send-options.js'
import type { Transport } from '../transport/transport.js'
import { DEAD_LETTER_HEADERS } from '../wire/reserved-headers.js'
import type { Delivery } from './delivery.js'

/** Outcome of a dead letter: written, possibly as a substitute (`incomplete` names what is missing), or not. */
export type DeadLetterResult =
  | { readonly incomplete: string | undefined; readonly failure?: undefined }
  | { readonly failure: StreamError }

/**
 * Writes dead letters of one group: the original payload, key, headers, id and timestamp, and headers with its origin
 * and error.
 */
export class DeadLetters {
  readonly #transport: Transport
  readonly #names: LoopNames
  readonly #fixedTopic: string | undefined
  readonly #senders = new Map<string, RecordSender>()

  /** Throws INVALID_ARGUMENT when a topic's dead-letter name would not be portable. */
  constructor(transport: Transport, names: LoopNames, fixedTopic: string | undefined) {
    this.#transport = transport
    this.#names = names
    this.#fixedTopic = fixedTopic
    for (const { topic } of names.topics) requireTarget(this.#targetFor(topic), transport.name)
  }

  topicFor(topic: string): string {
    return this.#targetFor(topic).name
  }

  /** True when the dead-letter topic of a topic has a valid name. */
  canTake(topic: string): boolean {
    const { name, derived } = this.#targetFor(topic)
    return derived || isPortableName(name)
  }

  /**
   * Writes the dead letter of a message, once. Never rejects. A message that the transport permanently refuses (too
   * large, or not encodable there) is written as a substitute: same id, key and timestamp, origin and error, without
   * the headers, without the payload, or without both, and with a header that names what is missing.
   */
  async write(delivery: Delivery, error: unknown): Promise<DeadLetterResult> {
    const sender = this.#sender(this.#targetFor(delivery.topic))
    const passedOn: PassedOn = { message: delivery, part: 'message' }
    const whole = originalFor(this.#transport.adapter, passedOn) !== undefined
    const notCarried = notCarriedHeader(notCarriedOf(delivery, whole))
    const { id, key, timestamp } = delivery
    const described = this.#describe(delivery, error)
    let failure: unknown
    for (const { payload, headers, incomplete, asItCame } of formsOf(delivery, whole)) {
      const note = incomplete === undefined ? undefined : { [DEAD_LETTER_HEADERS.incomplete]: incomplete }
      const added = { ...described, ...notCarried, ...note }
      try {
        await sender.send({
          id,
          key,
          payload,
          headers: { ...headers, ...added },
          timestamp,
          passedOn: asItCame ? passedOn : undefined,
        })
        return { incomplete }
      } catch (cause) {
        failure = cause
        if (!isRefusedForGood(cause)) break
      }
    }
    return { failure: toStreamError(failure, { code: 'UNKNOWN', operation: 'send' }) }
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all([...this.#senders.values()].map((sender) => sender.close(timeoutMs)))
  }

  #targetFor(topic: string): DeadLetterTarget {
    return deadLetterTarget(this.#names.topic(topic), this.#names.group, this.#fixedTopic)
  }

  #sender(target: DeadLetterTarget): RecordSender {
    let sender = this.#senders.get(target.name)
    if (sender === undefined) {
      const spec = deadLetterSpec(this.#transport, target)
      sender = new RecordSender(this.#transport, spec, `the dead-letter topic '${target.name}'`)
      this.#senders.set(target.name, sender)
    }
    return sender
  }

  #describe(delivery: Delivery, error: unknown): Record<string, string> {
    const message = messageOf(error)
    return {
      [DEAD_LETTER_HEADERS.error]: message.slice(0, 1000).toWellFormed(),
      [DEAD_LETTER_HEADERS.errorCode]: isStreamError(error) ? error.code : (nameOf(error) ?? 'UNKNOWN'),
      [DEAD_LETTER_HEADERS.attempts]: String(delivery.attempt),
      [DEAD_LETTER_HEADERS.topic]: delivery.origin,
      [DEAD_LETTER_HEADERS.partition]: String(delivery.partition),
      [DEAD_LETTER_HEADERS.offset]: delivery.offset,
      [DEAD_LETTER_HEADERS.group]: this.#names.group.groupOrigin,
      [DEAD_LETTER_HEADERS.timestamp]: String(delivery.timestamp),
      [DEAD_LETTER_HEADERS.failedAt]: String(Date.now()),
    }
  }
}

/** One form in which a message can be written. */
interface DeadLetterForm {
  readonly payload: Buffer | undefined
  readonly headers: Headers
  /** What the form omits. */
  readonly incomplete: string | undefined
  /** True when it may be written from the native record, including what the portable form lacks. */
  readonly asItCame: boolean
}

const NO_HEADERS: Headers = Object.freeze({})

/**
 * Yields the message, and what to write when the transport permanently refuses that.
 *
 * @param whole - the transport can write the native record, with the headers that exceed the limits.
 */
function* formsOf(delivery: Delivery, whole: boolean): Generator<DeadLetterForm> {
  const { bytes } = delivery
  const headers = withoutIncomplete(delivery.headers)
  if (whole) yield { payload: bytes, headers, incomplete: undefined, asItCame: true }
  const beyond = [leftOutHeaders(delivery), ...(whole ? (delivery.form?.beyondPortable(delivery.native) ?? []) : [])]
  const without = (...missing: readonly (string | undefined)[]): string | undefined =>
    listOfMissing([...missing, ...beyond].filter((one) => one !== undefined)) || undefined
  const payloadSize = bytes?.length ?? 0
  const headersBytes = headersSize(headers)
  const noHeaders = `headers ${headersBytes} bytes`
  const noPayload = `payload ${payloadSize} bytes`
  const asItCame = false
  yield { payload: bytes, headers, incomplete: without(), asItCame }
  if (headersBytes > 0) yield { payload: bytes, headers: NO_HEADERS, incomplete: without(noHeaders), asItCame }
  if (payloadSize > 0) yield { payload: undefined, headers, incomplete: without(noPayload), asItCame }
  if (headersBytes > 0 && payloadSize > 0)
    yield { payload: undefined, headers: NO_HEADERS, incomplete: without(noPayload, noHeaders), asItCame }
}

/**
 * Marks a dead letter as complete, whatever header the message's sender set. All other dead-letter headers are
 * replaced.
 */
function withoutIncomplete(headers: Headers): Headers {
  if (!Object.hasOwn(headers, DEAD_LETTER_HEADERS.incomplete)) return headers
  const { [DEAD_LETTER_HEADERS.incomplete]: _incomplete, ...rest } = headers
  return rest
}

/** The transport will never accept this record, but may accept a smaller one. */
function isRefusedForGood(error: unknown): boolean {
  return isStreamError(error) && !error.retryable && REFUSALS.has(error.code)
}

const REFUSALS: ReadonlySet<ErrorCode> = new Set(['TOO_LARGE', 'INVALID_ARGUMENT', 'SERIALIZATION', 'UNSUPPORTED'])
