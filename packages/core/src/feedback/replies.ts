import { type AnyCodec, type Codec, type CodecName, findCodec } from '../codec.js'
import type { Delivery } from '../consumer/delivery.js'
import type { HandlerStage } from '../consumer/handler-chain.js'
import { describe, StreamError } from '../errors.js'
import type { Handler } from '../message.js'
import { printable } from '../printable.js'
import { Repetition } from '../repetition.js'
import type { Transport } from '../transport/transport.js'
import { isResultStream, takeResults } from './handler-results.js'
import { parseReplyAddress, type ReplyAddress } from './reply-address.js'
import { type Refusal, Responder, Unanswerable } from './responder.js'

/** Answers the requests that one loop handles. */
export class Replies {
  readonly #transport: Transport
  readonly #group: string
  readonly #codec: Codec
  readonly #refusals = new Repetition()

  constructor(transport: Transport, group: string, codec: CodecName | AnyCodec) {
    this.#transport = transport
    this.#group = group
    this.#codec = findCodec(codec)
  }

  /** Sends what handlers return as replies. A message that requests none passes through. */
  readonly stage: HandlerStage = (next) => (message) => {
    if (message.replyTo === undefined) return next(message)
    return this.#answer(next, message as Delivery, message.replyTo)
  }

  /** A request has failed permanently: notifies the caller. Never rejects. */
  async failed(delivery: Delivery, error: unknown): Promise<void> {
    if (delivery.replyTo === undefined) return
    try {
      // Without a responder no handler was started: the message could not be decoded, or its process died too often.
      delivery.responder ??= this.#responder(delivery, delivery.replyTo)
      await delivery.responder.fail(error)
    } catch (failure) {
      this.#tell(delivery, failure)
    }
  }

  async #answer(next: Handler, delivery: Delivery, replyTo: string): Promise<void> {
    const { signal } = delivery
    const responder = this.#responder(delivery, replyTo)
    delivery.responder = responder
    if (!(responder instanceof Responder)) return void (await next(delivery))
    let result = await next(delivery)
    if (isResultStream(result)) {
      await takeResults(result, signal, (part) => (part === undefined ? Promise.resolve() : responder.respond(part)))
      result = undefined
    }
    // Timed out, or rejected: this start has failed, whatever it returned.
    if (signal.aborted || delivery.nacked !== undefined) return
    try {
      await responder.finish(result)
    } catch (error) {
      if (error instanceof StreamError && error.code === 'SERIALIZATION') throw error
      // The work is done: repeating it would not bring the caller back.
      this.#tell(delivery, error)
    }
  }

  /** Throws CONFLICT when the caller waits on another transport than this one answers on. */
  #responder(delivery: Delivery, replyTo: string): Responder | Unanswerable {
    const feedback = this.#transport.feedback
    const address = parseReplyAddress(replyTo)
    if (address.transport !== undefined && address.transport !== feedback.name)
      throw elsewhere(delivery, address.transport, feedback.name)
    const sender =
      address.transport === undefined && feedback !== this.#transport
        ? undefined
        : feedback.replySender(this.#transport)
    // Only addresses of ours are requests, unless the transport understands those of others.
    if (sender === undefined || (address.transport === undefined && !sender.takesForeignAddresses))
      return this.#unanswerable(delivery, address, {
        code: 'UNSUPPORTED',
        reason: `is not a Streamswitch address, and ${feedback.name} replies support no others`,
      })
    const refusal = sender.refusalOf(address)
    if (refusal !== undefined)
      return this.#unanswerable(delivery, address, { code: 'PERMISSION_DENIED', reason: `is refused: ${refusal}` })
    return new Responder({
      address,
      sender,
      codec: this.#codec,
      topic: delivery.topic,
      group: this.#group,
      attempt: delivery.attempt,
    })
  }

  #unanswerable(delivery: Delivery, { inbox }: ReplyAddress, { code, reason }: Refusal): Unanswerable {
    const text = `message ${delivery.id} can't be answered: its reply address '${printable(inbox)}' ${reason}`
    const line = `group ${this.#group}: ${text}; it is handled as a message without a reply`
    // The writers of the topic decide how many of these there are.
    if (code === 'PERMISSION_DENIED' && this.#refusals.isDue()) this.#transport.logger.warn(line)
    else this.#transport.logger.debug(line)
    return new Unanswerable(delivery.topic, { code, reason: text })
  }

  #tell(delivery: Delivery, error: unknown): void {
    this.#transport.logger.warn(
      `group ${this.#group}: the reply to message ${delivery.id} could not be sent: ${describe(error)}`,
    )
  }
}

function elsewhere(delivery: Delivery, asked: string, own: string): StreamError {
  return new StreamError(
    `message ${delivery.id} requests its reply on ${asked}, but this process answers on ${own}: configure the same feedback transport on both sides (the feedback option, or STREAMSWITCH_FEEDBACK_URL)`,
    { code: 'CONFLICT', retryable: false, transport: own, topic: delivery.topic, operation: 'respond' },
  )
}
