import { afterEach, describe, expect, it, vi } from 'vitest'
import { FoundTopics, MAX_FOUND_TOPICS } from '../src/server/found-topics.js'
import { GroupInbox } from '../src/server/group-inbox.js'
import { BATCH_TYPE } from '../src/wire/batch-frames.js'
import { Bed } from './support/bed.js'
import { batchOf } from './support/frames.js'
import { RawClients } from './support/raw-clients.js'
import { ServerProcess } from './support/server-process.js'

async function serving() {
  const server = await ServerProcess.start({ loops: [{ topic: { pattern: '*' }, group: 'audit' }] })
  const bed = new Bed()
  const sending = await bed.open({}, server.url)
  await sending.producer('first').send('warm')
  const before = await server.stats()
  let topics = 0
  return {
    server,
    /** New topics are joined, and those that were stay. */
    async expectServed(): Promise<void> {
      const { handled } = await server.stats()
      topics += 1
      for (const topic of ['first', `real-${topics}`, `real-${topics}`]) await sending.producer(topic).send('honest')
      expect((await server.stats()).handled).toBe(handled + 3)
    },
    async expectBounded(): Promise<void> {
      const { cpuMs, peakMib, longestTurnMs } = await server.stats()
      expect(cpuMs - before.cpuMs).toBeLessThan(40_000)
      expect(peakMib - before.peakMib).toBeLessThan(250)
      expect(longestTurnMs).toBeLessThan(1_000)
      expect(server.alive).toBe(true)
    },
    async [Symbol.asyncDispose]() {
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** As cheap as it gets for the client: requests by the dozen on each connection. */
async function invent(server: ServerProcess, count: number): Promise<void> {
  const each = 50
  using clients = new RawClients(server.port)
  for (let first = 0; first < count; first += each) {
    const requests = Array.from({ length: each }, (_, index) => inventedRequest(first + index))
    await clients.connect(1, Buffer.concat(requests))
  }
  const answers = (received: string): number => received.split('HTTP/1.1 4').length - 1
  await expect
    .poll(() => clients.all.every(({ received }) => answers(received) === each), { timeout: 25_000 })
    .toBe(true)
}

/** A body that can't be decoded, to all groups or to one; a malformed batch; a method that the loop doesn't take. */
function inventedRequest(number: number): Buffer {
  const path = `/invented-${number}`
  if (number % 4 === 0) return Buffer.from(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
  const type = number % 4 === 1 ? BATCH_TYPE : 'application/json'
  const body = number % 4 === 1 ? batchOf(['no head']) : Buffer.from('no JSON')
  const head = `POST ${path}${number % 4 === 2 ? '/audit' : ''} HTTP/1.1\r\nhost: localhost\r\ncontent-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

describe('paths that a client invents', () => {
  it('make room for topics that are used, which are joined at any time', async () => {
    await using bed = await serving()
    const attack = invent(bed.server, MAX_FOUND_TOPICS + 200)
    await bed.expectServed()
    await attack
    await bed.expectServed()
    await bed.expectServed()
    expect(bed.server.log.filter((line) => line.includes(`${MAX_FOUND_TOPICS} topics`))).toHaveLength(1)
    await bed.expectBounded()
  })
})

describe('a topic that was found', () => {
  afterEach(() => void vi.useRealTimers())

  it('is left some minutes after its last message, unless one was accepted or is being handled', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] })
    const inboxes = new Map<string, GroupInbox>()
    const left: string[] = []
    const found = new FoundTopics({
      search: {
        group: 'audit',
        options: {},
        brokerGroup: 'g',
        accepts: () => true,
        found: async (topic) => void inboxes.set(topic, new GroupInbox(topic, 'g')),
        left: async (topic) => {
          left.push(topic)
          inboxes.delete(topic)
        },
      },
      inboxOf: (topic) => inboxes.get(topic),
      warn: () => {},
    })
    for (const topic of ['unused', 'used', 'busy', 'failing']) await found.find(topic)
    const set = (topic: string, state: Partial<GroupInbox>) => Object.assign(inboxes.get(topic) as GroupInbox, state)
    set('used', { hasAccepted: true, messages: 1 })
    set('busy', { messages: 1, unsettled: 1 })
    const minutes = async (count: number) => {
      for (let minute = 0; minute < count; minute += 1) {
        set('failing', { messages: (inboxes.get('failing') as GroupInbox).messages + 1 })
        await vi.advanceTimersByTimeAsync(60_000)
      }
    }
    await minutes(4)
    expect(left).toEqual([])
    await minutes(3)
    expect(left).toEqual(['unused'])
    set('busy', { unsettled: 0 })
    await minutes(2)
    expect(left).toEqual(['unused', 'busy'])
    await vi.advanceTimersByTimeAsync(7 * 60_000)
    expect(left).toEqual(['unused', 'busy', 'failing'])
    await found.find('unused')
    expect([...inboxes.keys()]).toEqual(['used', 'unused'])
    found.close()
  })
})
