import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mergeSettings } from './configuration.js'
import {
  type BrokerDefinition,
  type BrokerInstance,
  type CompanionCommand,
  type PortMap,
  portOf,
} from './definition.js'
import { BrokerError } from './errors.js'
import { ensureInstalled, type Installation } from './install.js'
import { writeScript } from './install-debian.js'
import { writeCookie } from './rabbitmq-cookie.js'
import { type RabbitmqNode, rabbitmqEnvironment, rabbitmqPaths } from './rabbitmq-environment.js'
import { RABBITMQ_TOOLS, rabbitmqRecipe } from './rabbitmq-install.js'
import { callManagement, checkAmqp, checkStream } from './rabbitmq-probe.js'
import { awaitQueues, warmUpStreams } from './rabbitmq-warm-up.js'

const PLUGINS = [
  'rabbitmq_management',
  'rabbitmq_stream',
  'rabbitmq_stream_management',
  'rabbitmq_consistent_hash_exchange',
]

/** One RabbitMQ node with AMQP 0-9-1, streams, management and consistent-hash exchanges; guest / guest. */
export const rabbitmq: BrokerDefinition = {
  ...rabbitmqNode({ name: 'streamswitch@localhost' }),
  // The node's own epmd would be a daemon that outlives everything; this one is started and ended by us.
  companion: ({ installation, ports }) => epmd(installation, portOf(ports, 'epmd')),
  warmUp: warmUpStreams,
}

/** A node that may be one of several: whoever starts it has its epmd run before, and warms up the streams of the whole. */
export function rabbitmqNode(node: RabbitmqNode): BrokerDefinition {
  return {
    name: 'rabbitmq',
    clientPorts: { amqp: 5672, stream: 5552, management: 15672 },
    internalPorts: ['distribution', 'tools', ...(node.sharedEpmdPort === undefined ? ['epmd'] : [])],
    startTimeoutMs: 60_000,
    stopTimeoutMs: 20_000,
    install: (version, log) => ensureInstalled(rabbitmqRecipe(version), log),
    urls: (ports) => ({
      amqp: `amqp://guest:guest@127.0.0.1:${portOf(ports, 'amqp')}`,
      'rabbitmq-stream': `rabbitmq-stream://guest:guest@127.0.0.1:${portOf(ports, 'stream')}`,
      management: `http://127.0.0.1:${portOf(ports, 'management')}`,
    }),
    prepare: (instance) => prepare(instance, node),
    command: (instance) => ({
      file: join(instance.installation.folder, 'bin/rabbitmq-server'),
      args: [],
      env: { PATH: process.env['PATH'], ...rabbitmqEnvironment(instance, node) },
    }),
    check,
    recover: awaitQueues,
    tools: ({ dataDir }) =>
      Object.fromEntries(RABBITMQ_TOOLS.map((name) => [name, join(rabbitmqPaths(dataDir).tools, name)])),
  }
}

/** The port mapper by which nodes and tools find one another; one may serve several nodes. */
export function epmd(installation: Installation, port: number): CompanionCommand {
  return {
    port,
    command: {
      file: join(installation.folder, 'bin/epmd'),
      args: ['-port', String(port), '-address', '127.0.0.1'],
      env: { PATH: process.env['PATH'] },
    },
  }
}

async function prepare(instance: BrokerInstance, node: RabbitmqNode): Promise<void> {
  const paths = rabbitmqPaths(instance.dataDir)
  for (const folder of [paths.home, paths.database, paths.logs]) await mkdir(folder, { recursive: true })
  await writeCookie(paths.cookie, node.cookie)
  await writeFile(paths.environment, '')
  await writeFile(paths.plugins, `[${PLUGINS.join(',')}].\n`)
  await writeFile(paths.configuration, configuration(instance))
  for (const tool of RABBITMQ_TOOLS) await writeToolScript(instance, node, tool)
}

function configuration({ ports, config }: BrokerInstance): string {
  const settings = {
    'listeners.tcp.1': `127.0.0.1:${portOf(ports, 'amqp')}`,
    'stream.listeners.tcp.1': `127.0.0.1:${portOf(ports, 'stream')}`,
    'stream.advertised_host': '127.0.0.1',
    'stream.advertised_port': portOf(ports, 'stream'),
    'management.tcp.ip': '127.0.0.1',
    'management.tcp.port': portOf(ports, 'management'),
    'disk_free_limit.absolute': '200MB',
    'vm_memory_high_watermark.absolute': '2GB',
    'log.console': 'true',
    'log.console.level': 'info',
    'log.file': 'false',
  }
  return mergeSettings(settings, config, ' = ')
}

/** A tool finds its node through the environment alone, so each instance gets scripts that carry it. */
async function writeToolScript(instance: BrokerInstance, node: RabbitmqNode, tool: string): Promise<void> {
  const { RUNNING_UNDER_SYSTEMD: _, ...environment } = rabbitmqEnvironment(instance, node)
  const exports = Object.entries(environment).map(
    ([name, value]) => `export ${name}='${value.replaceAll("'", "'\\''")}'`,
  )
  const program = join(instance.installation.folder, 'bin', tool).replaceAll("'", "'\\''")
  await writeScript(join(rabbitmqPaths(instance.dataDir).tools, tool), [...exports, `exec '${program}' "$@"`])
}

async function check(ports: PortMap, timeoutMs: number): Promise<void> {
  await checkAmqp(portOf(ports, 'amqp'), timeoutMs)
  await checkStream(portOf(ports, 'stream'), timeoutMs)
  const port = portOf(ports, 'management')
  let status: number
  try {
    status = (await callManagement(port, 'GET', 'overview', undefined, timeoutMs)).status
  } catch (error) {
    throw new BrokerError('UNAVAILABLE', `the management API on port ${port} does not answer`, { cause: error })
  }
  // 401: another user was configured; that is somebody's choice and no defect.
  if (status !== 200 && status !== 401)
    throw new BrokerError('UNAVAILABLE', `the management API on port ${port} answered ${status}`)
}
