import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import { isStreamError, messageOf, nameOf, type StreamError } from '../errors.js'
import { requirePortableName } from '../names.js'
import { RecordSender } from '../producer/record-sender.js'
import { wait } from '../time.js'
import type { Transport } from '../transport/transport.js'
import { DEAD_LETTER_HEADERS } from '../wire/reserved-headers.js'
import type { Delivery } from './delivery.js'

/** The topic that takes a group's dead letters unless it names another: `orders.billing.dlq`. */
export function deadLetterTopic(topic: string, group: string): string {
  return `${topic}.${group}.dlq`
}

/**
 * Writes dead letters of one group: the original bytes, key, headers, id and time, and headers that say where it came from and
 * what went wrong. Keeps trying until the write is confirmed, so that the original is never acked before.
 */
export class DeadLetters {
  readonly #transport: Transport
  readonly #group: string
  readonly #fixedTopic: string | undefined
  readonly #senders = new Map<string, RecordSender>()
  readonly #onError: (error: StreamError) => void

  /** Throws INVALID_ARGUMENT where a topic's dead-letter name would not be portable. */
  constructor(
    transport: Transport,
    topics: readonly string[],
    group: string,
    fixedTopic: string | undefined,
    onError: (error: StreamError) => void,
  ) {
    this.#transport = transport
    this.#group = group
    this.#fixedTopic = fixedTopic
    this.#onError = onError
    for (const topic of topics)
      requirePortableName(
        "the dead-letter topic (set deadLetter: { topic: '…' })",
        this.topicFor(topic),
        transport.name,
      )
  }

  topicFor(topic: string): string {
    return this.#fixedTopic ?? deadLetterTopic(topic, this.#group)
  }

  /** Resolves once the dead letter is confirmed. Rejects only when `signal` aborts: shutdown, or the partition went away. */
  async write(delivery: Delivery, error: unknown, signal: AbortSignal): Promise<void> {
    const sender = this.#sender(this.topicFor(delivery.topic))
    const { id, key, bytes: payload, timestamp } = delivery
    const headers = { ...delivery.headers, ...this.#describe(delivery, error) }
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await sender.send({ id, key, payload, headers, timestamp })
      } catch (failure) {
        signal.throwIfAborted()
        this.#onError(failure as StreamError)
        await wait(backoffDelayMs(RECONNECT_BACKOFF, attempt), signal)
      }
    }
  }

  async close(timeoutMs: number): Promise<void> {
    await Promise.all([...this.#senders.values()].map((sender) => sender.close(timeoutMs)))
  }

  #sender(topic: string): RecordSender {
    let sender = this.#senders.get(topic)
    if (sender === undefined) {
      const spec = this.#transport.topicSpec(topic, { role: 'dead-letters' })
      sender = new RecordSender(this.#transport, spec, `the dead-letter topic '${topic}'`)
      this.#senders.set(topic, sender)
    }
    return sender
  }

  #describe(delivery: Delivery, error: unknown): Record<string, string> {
    const message = messageOf(error)
    return {
      [DEAD_LETTER_HEADERS.error]: message.slice(0, 1000).toWellFormed(),
      [DEAD_LETTER_HEADERS.errorCode]: isStreamError(error) ? error.code : (nameOf(error) ?? 'UNKNOWN'),
      [DEAD_LETTER_HEADERS.attempts]: String(delivery.attempt),
      [DEAD_LETTER_HEADERS.topic]: delivery.topic,
      [DEAD_LETTER_HEADERS.partition]: String(delivery.partition),
      [DEAD_LETTER_HEADERS.offset]: delivery.offset,
      [DEAD_LETTER_HEADERS.group]: this.#group,
      [DEAD_LETTER_HEADERS.timestamp]: String(delivery.timestamp),
      [DEAD_LETTER_HEADERS.failedAt]: String(Date.now()),
    }
  }
}
