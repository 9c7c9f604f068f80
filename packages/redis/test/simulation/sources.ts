import type { Connection } from '../../src/connection.js'
import type { RedisConsumerDriver } from '../../src/consumer.js'

/** What of the sources is simulated: the package's own, or a copy of them that has been changed. */
export interface Sources {
  readonly RedisConsumerDriver: new (...args: ConstructorParameters<typeof RedisConsumerDriver>) => RedisConsumerDriver
  readonly Connection: new (...args: ConstructorParameters<typeof Connection>) => Connection
}

/** @param folder - where the sources are, as an absolute path or relative to this file. */
export async function loadSources(folder: string): Promise<Sources> {
  const { RedisConsumerDriver } = await import(/* @vite-ignore */ `${folder}/consumer.ts`)
  const { Connection } = await import(/* @vite-ignore */ `${folder}/connection.ts`)
  return { RedisConsumerDriver, Connection }
}
