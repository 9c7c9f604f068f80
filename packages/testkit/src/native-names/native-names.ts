import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { expect, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'

/** Settings of {@link nativeNames} for an adapter and its broker. */
export interface NativeNamesSettings {
  readonly adapter: AdapterDefinition
  url(): string
  /** Non-portable names that the broker accepts, without the unique part. */
  readonly names: { readonly topic: string; readonly group: string }
  /**
   * Creates the topic by the broker's own tools, not through Streamswitch. Default: the broker begins empty, and topics
   * are created on first use.
   */
  create?(topic: string): Promise<void>
  /** Writes a message as a client of the broker does, without anything of Streamswitch's. Default: none is written. */
  write?(topic: string, body: Buffer): Promise<void>
  /** Deletes what {@link create} created and `admin.deleteTopic` leaves. */
  remove?(topic: string): Promise<void>
}

const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const KEYS = 5
const MESSAGES = 40
const TIMEOUT_MS = 60_000

/**
 * Declares the cases of existing topics and groups: two services that use other names for them, below other prefixes,
 * are one group on one topic, with its order, its dedupe marks and its dead letters.
 */
export function nativeNames(settings: NativeNamesSettings): void {
  const { adapter, create, write } = settings

  test('two services with their own names and prefixes share a native topic and group', {
    timeout: TIMEOUT_MS,
  }, async () => {
    const topic = settings.names.topic + uniqueName('t')
    const group = settings.names.group + uniqueName('g')
    const one = open({ prefix: 'one.', topics: { orders: { name: topic } }, groups: { billing: { name: group } } })
    const two = open({
      STREAMSWITCH_PREFIX: 'two.',
      STREAMSWITCH_TOPIC_NAMES: `bestellungen=${encodeURIComponent(topic)}`,
      STREAMSWITCH_GROUP_NAMES: `rechnung=${encodeURIComponent(group)}`,
    })
    try {
      if (create !== undefined) {
        for (const missing of [
          one.transport.producer('orders'),
          one.transport.consumer('orders', { group: 'billing' }),
        ]) {
          await expect(missing.init(), 'what is native is not made').rejects.toMatchObject({
            code: 'NOT_FOUND',
            message: expect.stringContaining(topic),
          })
          await missing.close()
        }
        await create(topic)
      }
      const handled: string[] = []
      const byKey = new Map<string, unknown[]>()
      const seenTopics = new Set<string>()
      let broken = true
      const loops = [
        one.transport.consumer('orders', { group: 'billing', codec: 'text', retry: { attempts: 1 } }),
        two.transport.consumer('bestellungen', { group: 'rechnung', codec: 'text', retry: { attempts: 1 } }),
      ]
      const deadLetters: unknown[] = []
      for (const loop of loops) {
        loop.on('deadLetter', ({ id }) => deadLetters.push(id))
        loop.handle((message) => {
          if (message.value === 'poison' && broken) throw new Error('broken')
          handled.push(String(message.value))
          seenTopics.add(message.topic)
          if (message.key !== undefined) byKey.set(message.key, [...(byKey.get(message.key) ?? []), message.value])
        })
        await loop.init()
        void loop.run()
      }
      const producers = [
        one.transport.producer<string>('orders', { codec: 'text' }),
        two.transport.producer<string>('bestellungen', { codec: 'text' }),
      ]
      const sent: string[] = []
      for (let index = 0; index < MESSAGES; index += 1) {
        const value = `value-${index}`
        sent.push(value)
        await producers[index % 2]?.send(value, { key: `key-${index % KEYS}` })
      }
      await expect.poll(() => handled.length, { timeout: TIMEOUT_MS }).toBeGreaterThanOrEqual(MESSAGES)
      expect([...handled].sort(), 'each once, by one of the two').toEqual(sent.sort())
      for (const values of byKey.values())
        expect(values, 'in order by key').toEqual([...values].sort((a, b) => numberOf(a) - numberOf(b)))
      expect([...seenTopics].every((seen) => seen === 'orders' || seen === 'bestellungen')).toBe(true)

      await producers[0]?.send('poison', { id: 'poisonous', key: 'key-1' })
      if (write !== undefined) await write(topic, Buffer.from('poison'))
      const wanted = write === undefined ? 1 : 2
      await expect.poll(() => deadLetters.length, { timeout: TIMEOUT_MS }).toBe(wanted)
      const boxes = [
        one.transport.deadLetters('orders', { group: 'billing' }),
        two.transport.deadLetters('bestellungen', { group: 'rechnung' }),
      ]
      const lists = await Promise.all(boxes.map((box) => box.list()))
      const ids = lists.map(({ letters }) => letters.map(({ id }) => id).sort())
      expect(ids[0]).toHaveLength(wanted)
      expect(ids[0]).toContain('poisonous')
      expect(ids[1], 'both see the same').toEqual(ids[0])
      expect(lists[1]?.letters[0]?.origin, 'by the name that each has for it').toMatchObject({
        topic: 'bestellungen',
        group: 'rechnung',
      })
      expect(boxes[0]?.deadLetterTopic).toMatch(/^[A-Za-z0-9._-]{1,150}$/)
      broken = false
      expect(await boxes[1]?.replay({ all: true })).toMatchObject({ count: wanted })
      await expect
        .poll(() => handled.filter((value) => value === 'poison'), { timeout: TIMEOUT_MS })
        .toHaveLength(wanted)
      expect((await boxes[0]?.list())?.letters).toEqual([])
    } finally {
      await one.transport.admin.deleteTopic(one.transport.deadLetterSpec('orders', 'billing'))
      await one.transport.admin.deleteTopic(one.transport.topicSpec('orders'))
      await Promise.all([one.transport.close({ timeoutMs: 2_000 }), two.transport.close({ timeoutMs: 2_000 })])
      await settings.remove?.(topic)
    }
  })

  function open(given: Readonly<Record<string, unknown>>): { readonly transport: Transport } {
    const byEnvironment = 'STREAMSWITCH_PREFIX' in given
    const transport = new Transport(adapter, settings.url(), {
      environment: byEnvironment ? (given as NodeJS.ProcessEnv) : {},
      logger: QUIET,
      options: byEnvironment ? {} : given,
    })
    return { transport }
  }
}

function numberOf(value: unknown): number {
  return Number(String(value).slice('value-'.length))
}
