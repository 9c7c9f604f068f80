import { Redis } from 'ioredis'
import { expect, onTestFinished } from 'vitest'
import { REDIS_URL } from './brokers.js'
import { WAIT } from './recipe.js'

/** A client that knows nothing of Streamswitch. When the test ends, all keys with `name` in them are deleted. */
export function plainClient(name: string): Redis {
  const client = new Redis(REDIS_URL)
  onTestFinished(async () => {
    for (const key of await client.keys(`*${name}*`)) await client.del(key)
    client.disconnect()
  })
  return client
}

/** Resolves once a group has read everything in its stream, and acked it. */
export async function nothingPending(stream: string, group: string): Promise<void> {
  const client = new Redis(REDIS_URL)
  try {
    const state = async () => {
      const groups = (await client.xinfo('GROUPS', stream)) as unknown[][]
      const entries = groups.map((list) =>
        Object.fromEntries(list.flatMap((name, at) => (at % 2 === 0 ? [[name, list[at + 1]]] : []))),
      )
      const found = entries.find(({ name }) => name === group)
      return `${found?.pending} pending, lag ${found?.lag}`
    }
    await expect.poll(state, WAIT).toBe('0 pending, lag 0')
  } finally {
    client.disconnect()
  }
}
