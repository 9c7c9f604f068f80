import type { ConsumerSink } from '@streamswitch/core/driver'
import { afterAll, expect, test } from 'vitest'
import type { StreamClient } from '../src/client-patches/stream-client.js'
import { openClient } from '../src/connection.js'
import { GroupRecordStore } from '../src/group-records.js'
import type { StreamConsumerSettings } from '../src/options.js'
import { OrphanWatch } from '../src/orphan-watch.js'
import { PartitionMember } from '../src/partition-member.js'
import { numbers, openStream, sourceOf, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const GROUPS = 50
/**
 * For each number that is stored beside a stream, the broker's process of a connection sleeps a millisecond for every subscription
 * to that stream: 50 owners of one stream would keep it from answering for seconds.
 */
const GROUPS_PER_STREAM = 5
const OPTIONS = { commitIntervalMs: 200, chunksAhead: 1, handoverTimeoutMs: 10_000 } as StreamConsumerSettings

const clients: StreamClient[] = []

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()))
})

async function connect(): Promise<StreamClient> {
  const client = await openClient(sourceOf(BROKER_URL))
  clients.push(client)
  return client
}

/** Answers about these references stay away until `release`. */
function holdAnswers(client: StreamClient, which: (reference: string) => boolean) {
  const { locator } = client
  const sendAndWait = locator.sendAndWait.bind(locator)
  const waiting: { readonly reference: string; readonly go: () => void }[] = []
  locator.sendAndWait = async (request) => {
    const [answer] = await Promise.allSettled([sendAndWait(request)])
    const { reference } = request as unknown as { readonly reference?: string }
    if (reference !== undefined && which(reference)) await new Promise<void>((go) => waiting.push({ reference, go }))
    if (answer.status === 'rejected') throw answer.reason
    return answer.value as never
  }
  return {
    holds: (group: string) => waiting.some(({ reference }) => reference.startsWith(`${group}:`)),
    release: (group: string) => {
      for (const { reference, go } of waiting) if (reference.startsWith(`${group}:`)) go()
    },
  }
}

/** A member that only notes what it owns. */
function memberOf(client: StreamClient, stream: string, group: string, owned: Set<string>, name: string) {
  const sink: Partial<ConsumerSink> = {
    assigned: (partitions) => {
      if (partitions.length > 0) owned.add(name)
    },
    revoked: async () => void owned.delete(name),
    startIgnored() {},
    report() {},
    outOfRange: () => 'earliest',
    capacity: () => 1,
    deliver: () => new Promise(() => {}),
  }
  return new PartitionMember(
    { topic: stream, partition: 0, stream, superStream: undefined },
    {
      client,
      sink: sink as ConsumerSink,
      group,
      from: undefined,
      options: OPTIONS,
      ownEpochs: new Map(),
      lost: (error) => expect.unreachable(String(error)),
    },
  )
}

test(`a step-back that falls into an activation leaves one owner, ${GROUPS} times`, { timeout: 60_000 }, async () => {
  const transport = openStream()
  const streams = numbers(GROUPS / GROUPS_PER_STREAM).map(() => unique('topic'))
  await Promise.all(streams.map((stream) => transport.producer<number>(stream).send(1)))
  const [first, second, observer] = [await connect(), await connect(), await connect()]
  const held = holdAnswers(first, (reference) => reference.includes(':try.'))
  const groups = await Promise.all(
    numbers(GROUPS).map(async (number) => {
      const group = unique('group')
      const stream = streams[number % streams.length] as string
      const owned = new Set<string>()
      const members = {
        group,
        owned,
        most: 0,
        attempts: 0,
        activated: memberOf(first, stream, group, owned, 'activated'),
        waiting: memberOf(second, stream, group, owned, 'waiting'),
        records: new GroupRecordStore(observer.locator, stream, group, stream),
      }
      await members.activated.join()
      // The broker has activated it, and its records are on their way.
      await until(() => held.holds(group))
      await members.waiting.join()
      return members
    }),
  )
  const watches = [groups.map(({ activated }) => activated), groups.map(({ waiting }) => waiting)].map(
    (candidates) => new OrphanWatch(candidates, (error) => expect.unreachable(String(error))),
  )
  for (const watch of watches) watch.start()
  const one = async (members: (typeof groups)[number]): Promise<void> => {
    const { group, owned, activated, waiting, records } = members
    const seen = (): boolean => {
      members.most = Math.max(members.most, owned.size)
      return true
    }
    // The other member finds no owner and calls: now this one's watch is due, in the midst of its activation.
    await until(async () => (await records.look()).call !== undefined)
    expect(held.holds(group) && !activated.active, 'the records are still awaited').toBe(true)
    await activated.stepBack()
    members.attempts += 1
    const releasedAt = performance.now() + Math.random() * 300
    await until(() => performance.now() > releasedAt)
    held.release(group)
    // The one that stepped back stands again after three seconds: then the broker has said all that it will.
    await until(() => seen() && (waiting.waiting || waiting.active))
    await until(() => seen() && owned.size > 0)
  }
  await Promise.all(groups.map(one))
  for (const watch of watches) watch.stop()
  expect(groups.map(({ attempts }) => attempts)).toEqual(groups.map(() => 1))
  expect(groups.map(({ owned }) => [...owned])).toEqual(groups.map(() => ['activated']))
  expect(groups.map(({ most }) => most)).toEqual(groups.map(() => 1))
  await Promise.all(groups.flatMap(({ activated, waiting }) => [activated.leave(), waiting.leave()]))
})
