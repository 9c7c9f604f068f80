import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BrokerError } from './errors.js'
import { ensureInstalled, type InstallLog, type InstallRecipe } from './install.js'
import { unpackDebianPackages, writeLoaderShim } from './install-debian.js'
import { kafkaRecipe } from './kafka-install.js'
import { rabbitmqRecipe } from './rabbitmq-install.js'
import { redisRecipe } from './redis.js'

/** kcat, a Kafka client on librdkafka: a foreign client to test against. */
const kcatRecipe: InstallRecipe = {
  name: 'kcat',
  revision: 1,
  async build(folder, log) {
    const unpacked = await unpackDebianPackages(folder, ['kcat'], log)
    await writeLoaderShim(unpacked, join(folder, 'bin/kcat'), 'usr/bin/kcat')
    return unpacked.version
  },
}

function recipeOf(tool: string): InstallRecipe {
  if (tool === 'kcat') return kcatRecipe
  if (tool.startsWith('redis-')) return redisRecipe
  if (tool.startsWith('rabbitmq')) return rabbitmqRecipe
  if (tool.startsWith('kafka-')) return kafkaRecipe()
  throw new BrokerError('INVALID_ARGUMENT', `unknown tool ${tool}: there are kcat, redis-…, rabbitmq… and kafka-…`)
}

/**
 * Resolves with the path of a tool (`redis-cli`, `kcat`, `kafka-topics`, …), installing what holds it if need be.
 * `rabbitmqctl` has to know its node: take it from a running broker's `tool('rabbitmqctl')`.
 * Rejects with INVALID_ARGUMENT for an unknown tool and with what the installation rejects with.
 */
export async function brokerTool(name: string, log: InstallLog = () => undefined): Promise<string> {
  const installation = await ensureInstalled(recipeOf(name), log)
  const path = join(installation.folder, 'bin', name)
  if (!existsSync(path))
    throw new BrokerError('INVALID_ARGUMENT', `unknown tool ${name}: ${installation.name} has none of that name`)
  return path
}
