// The process of one case: opens the loops, lets them handle something, waits, and measures itself.
import { setTimeout as delay } from 'node:timers/promises'
import { Transport } from '@streamswitch/core'
import { messageOf } from '../measuring/case-process.js'
import { IDLE_TRANSPORTS, type IdleCase, type IdleCost, type IdleReply, MESSAGES } from './idle-case.js'
import { openSockets, sentByThisProcess } from './sockets.js'

const TOPIC = 'idle'
/** Loops that join at the same time: one after the other, their round trips add up to minutes. */
const JOINING = 10
const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: (line: string) => console.error(line) }

const { transport: name, url, loops, partitions, quietMs, windowMs } = JSON.parse(process.argv[2] ?? '') as IdleCase
const reply = (message: IdleReply): void => void process.send?.(message)
const stage = (text: string): void => reply({ stage: text })
const fail = (error: unknown): void => reply({ problem: messageOf(error) })

process.on('disconnect', () => process.exit())
await run().catch(fail)

async function run(): Promise<void> {
  const { adapter, partitioned } = IDLE_TRANSPORTS[name]
  const options = partitioned ? { prefix: `l${loops}p${partitions}.` } : {}
  const transport = new Transport(await adapter(), url, { environment: {}, logger: SILENT, options })
  let handled = 0
  let joined = 0
  const join = async (number: number): Promise<void> => {
    const loop = transport.consumer(TOPIC, {
      group: `idle${number}`,
      partitions: partitioned ? partitions : undefined,
      connectTimeoutMs: 120_000,
    })
    loop.handle(() => {
      handled += 1
    })
    loop.run().catch(fail)
    await loop.init()
    joined += 1
    stage(`joining: ${joined} of ${loops} loops`)
  }
  const started = performance.now()
  // The first one makes the topic.
  await join(0)
  await Promise.all(
    Array.from({ length: JOINING }, async (_, first) => {
      for (let number = first + 1; number < loops; number += JOINING) await join(number)
    }),
  )
  const joinSeconds = (performance.now() - started) / 1_000
  const producer = transport.producer(TOPIC)
  await Promise.all(Array.from({ length: MESSAGES }, (_, number) => producer.send(number, { key: `k${number}` })))
  await producer.close()
  while (handled < MESSAGES * loops) {
    stage(`handling: ${handled} of ${MESSAGES * loops} messages`)
    await delay(50)
  }
  stage('quiet')
  await delay(quietMs)
  reply({ measuring: true })
  reply({ cost: { joinSeconds, ...(await measure()) } })
}

async function measure(): Promise<Omit<IdleCost, 'joinSeconds'>> {
  const sockets = openSockets()
  const before = await sentByThisProcess()
  const cpuBefore = process.cpuUsage()
  const start = performance.now()
  await delay(windowMs)
  const elapsedMs = performance.now() - start
  const cpu = process.cpuUsage(cpuBefore)
  const after = await sentByThisProcess()
  // What one that has ended had sent is not known any more.
  if (openSockets() !== sockets) throw new Error('connections were lost while it was measured')
  const rate = (of: 'packets' | 'bytes'): number | undefined =>
    before === undefined || after === undefined ? undefined : ((after[of] - before[of]) / elapsedMs) * 1_000
  return {
    sockets,
    packetsPerSecond: rate('packets'),
    bytesPerSecond: rate('bytes'),
    cpuPercent: (cpu.user + cpu.system) / elapsedMs / 10,
  }
}
