import {
  type AdapterDefinition,
  type ConsumerLoop,
  deadLetterTopic,
  isStreamError,
  Transport,
} from '@streamswitch/core'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import { type LimitedBroker, type LimitedTransport, startLimitedBroker } from './limited-broker.js'
import { clientIdOf, ProductConnections } from './product-connections.js'
import { type ChangedRole, withRole } from './roles.js'

/** What the cases need to know of a transport and its file of rights. */
export interface RightsCasesSettings {
  readonly adapter: AdapterDefinition
  readonly transport: LimitedTransport
  /** The text of the file of rights. */
  readonly rights: string
  /** Options of every transport that is opened. */
  readonly options?: Readonly<Record<string, unknown>>
  /** `provision` with which a user opens what exists and it may not create. */
  readonly existing: 'create' | 'verify'
  /** What a refusal says besides the page, by what was tried: the right, and what it is missing on. */
  readonly says: {
    readonly creating: string
    readonly sending: string
    readonly receiving: string
    readonly asking: string
    /** `undefined`: whoever receives may answer. */
    readonly answering: string | undefined
    readonly deadLettering: string
    readonly bookkeeping: string
    /** `undefined`: attempts are kept where messages or groups are. */
    readonly attempts: string | undefined
    /** `undefined`: whoever uses topics may list them. */
    readonly listing: string | undefined
    /** `undefined`: whoever creates topics may delete them. */
    readonly deleting: string | undefined
  }
  /** Another group of the topic needs another right. */
  readonly groupsApart: boolean
  /** Takes the right to write dead letters from the consumer. */
  readonly withoutDeadLetters: ChangedRole['change']
  /** Takes a right to what is kept beside the messages from a role. */
  readonly withoutBookkeeping: Pick<ChangedRole, 'like' | 'change'>
  /** Takes the right to keep counted attempts from the consumer. Left out: there is none. */
  readonly withoutAttempts?: ChangedRole['change']
  /** The roles that list and delete topics, where the service may not. */
  readonly lister: string
  readonly deleter: string
}

const NAME = 'app'
const PREFIX = 'rights.'
const PAGE = 'docs/rights.md'
const NO_DEAD_LETTERS = 'without-dead-letters'
const NO_BOOKKEEPING = 'without-bookkeeping'
const NO_ATTEMPTS = 'without-attempts'
const START_MS = 180_000
const CASE_MS = 60_000
const WAIT = { timeout: 20_000 }

/** Declares the cases of a file of rights: what the holder of each role can do and what not, on its own real broker, and what refusals say. */
export function rightsCases(settings: RightsCasesSettings): void {
  describe(`rights on ${settings.adapter.name}`, () => {
    const scene = new Scene(settings)
    beforeAll(() => scene.start(), START_MS)
    afterAll(() => scene.end(), START_MS)
    const declare = (title: string, body: () => Promise<void>): void => {
      test(title, { timeout: CASE_MS }, async () => {
        await body()
        await scene.connections.check()
      })
    }
    sending(scene, declare)
    receiving(scene, declare)
    asking(scene, declare)
    deadLetters(scene, declare)
    service(scene, declare)
    withheld(scene, declare)
    attempts(scene, declare)
    keeping(scene, declare)
  })
}

type Declare = (title: string, body: () => Promise<void>) => void

/** A broker with a topic, a group, its dead letters and a channel of replies, all of which exist. */
class Scene {
  readonly settings: RightsCasesSettings
  readonly topic = uniqueName('orders')
  readonly group = uniqueName('billing')
  readonly other = uniqueName('other')
  #limited: LimitedBroker | undefined
  #connections: ProductConnections | undefined

  constructor(settings: RightsCasesSettings) {
    this.settings = settings
  }

  get connections(): ProductConnections {
    if (this.#connections === undefined) throw new Error('the broker has not been started')
    return this.#connections
  }

  async start(): Promise<void> {
    const { transport, rights, withoutDeadLetters, withoutBookkeeping, withoutAttempts } = this.settings
    const more: readonly ChangedRole[] = [
      { name: NO_DEAD_LETTERS, like: 'consumer', change: withoutDeadLetters },
      { name: NO_BOOKKEEPING, ...withoutBookkeeping },
      ...(withoutAttempts === undefined ? [] : [{ name: NO_ATTEMPTS, like: 'consumer', change: withoutAttempts }]),
    ]
    const text = more.reduce((sum, role) => withRole(transport, sum, role), rights)
    const limited = await startLimitedBroker({ transport, rights: text, name: NAME })
    this.#limited = limited
    // Every client id names its user.
    this.#connections = new ProductConnections(await limited.connections(), [])
    await limited.grant({ prefix: PREFIX, topic: this.topic, group: this.group })
    await this.#prepare()
  }

  async end(): Promise<void> {
    await this.#connections?.checkAny()
    await this.#limited?.[Symbol.asyncDispose]()
  }

  /** Everything exists once it was used. */
  async #prepare(): Promise<void> {
    await using owner = this.#transport(this.#limited?.administratorUrl ?? '', 'harness')
    await owner.admin.provision(owner.topicSpec(this.other))
    const loop = owner.consumer(this.topic, { group: this.group, partitions: 2, retry: { attempts: 1 } })
    loop.handle((message) => {
      if (message.value === 'poison') throw new Error('poison')
      return message.value
    })
    const dead = new Promise((resolve) => loop.on('deadLetter', resolve))
    const running = loop.run()
    await loop.init()
    const producer = owner.producer(this.topic)
    await producer.send('poison')
    for await (const _ of producer.request('question')) break
    await dead
    await loop.close()
    await running
    await owner.deadLetters(this.topic, { group: this.group }).discard({ all: true })
  }

  /** A transport of a user with a role, closed with the test, and what it logged. */
  as(role: string, options: Readonly<Record<string, unknown>> = {}): Transport & { readonly lines: string[] } {
    const transport = this.#transport(this.#limited?.url(role) ?? '', clientIdOf(`${NAME}-${role}`), {
      provision: this.settings.existing,
      ...options,
    })
    onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
    return transport
  }

  #transport(url: string, clientId: string, options: Readonly<Record<string, unknown>> = {}) {
    const lines: string[] = []
    const note = (line: string): void => void lines.push(line)
    const transport = new Transport(this.settings.adapter, url, {
      environment: {},
      logger: { debug: () => {}, info: note, warn: note, error: note },
      options: { ...this.settings.options, prefix: PREFIX, clientId, ...options },
    })
    return Object.assign(transport, { lines })
  }

  /** A running loop of the topic and group. */
  async loop(transport: Transport, handler: (value: unknown) => unknown): Promise<ConsumerLoop> {
    const loop = transport.consumer(this.topic, { group: this.group, retry: { attempts: 2, minDelayMs: 1 } })
    loop.handle((message) => handler(message.value))
    const running = loop.run()
    running.catch(() => {})
    await loop.init()
    return loop
  }
}

/** Rejects at once with PERMISSION_DENIED, which says what is missing and where it is described. */
async function refused(work: Promise<unknown>, says: string): Promise<void> {
  const error: unknown = await work.then(
    () => new Error('it was not refused'),
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ code: 'PERMISSION_DENIED', retryable: false })
  const message = isStreamError(error) ? error.message : ''
  expect(message).toContain(says)
  expect(message).toContain(PAGE)
}

function initOf(transport: Transport, topic: string, group: string): Promise<void> {
  const loop = transport.consumer(topic, { group })
  loop.handle(() => {})
  return loop.init()
}

function sending(scene: Scene, declare: Declare): void {
  declare('a producer sends to its topic, and may neither create one, send to another nor receive', async () => {
    const { topic, group, other } = scene
    const { says } = scene.settings
    const producer = scene.as('producer').producer(topic)
    const receipts = await Promise.all(['a', 'b', 'c'].map((key) => producer.send('sent', { key })))
    expect(receipts).toHaveLength(3)
    const fresh = uniqueName('fresh')
    await refused(scene.as('producer', { provision: 'create' }).producer(fresh).init(), says.creating)
    await refused(scene.as('producer').producer(other).send(1), '')
    await refused(initOf(scene.as('producer'), topic, group), says.receiving)
  })
}

function receiving(scene: Scene, declare: Declare): void {
  declare('a consumer receives in its group and dead-letters, and may not send', async () => {
    const { says, groupsApart } = scene.settings
    const consumer = scene.as('consumer')
    const handled: unknown[] = []
    const poison = uniqueName('poison')
    const loop = await scene.loop(consumer, (value) => {
      if (value === poison) throw new Error('poison')
      handled.push(value)
    })
    const producer = scene.as('producer').producer(scene.topic)
    const values = Array.from({ length: 20 }, (_, index) => uniqueName(String(index)))
    await Promise.all([poison, ...values].map((value) => producer.send(value, { key: value })))
    await expect.poll(() => values.every((value) => handled.includes(value)), WAIT).toBe(true)
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(1)
    await loop.lag()
    await loop.close()
    await refused(consumer.producer(scene.topic).send(1), says.sending)
    if (groupsApart) await refused(initOf(scene.as('consumer', { provision: 'create' }), scene.topic, 'others'), '')
    expect(consumer.lines.filter((line) => line.includes('PERMISSION_DENIED'))).toEqual([])
  })
}

function asking(scene: Scene, declare: Declare): void {
  declare('a requester gets the replies of an answerer; without the right neither asks or answers', async () => {
    const { says } = scene.settings
    const ask = async (role: string): Promise<unknown[]> => {
      const parts: unknown[] = []
      for await (const part of scene.as(role).producer(scene.topic).request('question', { timeoutMs: 10_000 }))
        parts.push(part)
      return parts
    }
    const answerer = await scene.loop(scene.as('answerer'), (value) => `answer to ${String(value)}`)
    expect(await ask('requester')).toEqual(['answer to question'])
    await refused(ask('producer'), says.asking)
    await refused(initOf(scene.as('requester'), scene.topic, scene.group), says.receiving)
    await answerer.close()
    if (says.answering === undefined) return
    const consumer = scene.as('consumer')
    const loop = await scene.loop(consumer, (value) => `answer to ${String(value)}`)
    const unanswered = ask('requester').catch(() => {})
    const { answering } = says
    await expect
      .poll(() => consumer.lines, WAIT)
      .toContainEqual(expect.stringMatching(/could not be sent: PERMISSION_DENIED/))
    const line = consumer.lines.find((one) => one.includes('could not be sent'))
    expect(line).toContain(answering)
    expect(line).toContain(PAGE)
    await loop.close()
    await scene.connections.check()
    void unanswered
  })
}

function deadLetters(scene: Scene, declare: Declare): void {
  declare('dead letters are listed, shown, replayed and discarded by their role, which may not receive', async () => {
    const { topic, group } = scene
    const poison = [uniqueName('poison'), uniqueName('poison')]
    let broken = true
    const handled: unknown[] = []
    const loop = await scene.loop(scene.as('consumer'), (value) => {
      if (broken && poison.includes(String(value))) throw new Error('poison')
      handled.push(value)
    })
    const producer = scene.as('producer').producer(topic)
    for (const id of poison) await producer.send(id, { id, key: 'k' })
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(2)
    broken = false
    const keeper = scene.as('dead-letters')
    await using box = keeper.deadLetters(topic, { group })
    const ids = (await box.list()).letters.map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining(poison))
    expect((await box.show(poison[1] ?? '')).id).toBe(poison[1])
    expect(await box.replay({ ids: [poison[1] ?? ''] })).toMatchObject({ count: 1 })
    await expect.poll(() => handled, WAIT).toContain(poison[1])
    expect(await box.discard({ all: true })).toMatchObject({ count: ids.length - 1 })
    await loop.close()
    await refused(initOf(keeper, topic, group), '')
    await refused(scene.as('producer').deadLetters(topic, { group }).list(), '')
  })
}

function service(scene: Scene, declare: Declare): void {
  declare('a service does everything below its prefix, and nothing elsewhere', async () => {
    const transport = scene.as('service', { provision: 'create' })
    const topic = uniqueName('own')
    const group = uniqueName('group')
    let broken = true
    const loop = transport.consumer(topic, { group, partitions: 2, retry: { attempts: 2, minDelayMs: 1 } })
    loop.handle(({ value }) => {
      if (broken && value === 'poison') throw new Error('poison')
      return value
    })
    const running = loop.run()
    await loop.init()
    const producer = transport.producer(topic)
    await producer.send('poison', { key: 'k' })
    for await (const part of producer.request('question')) expect(part).toBe('question')
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(1)
    broken = false
    await using box = transport.deadLetters(topic, { group })
    expect(await box.replay({ all: true })).toMatchObject({ count: 1 })
    await loop.close()
    await running
    const elsewhere = scene.as('service', { provision: 'create', prefix: 'elsewhere.' })
    await refused(elsewhere.producer(topic).init(), '')
    await refused(initOf(elsewhere, topic, group), '')
    expect(transport.lines.filter((line) => line.includes('PERMISSION_DENIED'))).toEqual([])
  })
}

function withheld(scene: Scene, declare: Declare): void {
  declare('a dead letter that may not be written stops its partition, naming the right; others flow', async () => {
    const { says } = scene.settings
    const poison = uniqueName('poison')
    const handled: unknown[] = []
    const loop = await scene.loop(scene.as(NO_DEAD_LETTERS), (value) => {
      if (value === poison) throw new Error('poison')
      handled.push(value)
    })
    const errors: { code: string; message: string }[] = []
    loop.on('error', (error) => errors.push(error))
    const producer = scene.as('producer').producer(scene.topic)
    await producer.send(poison, { partition: 0 })
    await expect.poll(() => errors, WAIT).toHaveLength(1)
    expect(errors[0]).toMatchObject({ code: 'PERMISSION_DENIED' })
    for (const part of [deadLetterTopic(scene.topic, scene.group), says.deadLettering, PAGE])
      expect(errors[0]?.message).toContain(part)
    await producer.send(`beside ${poison}`, { partition: 1 })
    await expect.poll(() => handled, WAIT).toContain(`beside ${poison}`)
    expect(loop.stats().deadLettered).toBe(0)
    await loop.close()
  })

  declare('what is kept beside the messages and may not be: refused, naming the right', async () => {
    const { says, existing, withoutBookkeeping } = scene.settings
    const creates = withoutBookkeeping.like === 'service'
    const transport = scene.as(NO_BOOKKEEPING, { provision: creates ? 'create' : existing })
    const topic = creates ? uniqueName('fresh') : scene.topic
    const loop = transport.consumer(topic, { group: scene.group, ...(creates ? { partitions: 2 } : {}) })
    loop.handle(() => {})
    await refused(loop.init(), says.bookkeeping)
  })
}

function attempts(scene: Scene, declare: Declare): void {
  const says = scene.settings.says.attempts
  if (says === undefined) return
  declare('attempts that may not be kept: the log names the right', async () => {
    const consumer = scene.as(NO_ATTEMPTS)
    const failing = uniqueName('failing')
    const loop = await scene.loop(consumer, (value) => {
      if (value === failing) throw new Error('failing')
    })
    await scene.as('producer').producer(scene.topic).send(failing)
    const named = (): string | undefined => consumer.lines.find((line) => line.includes(says))
    await expect.poll(named, WAIT).toContain(PAGE)
    await loop.close({ timeoutMs: 2_000 }).catch(() => {})
  })
}

function keeping(scene: Scene, declare: Declare): void {
  const { says, lister, deleter } = scene.settings

  declare(
    `topics are listed by the ${lister}${says.listing === undefined ? '' : ', and not by the service'}`,
    async () => {
      const topics = await scene.as(lister).admin.topics()
      expect(topics.map(({ topic }) => topic)).toEqual(expect.arrayContaining([scene.topic, scene.other]))
      if (says.listing !== undefined) await refused(scene.as('service').admin.topics(), says.listing)
    },
  )

  declare(
    `topics are deleted by the ${deleter}${says.deleting === undefined ? '' : ', and not by the service'}`,
    async () => {
      const service = scene.as('service', { provision: 'create' })
      const spec = service.topicSpec(uniqueName('ending'))
      await service.admin.provision(spec)
      if (says.deleting !== undefined) await refused(service.admin.deleteTopic(spec), says.deleting)
      await scene.as(deleter).admin.deleteTopic(spec)
      await expect(service.admin.provision({ ...spec, provision: 'verify' }), 'it is gone').rejects.toMatchObject({
        code: 'NOT_FOUND',
      })
    },
  )
}
