import type { Socket } from 'node:net'
import { play, SimulatedProcess } from '@streamswitch/testkit/simulation'
import { type Channel, type ChannelModel, type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { describe, expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from '../support/broker.js'
import { uniqueName } from '../support/member.js'
import { ScriptedBroker } from './scripted-broker.js'
import { connectScripted } from './scripted-client.js'

/** A broker, real or scripted: the same steps must give the same transcript. */
interface Bench {
  /** A quorum queue with a single active consumer. */
  readonly partition: string
  /** Keeps the newest message only; not declared yet. */
  readonly attempts: string
  /** A fanout exchange. */
  readonly members: string
  connect(): Promise<ChannelModel>
  /** Its socket is gone, without a goodbye. */
  crash(connection: ChannelModel): void
}

const MAX_POLLS = 2_000

/** Written down, in order, by what happens at clients. */
type Transcript = string[]

type Steps = (bench: Bench, transcript: Transcript) => Promise<void>

async function onBroker(steps: Steps): Promise<Transcript> {
  const connections: ChannelModel[] = []
  const open = async (): Promise<ChannelModel> => {
    const connection = await connect(brokerUrl)
    connection.on('error', () => {})
    connections.push(connection)
    return connection
  }
  const admin = await (await open()).createChannel()
  const [partition, attempts, members] = [uniqueName('partition'), uniqueName('attempts'), uniqueName('members')]
  onTestFinished(async () => {
    await admin.deleteQueue(partition)
    await admin.deleteQueue(attempts)
    await admin.deleteExchange(members)
    await Promise.all(connections.map((connection) => connection.close().catch(() => {})))
  })
  await admin.assertQueue(partition, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': -1, 'x-single-active-consumer': true },
  })
  await admin.assertExchange(members, 'fanout', { durable: true })
  const transcript: Transcript = []
  await steps(
    {
      partition,
      attempts,
      members,
      connect: open,
      crash: ({ connection }) => (connection as unknown as { stream: Socket }).stream.destroy(new Error('crashed')),
    },
    transcript,
  )
  return [...transcript]
}

async function onScript(steps: Steps): Promise<Transcript> {
  return play(1, async (world) => {
    const broker = new ScriptedBroker(world, {
      mayStore: () => true,
      stored() {},
      read() {},
      acked() {},
      activated() {},
      mistake() {},
    })
    broker.createPartition('partition')
    broker.exchanges.set('members', new Set())
    const transcript: Transcript = []
    await steps(
      {
        partition: 'partition',
        attempts: 'attempts',
        members: 'members',
        connect: async () => {
          const connection = await connectScripted(broker, new SimulatedProcess('client'))
          connection.on('error', () => {})
          return connection
        },
        crash: ({ connection }) => (connection as unknown as { stream: Socket }).stream.destroy(new Error('crashed')),
      },
      transcript,
    )
    return transcript
  })
}

/** Gives up after some seconds, virtual ones on the script. */
async function until(condition: () => boolean): Promise<void> {
  for (let polls = 1; !condition(); polls += 1) {
    if (polls > MAX_POLLS) throw new Error(`never: ${condition}`)
    await new Promise<void>((resolve) => setTimeout(resolve, 5))
  }
}

async function channelOf(connection: ChannelModel): Promise<ConfirmChannel> {
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  return channel
}

function send(channel: ConfirmChannel, exchange: string, routingKey: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.publish(exchange, routingKey, Buffer.from(text), { persistent: true, mandatory: true }, (error: unknown) =>
      error === null || error === undefined ? resolve() : reject(error),
    )
  })
}

interface Member {
  readonly name: string
  readonly channel: Channel
  /** What it holds, oldest first. */
  readonly held: ConsumeMessage[]
  /** Acks the oldest, or all up to the newest. */
  ack(all?: 'all'): void
}

/** Consumes the partition; what it gets goes to the transcript. */
async function consume(
  { partition }: Bench,
  connection: ChannelModel,
  transcript: Transcript,
  name: string,
  { priority = 0, prefetch = 2 }: { priority?: number; prefetch?: number } = {},
): Promise<Member> {
  const channel = await channelOf(connection)
  await channel.prefetch(prefetch)
  const held: ConsumeMessage[] = []
  await channel.consume(
    partition,
    (message) => {
      if (message === null) return
      held.push(message)
      transcript.push(`${name} gets ${message.content}${message.fields.redelivered ? ' again' : ''}`)
    },
    { priority },
  )
  return {
    name,
    channel,
    held,
    ack: (all) => {
      const acked = all === 'all' ? held.splice(0) : held.splice(0, 1)
      transcript.push(`${name} acks ${acked.map(({ content }) => String(content)).join(' ')}`)
      channel.ack(acked.at(-1) as ConsumeMessage, all === 'all')
    },
  }
}

const code = (error: unknown): string => `code ${(error as { readonly code?: unknown }).code}`

/** How a channel ends. */
function ended(channel: Channel): Promise<string> {
  return new Promise((resolve) => {
    let reason = 'closed'
    channel.on('error', (error) => {
      reason = code(error)
    })
    channel.once('close', () => resolve(reason))
  })
}

const CONTRACTS: Readonly<Record<string, Steps>> = {
  'one consumer is active, the next is the one that has waited longest; what comes back comes first, in order': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const [one, two] = [
      await consume(bench, connection, transcript, 'one'),
      await consume(bench, connection, transcript, 'two'),
    ]
    await consume(bench, connection, transcript, 'three')
    for (const text of ['1', '2', '3', '4', '5']) await send(publisher, '', bench.partition, text)
    await until(() => one.held.length === 2)
    one.ack()
    await until(() => one.held.length === 2)
    await one.channel.close()
    await until(() => two.held.length === 2)
    two.ack('all')
    await until(() => two.held.length === 2)
  },
  'an ack frees the room of what it acks, one by one and all up to a tag': async (bench, transcript) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const one = await consume(bench, connection, transcript, 'one', { prefetch: 3 })
    for (const text of ['1', '2', '3', '4', '5', '6', '7']) await send(publisher, '', bench.partition, text)
    await until(() => one.held.length === 3)
    one.held.splice(1, 1)
    one.channel.ack({ fields: { deliveryTag: 2 } } as ConsumeMessage)
    await until(() => one.held.length === 3)
    one.ack('all')
    await until(() => one.held.length === 3)
  },
  'a newcomer with a higher priority takes over at once from one that holds nothing': async (bench, transcript) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const one = await consume(bench, connection, transcript, 'one')
    await send(publisher, '', bench.partition, '1')
    await until(() => one.held.length === 1)
    one.ack()
    await one.channel.prefetch(2)
    const two = await consume(bench, connection, transcript, 'two', { priority: 1 })
    const three = await consume(bench, connection, transcript, 'three', { priority: 1 })
    // The ack may be taken after the newcomer has come: the queue is asked until it has moved on.
    for (const text of ['2', '3']) await send(publisher, '', bench.partition, text)
    await until(() => two.held.length === 2)
    await two.channel.close()
    await until(() => three.held.length === 2)
    three.ack('all')
    await three.channel.close()
    await send(publisher, '', bench.partition, '4')
    await until(() => one.held.length === 1)
  },
  'one that holds messages gets no more once somebody with a higher priority waits, who takes over when all are acked':
    async (bench, transcript) => {
      const connection = await bench.connect()
      const publisher = await channelOf(connection)
      const one = await consume(bench, connection, transcript, 'one', { prefetch: 2 })
      await send(publisher, '', bench.partition, '1')
      await send(publisher, '', bench.partition, '2')
      await until(() => one.held.length === 2)
      const two = await consume(bench, connection, transcript, 'two', { priority: 1 })
      await send(publisher, '', bench.partition, '3')
      one.ack()
      await send(publisher, '', bench.partition, '4')
      one.ack()
      await until(() => two.held.length === 2)
      two.ack('all')
      await send(publisher, '', bench.partition, '5')
      await until(() => two.held.length === 1)
      await two.channel.close()
      await until(() => one.held.length === 1)
    },
  'one that gets no more goes on once it has acked all, although the one with the higher priority has left': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const one = await consume(bench, connection, transcript, 'one', { prefetch: 2 })
    await send(publisher, '', bench.partition, '1')
    await until(() => one.held.length === 1)
    const two = await consume(bench, connection, transcript, 'two', { priority: 1 })
    await send(publisher, '', bench.partition, '2')
    await two.channel.close()
    await send(publisher, '', bench.partition, '3')
    one.ack()
    await until(() => one.held.length === 2)
    one.ack('all')
    await send(publisher, '', bench.partition, '4')
    await until(() => one.held.length === 1)
  },
  'what two consumers give back one after the other comes in that order, before what is new': async (
    bench,
    transcript,
  ) => {
    const [first, second] = [await bench.connect(), await bench.connect()]
    const publisher = await channelOf(await bench.connect())
    const one = await consume(bench, first, transcript, 'one', { prefetch: 3 })
    for (const text of ['1', '2', '3', '4']) await send(publisher, '', bench.partition, text)
    await until(() => one.held.length === 3)
    const two = await consume(bench, second, transcript, 'two', { prefetch: 1 })
    bench.crash(first)
    await until(() => two.held.length === 1)
    const three = await consume(bench, await bench.connect(), transcript, 'three', { prefetch: 4 })
    bench.crash(second)
    await until(() => three.held.length === 4)
  },
  'a delivery that is not held can not be acked: the channel ends, and gives back the others': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const one = await consume(bench, connection, transcript, 'one')
    for (const text of ['1', '2']) await send(publisher, '', bench.partition, text)
    await until(() => one.held.length === 2)
    const end = ended(one.channel)
    one.ack()
    one.channel.ack({ fields: { deliveryTag: 1 } } as ConsumeMessage)
    transcript.push(`one: ${await end}`)
    const two = await consume(bench, connection, transcript, 'two')
    await until(() => two.held.length === 1)
    await two.channel.close()
    transcript.push(
      await new Promise<string>((resolve) => {
        try {
          two.channel.ack({ fields: { deliveryTag: 1 } } as ConsumeMessage)
          resolve('taken')
        } catch (error) {
          resolve((error as Error).name)
        }
      }),
    )
  },
  'what is missing ends the channel that asks for it, and no other': async (bench, transcript) => {
    const connection = await bench.connect()
    const other = await channelOf(connection)
    for (const ask of [
      (channel: Channel) => channel.checkQueue(`${bench.attempts}:missing`),
      (channel: Channel) => channel.checkExchange(`${bench.members}:missing`),
      (channel: Channel) => channel.consume(`${bench.attempts}:missing`, () => {}),
      (channel: Channel) => channel.get(`${bench.attempts}:missing`),
    ]) {
      const channel = await channelOf(connection)
      const end = ended(channel)
      transcript.push(await ask(channel).then(() => 'there', code), await end)
    }
    const { messageCount, consumerCount } = await other.checkQueue(bench.partition)
    await other.checkExchange(bench.members)
    transcript.push(`${messageCount} messages, ${consumerCount} consumers`)
    await consume(bench, connection, transcript, 'one')
    transcript.push(`${(await other.checkQueue(bench.partition)).consumerCount} consumer`)
  },
  'a queue of at most one message: the newest stays; one that is read is away until its channel closes': async (
    bench,
    transcript,
  ) => {
    const connection = await bench.connect()
    const publisher = await channelOf(connection)
    const declare = { durable: true, arguments: { 'x-queue-type': 'classic', 'x-max-length': 1 } }
    await publisher.assertQueue(bench.attempts, declare)
    const read = async (channel: Channel): Promise<void> => {
      const message = await channel.get(bench.attempts)
      transcript.push(message === false ? 'nothing' : String(message.content))
    }
    const readOnce = async (): Promise<void> => {
      const channel = await channelOf(connection)
      await read(channel)
      await channel.close()
    }
    await readOnce()
    await send(publisher, '', bench.attempts, '1')
    await send(publisher, '', bench.attempts, '2')
    await readOnce()
    const [one, two] = [await channelOf(connection), await channelOf(connection)]
    await read(one)
    await read(two)
    await one.close()
    await read(two)
    await send(publisher, '', bench.attempts, '3')
    await two.close()
    await readOnce()
    await publisher.assertQueue(bench.attempts, declare)
    await readOnce()
  },
  'announcements reach every queue that is bound, and those of who is gone nobody': async (bench, transcript) => {
    const [one, two] = [await bench.connect(), await bench.connect()]
    const heard: Transcript[] = []
    for (const [index, connection] of [one, two].entries()) {
      const channel = await channelOf(connection)
      const queue = `${bench.members}:${index}`
      const own: Transcript = []
      heard.push(own)
      await channel.assertQueue(queue, {
        exclusive: true,
        autoDelete: true,
        durable: false,
        arguments: { 'x-queue-type': 'classic' },
      })
      await channel.bindQueue(queue, bench.members, '')
      await channel.consume(queue, (message) => void own.push(String(message?.content)), { noAck: true })
    }
    const publisher = await channelOf(await bench.connect())
    publisher.on('return', ({ content }) => transcript.push(`${content} comes back`))
    await send(publisher, bench.members, '', 'hello')
    transcript.push('confirmed')
    await until(() => heard.every((own) => own.length === 1))
    bench.crash(one)
    await send(publisher, bench.members, '', 'here')
    await until(() => heard[1]?.length === 2)
    await two.close()
    let isBack = false
    publisher.on('return', () => {
      isBack = true
    })
    while (!isBack) await send(publisher, bench.members, '', 'bye')
    transcript.push(`confirmed: ${heard[0]?.join(' ')} and ${heard[1]?.join(' ')}`)
  },
  'a goodbye gives back what the connection holds': async (bench, transcript) => {
    const [first, second] = [await bench.connect(), await bench.connect()]
    const publisher = await channelOf(await bench.connect())
    const one = await consume(bench, first, transcript, 'one')
    const two = await consume(bench, second, transcript, 'two')
    for (const text of ['1', '2', '3']) await send(publisher, '', bench.partition, text)
    await until(() => one.held.length === 2)
    one.ack()
    await until(() => one.held.length === 2)
    const end = ended(one.channel)
    await first.close()
    transcript.push(await end)
    await until(() => two.held.length === 2)
  },
}

describe('the scripted broker does as the real one', () => {
  test.each(Object.entries(CONTRACTS))('%s', async (_, steps) => {
    const [real, scripted] = [await onBroker(steps), await onScript(steps)]
    expect(real.length).toBeGreaterThan(0)
    expect(scripted).toEqual(real)
  })
})
