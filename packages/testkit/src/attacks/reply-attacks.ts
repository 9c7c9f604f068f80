import { type AdapterDefinition, type ConsumerLoop, type Message, Transport } from '@streamswitch/core'
import { WIRE_HEADERS } from '@streamswitch/core/driver'
import { describe, expect, onTestFinished, test } from 'vitest'
import { Gate, Watch } from '../conformance/collect.js'
import { uniqueName } from '../conformance/names.js'
import type { ForeignClient } from '../conformance/settings.js'

/** Names that an attack may aim at. */
export interface AttackedNames {
  /** Of the group's topic: `ledger`, with the group `audit`, which must get nothing but what is sent to it. */
  readonly topic: string
  readonly group: string
  /** What the inboxes of callers have in common. */
  readonly replies: string
}

/** What the cases need to know of an adapter. */
export interface ReplyAttackSettings {
  readonly adapter: AdapterDefinition
  readonly url: string
  /** A client that writes a message with any headers. */
  readonly foreign: ForeignClient
  /** Inboxes, in the transport's words, that lead elsewhere than to a caller's. */
  readonly inboxes: (names: AttackedNames) => readonly string[]
}

const CASE_MS = 90_000
const WAIT_MS = 60_000

/** Such addresses are malformed on every transport. */
const MALFORMED = ['', '.', '../x', 'streamswitch:topic-registry', 'x'.repeat(300)]

/**
 * Declares attacks by a sender who may produce to one topic, on a loop that answers: whatever reply address a message names, the answer reaches no topic, and
 * the loop handles all messages and answers its callers.
 */
export function replyAttacks(settings: ReplyAttackSettings): void {
  const { name } = settings.adapter
  describe(`${name}: reply addresses that a sender makes up`, () => {
    test.each([
      ['a handler that answers', 'answer'],
      ['a handler that answers in parts', 'parts'],
      ['a handler that fails', 'failure'],
    ] as const)('%s writes to no topic', { timeout: CASE_MS }, async (_title, kind) => {
      const bed = new Bed(settings)
      const loop = await bed.answering(kind)
      const audited = await bed.audited()
      const inboxes = [...MALFORMED, ...settings.inboxes(bed.names)]
      for (const inbox of inboxes) await bed.write(`streamswitch:1:${name}:${inbox}#1`)
      const done = (): number => (kind === 'failure' ? loop.stats().deadLettered : loop.stats().acked)
      await bed.until(() => done() === inboxes.length, 'all of them to be handled')
      // What came before it on its way would have been there before it.
      await bed.transport.producer(bed.names.topic).send('honest')
      await bed.until(() => audited.length > 0, 'the honest message')
      expect(audited).toEqual(['honest'])
      if (kind !== 'failure') await bed.expectAnswer()
    })

    test('respond() says that the address is refused, and the log does so once', { timeout: CASE_MS }, async () => {
      const bed = new Bed(settings)
      const refusals: unknown[] = []
      const loop = await bed.loop('asked', 'g', async (message) => {
        await message.respond('x').catch((error: unknown) => refusals.push(error))
      })
      const inboxes = settings.inboxes(bed.names)
      for (const inbox of inboxes) await bed.write(`streamswitch:1:${name}:${inbox}#1`)
      await bed.until(() => loop.stats().acked === inboxes.length, 'all of them to be handled')
      expect(refusals).toHaveLength(inboxes.length)
      for (const refusal of refusals) expect(refusal).toMatchObject({ code: 'PERMISSION_DENIED', retryable: false })
      expect(bed.warnings.filter((line) => line.includes('reply address'))).toHaveLength(1)
    })

    test('answers under ids that are made up reach no pending request', { timeout: CASE_MS }, async () => {
      const bed = new Bed(settings)
      const gate = new Gate()
      const asked: string[] = []
      await bed.loop('asked', 'g', async (message) => {
        if (message.value === 'forged') return 'forged'
        asked.push(message.replyTo ?? '')
        await gate.opened
        return message.value
      })
      const producer = bed.caller().producer('asked')
      const replies = Array.from({ length: 20 }, (_, number) => producer.request(number, { timeoutMs: WAIT_MS }))
      await bed.until(() => asked.length === replies.length, 'every request to be handled')
      const [target = '', requestId = ''] = (asked[0] ?? '').split('#')
      const [instance = '', id = ''] = requestId.split('.')
      const near = `${id.slice(0, -1)}${id.endsWith('A') ? 'B' : 'A'}`
      const guesses = ['1', '2', 'l', '', near].map((guess) => `${instance}.${guess}`)
      for (const guess of [...guesses, instance, `${instance}x${id}`, id]) await bed.write(`${target}#${guess}`)
      await bed.until(() => bed.handled >= guesses.length + 3, 'the forged requests to be handled')
      await bed.expectAnswer(gate)
      expect(await Promise.all(replies.map((reply) => reply.read()))).toEqual(replies.map((_, number) => number))
      const ids = asked.map((address) => address.split('.').at(-1))
      expect(new Set(ids).size).toBe(ids.length)
      for (const one of ids) expect(one, '128 random bits').toMatch(/^[\w-]{22}$/)
    })
  })
}

class Bed {
  readonly names: AttackedNames
  readonly transport: Transport
  readonly warnings: string[] = []
  /** Handlers that have ended. */
  handled = 0
  readonly #settings: ReplyAttackSettings
  readonly #prefix = `${uniqueName('p')}.`
  readonly #watch = new Watch()
  readonly #topics = ['asked', 'asked.g.dlq', 'ledger', 'streamswitch-replies']

  constructor(settings: ReplyAttackSettings) {
    this.#settings = settings
    this.transport = this.#open((line) => this.warnings.push(line))
    const brokerName = (topic: string): string => this.transport.topicSpec(topic).brokerTopic
    this.names = { topic: 'ledger', group: 'audit', replies: brokerName('streamswitch-replies') }
    onTestFinished(async () => {
      for (const topic of this.#topics)
        await this.transport.admin.deleteTopic(this.transport.topicSpec(topic)).catch(() => {})
      await this.transport.close({ timeoutMs: 0 })
    })
  }

  answering(kind: 'answer' | 'parts' | 'failure'): Promise<ConsumerLoop<unknown>> {
    if (kind === 'failure')
      return this.loop('asked', 'g', () => {
        throw new Error('not done')
      })
    if (kind === 'answer') return this.loop('asked', 'g', (message) => message.value)
    return this.loop('asked', 'g', async (message) => {
      await message.respond(message.value).catch(() => {})
    })
  }

  async audited(): Promise<unknown[]> {
    const values: unknown[] = []
    await this.loop('ledger', 'audit', (message) => void values.push(message.value))
    return values
  }

  async loop(topic: string, group: string, handler: (message: Message) => unknown): Promise<ConsumerLoop<unknown>> {
    const loop = this.transport.consumer(topic, {
      group,
      partitions: 1,
      concurrency: 100,
      retry: { attempts: 1 },
    })
    loop.handle(async (message) => {
      try {
        return await handler(message)
      } finally {
        this.handled += 1
        this.#watch.changed()
      }
    })
    void loop.run().catch(() => {})
    await loop.init()
    return loop
  }

  write(replyTo: string): Promise<void> {
    const topic = this.transport.topicSpec('asked').brokerTopic
    const raw = { id: uniqueName('id'), headers: { [WIRE_HEADERS.replyTo]: replyTo } }
    return this.#settings.foreign.write(topic, { body: Buffer.from('"forged"'), key: 'k', raw }, 'g')
  }

  /** A process that makes requests. */
  caller(): Transport {
    const transport = this.#open(() => {})
    onTestFinished(() => transport.close({ timeoutMs: 0 }))
    return transport
  }

  /** @param gate - opened once the request is sent. */
  async expectAnswer(gate?: Gate): Promise<void> {
    const reply = this.caller().producer('asked').request('honest', { timeoutMs: WAIT_MS })
    gate?.open()
    expect(await reply.read()).toBe('honest')
    expect(await reply.read()).toBeUndefined()
  }

  until(condition: () => boolean, what: string): Promise<void> {
    return this.#watch.until(condition, what, undefined, WAIT_MS)
  }

  #open(warn: (line: string) => void): Transport {
    const ignore = (): void => {}
    const options = { prefix: this.#prefix }
    const logger = { debug: ignore, info: ignore, warn, error: ignore }
    return new Transport(this.#settings.adapter, this.#settings.url, { environment: {}, logger, options })
  }
}
