import { randomBytes } from 'node:crypto'
import type { Delivery } from '../consumer/delivery.js'
import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import { type ErrorCode, StreamError } from '../errors.js'
import { type CloseOptions, closeFields, signalFields, withOptions } from '../options/call-options.js'
import type { OptionInput } from '../options/fields.js'
import { readOptions } from '../options/resolve.js'
import { RecordSender } from '../producer/record-sender.js'
import { requireFor } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { NOT_CARRIED_HEADER, ROUTING_HEADERS } from '../wire/reserved-headers.js'
import { type DeadLetterDetails, summaryOf } from './dead-letter.js'
import { deadLetterFields, listFields, selectionFields } from './dead-letter-options.js'
import type { DeadLetterReader } from './dead-letter-reader.js'
import { deadLetterTarget } from './dead-letter-target.js'
import { DeadLetterTopic } from './dead-letter-topic.js'
import { type DeadLetterPage, PageGathering } from './page.js'
import { AckRemoval, MarkerRemoval, placeOf, type Removal, settledPlace } from './removal.js'
import { Taking } from './taking.js'

/** Options of `transport.deadLetters`. */
export interface DeadLetterBoxOptions extends OptionInput<Omit<typeof deadLetterFields, 'group'>> {
  /** The group whose dead letters they are. */
  readonly group: string
}

/** Aborts a call: ABORTED. */
type Abortable = OptionInput<typeof signalFields>

export interface DeadLetterListOptions extends OptionInput<typeof listFields>, Abortable {}

/** Selects dead letters: `ids`, `where` or `all: true`, exactly one of them. */
export type DeadLetterSelection = OptionInput<typeof selectionFields>

/** Result of a replay or discard. */
export interface DeadLetterOutcome {
  /** Number of dead letters removed. */
  readonly count: number
  /** Requested `ids` that were not found. */
  readonly missing: readonly string[]
  /**
   * Ids that a replay did not send, since a part of the original is missing (`DeadLetter.incomplete`). Empty for a
   * discard.
   */
  readonly incomplete: readonly string[]
}

/**
 * The dead letters of one group from one topic: list them, send them to that group again, or discard them. Created by
 * `transport.deadLetters`. Each call reads the dead-letter topic from its first dead letter on, over its own
 * connection; calls of one object wait for each other, and so do processes (TIMEOUT when that takes longer than
 * `timeoutMs`).
 */
export class DeadLetterBox implements AsyncDisposable {
  /** Topic of the originals. */
  readonly topic: string
  readonly group: string
  /** The topic that holds the dead letters. */
  readonly deadLetterTopic: string
  /** Transport to which originals are sent again. */
  readonly #transport: Transport
  /** Transport that holds the dead letters. */
  readonly #keeper: Transport
  readonly #origin: { readonly topic: TopicSpec; readonly group: GroupNames }
  readonly #letters: DeadLetterTopic
  readonly #senders = new Map<string, RecordSender>()
  #turn: Promise<unknown> = Promise.resolve()
  #closing: Promise<void> | undefined

  /** Throws INVALID_ARGUMENT for bad names and options, UNSUPPORTED when the transport keeps no dead letters. */
  constructor(transport: Transport, topic: string, options: DeadLetterBoxOptions) {
    const subject = `the dead letters of '${topic}'`
    const values = readOptions(deadLetterFields, options, { subject, transport: transport.name, topic })
    const { nativeName, nativeGroup } = values
    this.#origin = {
      topic: transport.topicSpec(topic, { nativeName }),
      group: transport.groupNames(values.group as string, nativeGroup),
    }
    const target = deadLetterTarget(this.#origin.topic, this.#origin.group, values.topic)
    this.topic = topic
    this.group = this.#origin.group.group
    this.deadLetterTopic = target.name
    this.#transport = transport
    this.#keeper = transport.deadLetterTransport ?? transport
    if (this.#keeper === transport && transport.capabilities.deadLetters !== true)
      throw this.#error(
        'UNSUPPORTED',
        `${transport.name} can't store dead letters: open it with deadLetterTransport`,
        'configure',
      )
    requireFor(this.#keeper.adapter, 'lag', 'deadLetters()', 'configure')
    this.#letters = new DeadLetterTopic(this.#keeper, { ...this.#origin, target }, values.timeoutMs)
    transport.attach(this)
  }

  /**
   * Lists dead letters, oldest first within a partition. A page may hold fewer than `limit` (default 100, at most
   * 10,000) although more follow: continue until there is no `cursor`. Rejects with RESOURCE_EXHAUSTED when the
   * transport can't read that far.
   */
  async list(options: DeadLetterListOptions = {}): Promise<DeadLetterPage> {
    const fields = { ...listFields, ...signalFields }
    const { limit, cursor, where, signal } = readOptions(fields, options, this.#context('list'))
    const gathering = new PageGathering(limit, cursor)
    return this.#inTurn('list', async () => {
      await this.#letters.read(signal, async (reader) => {
        for await (const delivery of reader.deliveries()) {
          const settles = settledPlace(delivery)
          if (settles !== undefined) gathering.remove(settles)
          const letter = this.#letters.letterOf(delivery)
          if (letter !== undefined && where?.(summaryOf(letter)) !== false) gathering.add(placeOf(delivery), letter)
          if (gathering.complete && reader.driver.settlement === 'individual') return
        }
      })
      return gathering.page()
    })
  }

  /** Returns the newest dead letter of a message, with its payload and headers. Rejects with NOT_FOUND. */
  async show(id: string, options: Abortable = {}): Promise<DeadLetterDetails> {
    const { signal } = readOptions(signalFields, options, this.#context('show'))
    return this.#inTurn('show', async () => {
      const found = new Map<string, DeadLetterDetails>()
      await this.#letters.read(signal, async (reader) => {
        for await (const delivery of reader.deliveries()) {
          found.delete(settledPlace(delivery) ?? '')
          const letter = this.#letters.letterOf(delivery)
          if (letter?.id === id) found.set(placeOf(delivery), letter)
        }
      })
      const newest = [...found.values()].at(-1)
      if (newest === undefined) throw this.#error('NOT_FOUND', `contain no message '${id}'`, 'show')
      return newest
    })
  }

  /**
   * Sends dead letters to the topic they came from, for their group alone: same id, key, payload, headers and
   * timestamp; attempts are counted from 1 again, and the order within their key is lost. A dead letter is removed once
   * its message is durably accepted, and not before: after a crash in between, the next replay sends it again. A
   * message that fails again meanwhile is a new dead letter, not replayed by this call. A dead letter without the whole
   * original is not sent, and listed in `incomplete`: fetch the original by its `origin`, if that still has it. Rejects
   * with the first error of a send; messages sent by then are removed from the dead letters.
   */
  replay(selection: DeadLetterSelection, options: Abortable = {}): Promise<DeadLetterOutcome> {
    return this.#take('replay', selection, options, (letter, delivery) => this.#send(letter, delivery))
  }

  /** Deletes dead letters permanently. */
  discard(selection: DeadLetterSelection, options: Abortable = {}): Promise<DeadLetterOutcome> {
    return this.#take('discard', selection, options, async () => {})
  }

  /**
   * Waits for the running call, then closes what it has opened: each sender flushes for up to `timeoutMs` or until
   * `signal` aborts. Later calls reject with CLOSED. Rejects only with INVALID_ARGUMENT for bad options; nothing is
   * closed then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return withOptions(
      closeFields,
      options,
      this.#context('close'),
      ({ timeoutMs = this.#letters.timeoutMs, signal }) => {
        this.#closing ??= this.#close(timeoutMs, signal)
        return this.#closing
      },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #take(
    operation: 'replay' | 'discard',
    selection: DeadLetterSelection,
    options: Abortable,
    use: (letter: DeadLetterDetails, delivery: Delivery) => Promise<void>,
  ): Promise<DeadLetterOutcome> {
    const { signal } = readOptions(signalFields, options, this.#context(operation))
    const { ids, test } = this.#selector(selection, operation)
    return this.#inTurn(operation, async () => {
      const missing = new Set(ids)
      const incomplete: string[] = []
      let count = 0
      const marked = await this.#letters.markedPlaces(signal)
      await this.#letters.read(signal, async (reader) => {
        const taking = new Taking(this.#removal(reader), use, (delivery) => {
          if (settledPlace(delivery) !== undefined || marked.has(placeOf(delivery))) return 'gone'
          const letter = this.#letters.letterOf(delivery)
          if (letter === undefined || !test(letter)) return 'stays'
          missing.delete(letter.id)
          if (operation === 'replay' && letter.incomplete !== undefined) {
            incomplete.push(letter.id)
            return 'stays'
          }
          return letter
        })
        count = await taking.run(reader)
      })
      return { count, missing: [...missing], incomplete }
    })
  }

  #send(letter: DeadLetterDetails, delivery: Delivery): Promise<void> {
    const { id, key, bytes, timestamp, notCarried } = letter
    const headers = {
      ...letter.headers,
      ...(notCarried === undefined ? {} : { [NOT_CARRIED_HEADER]: notCarried }),
      [ROUTING_HEADERS.onlyGroup]: this.#origin.group.groupOrigin,
      [ROUTING_HEADERS.replayed]: randomBytes(9).toString('base64url'),
    }
    return this.#sender(this.#transport, this.#origin.topic, this.#origin.group).send({
      id,
      key,
      payload: bytes,
      headers,
      timestamp,
      passedOn: { message: delivery, part: 'message' },
    })
  }

  #removal(reader: DeadLetterReader): Removal {
    if (reader.driver.settlement === 'individual') return new AckRemoval(reader)
    return new MarkerRemoval(reader, this.#sender(this.#keeper, this.#letters.spec))
  }

  #selector(
    selection: DeadLetterSelection,
    operation: string,
  ): { readonly ids: readonly string[]; readonly test: (letter: DeadLetterDetails) => boolean } {
    const { ids, where, all } = readOptions(selectionFields, selection, this.#context(operation))
    if ([ids, where, all === true ? true : undefined].filter((one) => one !== undefined).length !== 1)
      throw this.#error('INVALID_ARGUMENT', 'must be selected by exactly one of ids, where or all: true', operation)
    if (ids !== undefined) {
      const wanted = new Set(ids)
      return { ids, test: (letter) => wanted.has(letter.id) }
    }
    return { ids: [], test: where === undefined ? () => true : (letter) => where(summaryOf(letter)) === true }
  }

  async #inTurn<T>(operation: string, work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw this.#error('CLOSED', 'are closed', operation)
    const before = this.#turn
    const turn = before.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  #sender(transport: Transport, spec: TopicSpec, onlyGroup?: GroupNames): RecordSender {
    let sender = this.#senders.get(spec.topic)
    if (sender === undefined) {
      sender = new RecordSender(transport, spec, `topic '${spec.topic}'`, onlyGroup)
      this.#senders.set(spec.topic, sender)
    }
    return sender
  }

  async #close(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#turn
    await Promise.all([...this.#senders.values()].map((sender) => sender.close(timeoutMs, signal)))
    this.#transport.detach(this)
  }

  #context(operation: string) {
    return {
      subject: `${operation} of the dead letters of '${this.topic}'`,
      transport: this.#keeper.name,
      topic: this.topic,
      operation,
    }
  }

  #error(code: ErrorCode, what: string, operation: string): StreamError {
    return new StreamError(`the dead letters of group '${this.group}' in '${this.deadLetterTopic}' ${what}`, {
      code,
      transport: this.#keeper.name,
      topic: this.topic,
      operation,
    })
  }
}
