import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { driverOf, type IncomingReply } from '@streamswitch/core/driver'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { Gate } from '../conformance/collect.js'
import type { FaultStand } from '../faults/suite/settings.js'
import { outcomeOf, ReplyBench } from './reply-bench.js'
import { ALL_SENT, HANGING, PARTS, type Part } from './reply-handler.js'
import type { ReplyFaultSettings } from './settings.js'

const PENDING = 20
const STAND_MS = 120_000
/** The lifetime of replies, plus a broker's delay until it removes what has expired. */
const EXPIRED_MS = 40_000
const TEST_MS = 60_000
const NUMBERS = Array.from({ length: PARTS }, (_, index) => index + 1)

/**
 * Declares the cases of replies under faults, of item 15: call it at the top level of a separate vitest file.
 * Responders and callers are killed, connections cut, at a broker that the suite starts.
 */
export function replyFaults(settings: ReplyFaultSettings): void {
  describe(`replies on ${settings.adapter.name} under faults`, () => {
    let stand: FaultStand | undefined
    beforeAll(async () => {
      stand = await settings.stand()
    }, STAND_MS)
    afterAll(() => stand?.[Symbol.asyncDispose](), TEST_MS)
    const fault = (title: string, body: (bench: ReplyBench) => Promise<void>): void =>
      test(title, { timeout: TEST_MS + (settings.takeoverMs ?? 0) }, ({ onTestFinished }: TestContext) =>
        body(new ReplyBench(settings, stand as FaultStand, onTestFinished)),
      )
    fault('a responder killed after parts were read: the reply ends with ABORTED', partsRead)
    fault('a responder killed before a part was read: the reply is that of its successor, whole', nothingRead)
    fault('connections cut while replies are pending: every reply comes', connectionCut)
    fault('what is sent to an inbox while nobody reads it is there for the next reader', inboxReopened)
    fault('a caller killed: the group goes on, and what it leaves is cleared away', callerKilled)
  })
}

async function partsRead(bench: ReplyBench): Promise<void> {
  const { reply, read, rest } = await killWhileAnswering(bench, PARTS - 1)
  const { parts, code } = await rest
  expect(code, `after ${read.length + parts.length} parts`).toBe('ABORTED')
  expect([...read, ...parts].map(({ part }) => part)).toEqual(NUMBERS.slice(0, read.length + parts.length))
  expect(new Set([...read, ...parts].map((part) => part.process)).size, 'parts of one start only').toBe(1)
  await expect(reply.read(), 'once it has rejected it always does').rejects.toMatchObject({ code: 'ABORTED' })
}

async function nothingRead(bench: ReplyBench): Promise<void> {
  const { killed, rest } = await killWhileAnswering(bench, 0)
  const { parts, code } = await rest
  expect(code).toBeUndefined()
  expect(parts.map(({ part }) => part)).toEqual(NUMBERS)
  expect(new Set(parts.map((part) => part.process)).size, 'parts of one start only').toBe(1)
  expect(parts[0]?.process).not.toBe(killed)
}

/**
 * Kills the process that answers, after all parts of its start have arrived and this many were read. Another takes
 * over.
 */
async function killWhileAnswering(bench: ReplyBench, count: number) {
  const workers = await bench.workers(['r1', 'r2'])
  const producer = bench.transport().producer(bench.topic)
  const options = { id: `${HANGING}-1`, key: 'k', timeoutMs: TEST_MS }
  const reply = producer.request<Part>('x', options)
  const read: Part[] = []
  for (let part = 0; part < count; part += 1) read.push((await reply.read()) as Part)
  const running = (): number | undefined =>
    bench.reader.refresh().handlings.find(({ id, outcome }) => id === options.id && outcome === 'running')?.life
  await bench.until(() => existsSync(join(bench.reader.folder, `${options.id}${ALL_SENT}`)), 'all parts to be sent')
  const responder = workers.find(({ pid }) => pid === running())
  const killed = responder?.pid
  await responder?.kill()
  const again = (): boolean =>
    bench.reader.refresh().handlings.some(({ id, outcome }) => id === options.id && outcome === 'succeeded')
  await bench.until(again, 'another process to answer', bench.takeoverMs + 15_000)
  // A later answer of the same process: in an inbox they keep their order.
  const { code } = await outcomeOf(producer.request<Part>('y', { id: 'later', key: 'k', timeoutMs: 25_000 }))
  expect(code).toBeUndefined()
  return { reply, read, killed, rest: outcomeOf(reply) }
}

async function connectionCut(bench: ReplyBench): Promise<void> {
  // Where responders are cut off as well, their handlers may start again, which ends a reply that was read in part: by one record it is whole.
  const count = bench.stand.receiverUrl === undefined ? 1 : PARTS
  const parts = (of: unknown) => Array.from({ length: count }, (_, index) => ({ of, part: index + 1 }))
  const gate = new Gate()
  let started = 0
  await bench.responder(async (message) => {
    started += 1
    await gate.opened
    const all = parts(message.value)
    const last = all.pop()
    for (const part of all) await message.respond(part)
    return last
  })
  const producer = bench.transport().producer(bench.topic)
  const outcomes = Array.from({ length: PENDING }, (_, number) =>
    outcomeOf(producer.request(number, { timeoutMs: 50_000 })),
  )
  await bench.until(() => started >= PENDING, 'every request at work')
  expect(bench.stand.proxy.cut(), 'connections cut').toBeGreaterThan(0)
  gate.open()
  expect(await Promise.all(outcomes)).toEqual(
    Array.from({ length: PENDING }, (_, number) => ({ parts: parts(number), code: undefined })),
  )
}

async function inboxReopened(bench: ReplyBench): Promise<void> {
  const transport = bench.transport()
  const channel = driverOf(transport).replies
  if (channel === undefined) throw new Error('the adapter has no replies of its own')
  const { brokerTopic: brokerName, provision } = transport.topicSpec('streamswitch-replies')
  const common = { brokerName, ttlMs: 15_000, provision }
  const came: string[] = []
  const sink = {
    reply: ({ payload }: IncomingReply): boolean => came.push(String(payload)) > 0,
    lost: () => {},
  }
  const spec = { ...common, instance: 'a1b2c3d4e5f6', progress: { position: undefined } }
  const first = channel.inbox(spec, sink)
  const address = await first.open(AbortSignal.timeout(20_000))
  await first.close(false)
  const sender = channel.sender(common, { lost: () => {} } as never)
  await sender.open(AbortSignal.timeout(20_000))
  const record = { id: 'r', key: address, payload: Buffer.from('while away'), headers: {}, timestamp: Date.now() }
  await new Promise<void>((resolve, reject) => {
    const outcomes = {
      accept: () => resolve(),
      acceptAll: () => resolve(),
      fail: (_: number, e: unknown) => reject(e),
      failAll: reject,
    }
    void sender.publish({
      records: [record as never],
      lane: sender.laneOf?.(record as never) ?? 0,
      ...outcomes,
    } as never)
  })
  const second = channel.inbox(spec, sink)
  expect(await second.open(AbortSignal.timeout(20_000))).toBe(address)
  await bench.until(() => came.length > 0, 'what was sent while nobody read')
  expect(came).toEqual(['while away'])
  await sender.close()
  await second.close(true)
}

async function callerKilled(bench: ReplyBench): Promise<void> {
  const gate = new Gate()
  const loop = await bench.responder(async (message) => {
    await message.respond('first')
    await gate.opened
    return 'last'
  })
  const caller = bench.caller(PENDING)
  await caller.answered
  const { inboxes } = bench.settings
  if (inboxes !== undefined) expect(await inboxes(bench.prefix), 'the inbox of the caller').toHaveLength(1)
  await caller.kill()
  gate.open()
  await bench.until(() => loop.stats().acked === PENDING, 'the requests of the dead caller to be done with')
  expect(loop.stats().deadLettered, 'given up').toBe(0)
  const own = bench.transport()
  expect(await outcomeOf(own.producer(bench.topic).request('x'))).toEqual({ parts: ['first', 'last'], code: undefined })
  await own.close()
  if (inboxes === undefined) return
  await expect.poll(() => inboxes(bench.prefix), { timeout: EXPIRED_MS, interval: 500 }).toEqual([])
}
