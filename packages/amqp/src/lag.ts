import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { PartitionLag } from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'
import type { ControlChannel } from './control-channel.js'
import { listenOn } from './membership.js'
import type { GroupNames } from './names.js'
import { parseNotice, writeNotice } from './notice.js'

/** Maximum wait for all members' answers, in milliseconds. */
const ANSWER_MS = 1_000
/** Where it isn't known how many will answer: how long nothing more may come, in milliseconds. */
const QUIET_MS = 250

export interface LagQuery {
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly names: GroupNames
  readonly topic: string
  readonly partitions: number
  readonly asker: string
  /** How many members will answer, where that is known. */
  readonly members: number | undefined
}

/**
 * Returns what a group has not finished: the broker reports how many messages wait in each queue, and the members
 * report how many they hold (this protocol doesn't). A member that doesn't answer within a second isn't counted.
 */
export async function readLag(query: LagQuery): Promise<PartitionLag[]> {
  const { connection, names, topic, partitions } = query
  const unacked = await askUnacked(query)
  return connection.withChannel('read the lag', async (channel) => {
    const lags: PartitionLag[] = []
    for (let partition = 0; partition < partitions; partition += 1) {
      const { messageCount } = await channel.checkQueue(names.queue(partition))
      const held = unacked.get(partition) ?? 0
      lags.push({ topic, partition, lag: messageCount + held, unacked: held })
    }
    return lags
  })
}

async function askUnacked({ connection, control, names, asker, members }: LagQuery): Promise<Map<number, number>> {
  const name = `${asker}-${randomBytes(4).toString('hex')}`
  const answers = new Map<string, Readonly<Record<number, number>>>()
  let heard = performance.now()
  await connection.withChannel('ask for the lag', async (channel) => {
    await listenOn(channel, names.memberQueue(name), names.members, (body) => {
      const notice = parseNotice(body)
      if (notice?.type !== 'count' || notice.to !== name) return
      answers.set(notice.instance, notice.unacked ?? {})
      heard = performance.now()
    })
    await control.publish(
      names.members,
      '',
      writeNotice({ type: 'ask', instance: name, everyMs: 0, ready: false, owns: [] }),
      { persistent: false },
    )
    const started = performance.now()
    const enough = (): boolean =>
      members === undefined ? performance.now() - heard >= QUIET_MS : answers.size >= members
    while (!enough() && performance.now() - started < ANSWER_MS) await delay(5)
  })
  const total = new Map<number, number>()
  for (const unacked of answers.values()) {
    for (const [partition, count] of Object.entries(unacked))
      total.set(Number(partition), (total.get(Number(partition)) ?? 0) + count)
  }
  return total
}
