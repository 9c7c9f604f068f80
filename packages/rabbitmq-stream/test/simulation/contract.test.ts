import { play, SimulatedProcess } from '@streamswitch/testkit/simulation'
import { MetadataRequest } from 'rabbitmq-stream-js-client/dist/requests/metadata_request.js'
import { QueryOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/query_offset_request.js'
import { StoreOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/store_offset_request.js'
import { StreamStatsRequest } from 'rabbitmq-stream-js-client/dist/requests/stream_stats_request.js'
import type { StreamStatsResponse } from 'rabbitmq-stream-js-client/dist/responses/stream_stats_response.js'
import { describe, expect, test } from 'vitest'
import { Chunk } from '../../src/chunk.js'
import { ConnectionGone, ServerError } from '../../src/client-patches/server-error.js'
import { Offset, type StreamClient, type SubscriptionHandle } from '../../src/client-patches/stream-client.js'
import { openClient } from '../../src/connection.js'
import { openStream, sourceOf, unique, until } from '../support/bench.js'
import { BROKER_URL } from '../support/broker.js'
import { ScriptedBroker } from './scripted-broker.js'
import { ScriptedClient } from './scripted-client.js'
import { loadSources } from './sources.js'

/** A broker, real or scripted: the same steps must give the same transcript. */
interface Bench {
  readonly plain: string
  /** A super stream with the partitions 0 and 1. */
  readonly topic: string
  connect(): Promise<StreamClient>
  /** Its sockets are gone, without a goodbye. */
  crash(client: StreamClient): Promise<void>
  publish(stream: string): Promise<void>
}

/** Written down, in order, by what happens at clients. */
type Transcript = string[]

type Steps = (bench: Bench, transcript: Transcript) => Promise<void>

async function onBroker(steps: Steps): Promise<Transcript> {
  const transport = openStream()
  const [plain, topic] = [unique('plain'), unique('super')]
  await transport.admin.provision(transport.topicSpec(plain))
  await transport.admin.provision(transport.topicSpec(topic, { partitions: 2 }))
  const producer = transport.producer<number>(plain)
  const clients: StreamClient[] = []
  const transcript: Transcript = []
  try {
    await steps(
      {
        plain,
        topic,
        connect: async () => {
          const client = await openClient(sourceOf(BROKER_URL))
          clients.push(client)
          return client
        },
        crash: async (client) => {
          for (const connection of await client.connections()) connection.fail(new ConnectionGone('crashed'))
        },
        publish: async () => void (await producer.send(1)),
      },
      transcript,
    )
    return [...transcript]
  } finally {
    await Promise.all(clients.map((client) => client.close()))
  }
}

async function onScript(steps: Steps): Promise<Transcript> {
  const sources = await loadSources('../../src')
  return play(1, async (world) => {
    const broker = new ScriptedBroker(world, sources, {
      mayStore: () => true,
      stored() {},
      activated() {},
      unsubscribed() {},
    })
    const plain = broker.create('plain', -1)
    broker.create('super-0', 0)
    broker.create('super-1', 1)
    const transcript: Transcript = []
    await steps(
      {
        plain: 'plain',
        topic: 'super',
        connect: async () =>
          (await ScriptedClient.connect(
            broker,
            new SimulatedProcess('client'),
            1,
            () => {},
          )) as unknown as StreamClient,
        crash: async (client) => (client as unknown as ScriptedClient).locator.cut(1, 0),
        publish: async () => void plain.append(),
      },
      transcript,
    )
    return transcript
  })
}

const code = (error: unknown): string => (error instanceof ServerError ? `code ${error.code}` : String(error))

const query = (client: StreamClient, stream: string, reference: string): Promise<string> =>
  client.locator
    .sendAndWait<never>(new QueryOffsetRequest({ stream, reference }))
    .then((answer) => String((answer as { offsetValue: bigint }).offsetValue), code)

const store = (client: StreamClient, stream: string, reference: string, value: number): void =>
  void client.locator.send(new StoreOffsetRequest({ stream, reference, offsetValue: BigInt(value) }))

interface Candidate {
  readonly name: string
  readonly client: StreamClient
  readonly handle: SubscriptionHandle
  /** Answers the oldest update that isn't answered. */
  answer(): void
}

const GROUP = 'group'

/** Becomes a candidate; what it is told goes to the transcript. Answers an activation at once, anything else by `answer`. */
async function candidate(
  client: StreamClient,
  transcript: Transcript,
  name: string,
  { stream, superStream, group = GROUP }: { stream: string; superStream?: string; group?: string },
): Promise<Candidate> {
  const owed: (() => void)[] = []
  const handle = await client.subscribe(
    {
      stream,
      offset: Offset.next(),
      credit: 0,
      singleActive: true,
      consumerRef: group,
      ...(superStream === undefined ? {} : { superStream }),
    },
    {
      update: (connection, { active, correlationId }) => {
        transcript.push(`${name} ${active ? 'active' : 'inactive'}`)
        const answer = (): void => client.answerUpdate(connection, correlationId, Offset.next())
        if (active) answer()
        else owed.push(answer)
      },
    },
  )
  return { name, client, handle, answer: () => owed.shift()?.() }
}

/** Everything that the coordinator had to say until now has arrived at these clients: it handles commands in order, and so do connections. */
async function quiet({ plain }: Bench, ...clients: StreamClient[]): Promise<void> {
  for (const client of clients) {
    for (let round = 0; round < 2; round += 1) {
      const told: Transcript = []
      const { handle } = await candidate(client, told, 'barrier', { stream: plain, group: unique('barrier') })
      while (told.length === 0) await client.locator.sendAndWait(new MetadataRequest({ streams: [plain] }))
      await client.unsubscribe(handle)
    }
    await client.locator.sendAndWait(new MetadataRequest({ streams: [plain] }))
  }
}

async function leave({ client, name, handle }: Candidate, transcript: Transcript): Promise<void> {
  transcript.push(`${name} leaves`)
  await client.unsubscribe(handle)
}

const stats = async (client: StreamClient, stream: string): Promise<StreamStatsResponse['statistics']> =>
  (await client.locator.sendAndWait<StreamStatsResponse>(new StreamStatsRequest(stream))).statistics

/** The offsets of the messages that a subscription is sent, and how many chunks were allowed. */
async function read(client: StreamClient, stream: string, offset: Offset, credit: number) {
  const offsets: number[] = []
  const handle = await client.subscribe(
    { stream, offset, credit },
    { chunk: (bytes) => offsets.push(...new Chunk(bytes).read(100, 0).map((entry) => entry.offset)) },
  )
  return { offsets, handle }
}

const CONTRACTS: Readonly<Record<string, Steps>> = {
  'stored offsets: the last one counts, whoever stores it and however low it is': async (bench, transcript) => {
    const [first, second] = [await bench.connect(), await bench.connect()]
    transcript.push(await query(first, bench.plain, 'r'))
    for (const [client, value] of [
      [first, 5],
      [first, 3],
      [second, 9],
      [second, 4],
    ] as const) {
      store(client, bench.plain, 'r', value)
      transcript.push(await query(client, bench.plain, 'r'))
    }
    await until(async () => (await query(first, bench.plain, 'r')) === '4')
    transcript.push(await query(first, bench.plain, 'other'), await query(first, 'no such stream', 'r'))
    store(first, 'no such stream', 'r', 1)
    transcript.push(await query(first, bench.plain, 'r'))
  },
  'statistics: an empty stream, and stored offsets among the messages': async (bench, transcript) => {
    const client = await bench.connect()
    const note = async (): Promise<void> => {
      const { firstChunkId, committedChunkId } = await stats(client, bench.plain)
      transcript.push(`from ${firstChunkId} to ${committedChunkId}`)
    }
    await note()
    await bench.publish(bench.plain)
    await until(async () => Number((await stats(client, bench.plain)).committedChunkId) === 0)
    await note()
    store(client, bench.plain, 'r', 1)
    await until(async () => Number((await stats(client, bench.plain)).committedChunkId) === 1)
    await note()
    await bench.publish(bench.plain)
    await until(async () => Number((await stats(client, bench.plain)).committedChunkId) === 2)
    await note()
    transcript.push(await stats(client, 'no such stream').then(() => 'there', code))
  },
  'reading: from an offset, the last message, the end; no more chunks than credits; gaps where offsets are stored':
    async (bench, transcript) => {
      const client = await bench.connect()
      await bench.publish(bench.plain)
      store(client, bench.plain, 'r', 0)
      await until(async () => Number((await stats(client, bench.plain)).committedChunkId) === 1)
      for (let count = 0; count < 3; count += 1) await bench.publish(bench.plain)
      /** What has been sent by now: the broker sends what it may while it handles a subscription or a credit, but is slower at credits. */
      const sent = async (offsets: readonly number[], atLeast: number): Promise<string> => {
        for (let asked = 0; asked < 50 || offsets.length < atLeast; asked += 1)
          await client.locator.sendAndWait(new MetadataRequest({ streams: [bench.plain] }))
        return offsets.join(' ')
      }
      for (const [from, credit] of [
        [0n, 1],
        [1n, 2],
      ] as const) {
        const { offsets, handle } = await read(client, bench.plain, Offset.offset(from), credit)
        transcript.push(`from ${from}, ${credit}: ${await sent(offsets, credit)}`)
        for (let more = 1; more <= 2; more += 1) {
          client.credit(handle, 1)
          transcript.push(`${more} more: ${await sent(offsets, more === 1 && credit === 2 ? 2 : credit + 1)}`)
        }
        await client.unsubscribe(handle)
      }
      const last = await read(client, bench.plain, Offset.last(), 5)
      await client.locator.sendAndWait(new MetadataRequest({ streams: [bench.plain] }))
      transcript.push(`last: ${last.offsets.join(' ')}`)
      const next = await read(client, bench.plain, Offset.next(), 5)
      await bench.publish(bench.plain)
      await until(() => next.offsets.length === 1)
      transcript.push(`next: ${next.offsets.join(' ')}`)
      const two = await read(client, bench.plain, Offset.next(), 2)
      for (let count = 1; count <= 3; count += 1) {
        await bench.publish(bench.plain)
        transcript.push(`next, 2 credits, ${count} new: ${await sent(two.offsets, 1)}`)
      }
      transcript.push(await client.unsubscribe(last.handle).then(() => 'ended', code))
    },
  'a plain stream: the first candidate stays active, the next one follows': async (bench, transcript) => {
    const [one, two, three] = [await bench.connect(), await bench.connect(), await bench.connect()]
    const all = [one, two, three]
    const target = { stream: bench.plain }
    const first = await candidate(one, transcript, 'first', target)
    await quiet(bench, ...all)
    const second = await candidate(two, transcript, 'second', target)
    await candidate(three, transcript, 'third', target)
    await quiet(bench, ...all)
    await leave(second, transcript)
    await quiet(bench, ...all)
    const again = await candidate(two, transcript, 'second again', target)
    await leave(first, transcript)
    await quiet(bench, ...all)
    await bench.crash(three)
    await until(() => transcript.includes('second again active'))
    await leave(again, transcript)
    await quiet(bench, one, two)
  },
  'a super stream: partition p belongs to candidate p modulo their number, after the former one has answered': async (
    bench,
    transcript,
  ) => {
    const [one, two] = [await bench.connect(), await bench.connect()]
    const target = { stream: `${bench.topic}-1`, superStream: bench.topic }
    const first = await candidate(one, transcript, 'first', target)
    await quiet(bench, one, two)
    const second = await candidate(two, transcript, 'second', target)
    await quiet(bench, one, two)
    transcript.push('first answers')
    first.answer()
    await quiet(bench, one, two)
    const zero = { stream: `${bench.topic}-0`, superStream: bench.topic }
    await candidate(one, transcript, 'first of 0', zero)
    await candidate(two, transcript, 'second of 0', zero)
    await quiet(bench, one, two)
    await leave(second, transcript)
    await quiet(bench, one, two)
    await leave(first, transcript)
    await quiet(bench, one, two)
  },
  'a super stream: one that is gone while it owes its answer counts as having answered; while it is there, others may come and go':
    async (bench, transcript) => {
      const [one, two, three] = [await bench.connect(), await bench.connect(), await bench.connect()]
      const target = { stream: `${bench.topic}-1`, superStream: bench.topic }
      await candidate(one, transcript, 'first', target)
      await quiet(bench, one, two, three)
      const second = await candidate(two, transcript, 'second', target)
      await quiet(bench, one, two, three)
      const third = await candidate(three, transcript, 'third', target)
      await leave(third, transcript)
      await leave(second, transcript)
      await candidate(two, transcript, 'second again', target)
      await quiet(bench, two, three)
      transcript.push('first crashes')
      await bench.crash(one)
      await until(() => transcript.includes('second again active'))
      await quiet(bench, two, three)
    },
  'a super stream: one that leaves while it owes its answer counts as having answered': async (bench, transcript) => {
    const [one, two] = [await bench.connect(), await bench.connect()]
    const target = { stream: `${bench.topic}-1`, superStream: bench.topic }
    const first = await candidate(one, transcript, 'first', target)
    await quiet(bench, one, two)
    await candidate(two, transcript, 'second', target)
    await quiet(bench, one, two)
    await leave(first, transcript)
    await quiet(bench, one, two)
    transcript.push('the answer comes too late')
    first.answer()
    await quiet(bench, one, two)
  },
  'a super stream: a goodbye while an answer is owed counts as the answer': async (bench, transcript) => {
    const [one, two] = [await bench.connect(), await bench.connect()]
    const target = { stream: `${bench.topic}-1`, superStream: bench.topic }
    await candidate(one, transcript, 'first', target)
    await quiet(bench, one, two)
    await candidate(two, transcript, 'second', target)
    await quiet(bench, one, two)
    transcript.push('first says goodbye')
    await one.close()
    await until(() => transcript.includes('second active'))
    await quiet(bench, two)
  },
}

describe('the scripted broker does as the real one', () => {
  test.each(Object.entries(CONTRACTS))('%s', async (_, steps) => {
    const [real, scripted] = [await onBroker(steps), await onScript(steps)]
    expect(real.length).toBeGreaterThan(0)
    expect(scripted).toEqual(real)
  })
})
