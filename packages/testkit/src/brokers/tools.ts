import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { BrokerError } from './errors.js'
import { ensureInstalled, type InstallLog, type InstallRecipe } from './install.js'
import { unpackDebianPackages, writeLoaderShim } from './install-debian.js'
import { fetchFromMaven, requireJava, writeJavaScript } from './install-maven.js'
import { pythonClientsRecipe } from './install-python.js'
import { kafkaRecipe } from './kafka-install.js'
import { rabbitmqRecipe } from './rabbitmq-install.js'
import { redisRecipe, valkeyRecipe } from './redis-install.js'
import { DEFAULT_SUITE } from './releases.js'

const PERF_TEST_VERSION = '2.22.1'

/** A package of Debian that holds one program of its name. */
function debianRecipe(name: string): InstallRecipe {
  return {
    name,
    revision: 1,
    async build(folder, log) {
      const unpacked = await unpackDebianPackages(
        folder,
        { suite: DEFAULT_SUITE, version: undefined, names: [name] },
        log,
      )
      await writeLoaderShim(unpacked, join(folder, 'bin', name), `usr/bin/${name}`)
      return unpacked.version
    },
  }
}

/** RabbitMQ's load generator for AMQP 0-9-1; this is the newest that is on Maven Central. */
const perfTestRecipe: InstallRecipe = {
  name: 'perf-test',
  revision: 1,
  version: PERF_TEST_VERSION,
  async build(folder, log) {
    await requireJava()
    log(`perf-test: fetching ${PERF_TEST_VERSION} with Maven`)
    const artifacts = [`com.rabbitmq:perf-test:${PERF_TEST_VERSION}`]
    await fetchFromMaven(folder, `PerfTest ${PERF_TEST_VERSION}`, artifacts, log)
    await writeJavaScript(folder, 'perf-test', 'com.rabbitmq.perf.PerfTest')
    return PERF_TEST_VERSION
  },
}

function recipeOf(tool: string): InstallRecipe {
  // kcat, a Kafka client on librdkafka: a foreign client to test against. wrk: load for HTTP.
  if (tool === 'kcat' || tool === 'wrk') return debianRecipe(tool)
  if (tool === 'perf-test') return perfTestRecipe
  if (tool === 'python-clients') return pythonClientsRecipe
  if (tool.startsWith('redis-')) return redisRecipe()
  if (tool.startsWith('valkey-')) return valkeyRecipe()
  if (tool.startsWith('rabbitmq')) return rabbitmqRecipe()
  if (tool.startsWith('kafka-')) return kafkaRecipe()
  throw new BrokerError(
    'INVALID_ARGUMENT',
    `unknown tool ${tool}: there are kcat, wrk, perf-test, python-clients, redis-…, valkey-…, rabbitmq… and kafka-…`,
  )
}

/**
 * Resolves with the path of a tool (`redis-cli`, `kcat`, `kafka-topics`, `python-clients`, …), installing what holds it if need be.
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
