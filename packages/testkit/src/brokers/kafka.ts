import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { mergeSettings } from './configuration.js'
import { type BrokerDefinition, type BrokerInstance, type LaunchCommand, portOf } from './definition.js'
import { ensureInstalled } from './install.js'
import { requireJava } from './install-maven.js'
import { kafkaRecipe } from './kafka-install.js'
import { exchange } from './probe.js'
import { runProgram } from './process.js'

/** One of the nodes of a Kafka cluster. */
export interface KafkaNode {
  /** From 1. */
  readonly id: number
  /** How many nodes there are, which is also how many replicas everything has. */
  readonly size: number
  /** `id@host:port` of every node's controller. Default: this node alone. */
  readonly voters?: string
  /** The same for all nodes. Default: a new one for each data folder. */
  readonly clusterId?: string
}

/** One Kafka node in KRaft mode, broker and controller in one process, with one replica of everything. */
export const kafka: BrokerDefinition = kafkaNode({ id: 1, size: 1 })

/** A node that may be one of several. */
export function kafkaNode(node: KafkaNode): BrokerDefinition {
  return {
    name: 'kafka',
    clientPorts: { kafka: 9092 },
    internalPorts: ['controller'],
    startTimeoutMs: 90_000,
    stopTimeoutMs: 20_000,
    async install(version, log) {
      const recipe = kafkaRecipe(version)
      await requireJava()
      return ensureInstalled(recipe, log)
    },
    urls: (ports) => ({ kafka: `kafka://127.0.0.1:${portOf(ports, 'kafka')}` }),
    prepare: (instance) => prepare(instance, node),
    command: (instance) => javaCommand(instance, 'kafka.Kafka', [configurationFile(instance)]),
    check: (ports, timeoutMs) => checkApiVersions(portOf(ports, 'kafka'), timeoutMs),
  }
}

/** A cluster's id, as Kafka writes it. */
export function newClusterId(): string {
  return randomBytes(16).toString('base64url')
}

const configurationFile = ({ dataDir }: BrokerInstance): string => join(dataDir, 'server.properties')
const temporaryFolder = (dataDir: string): string => join(dataDir, 'tmp')
const logFolder = (dataDir: string): string => join(dataDir, 'kafka-logs')

function javaCommand({ installation, dataDir }: BrokerInstance, main: string, args: readonly string[]): LaunchCommand {
  const logging = join(installation.folder, 'log4j2.properties')
  return {
    file: 'java',
    args: [
      '-Xms256m',
      '-Xmx512m',
      `-Dlog4j2.configurationFile=${logging}`,
      // Native libraries of codecs are unpacked there and loaded.
      `-Djava.io.tmpdir=${temporaryFolder(dataDir)}`,
      '-cp',
      join(installation.folder, 'libs/*'),
      main,
      ...args,
    ],
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      JAVA_HOME: process.env['JAVA_HOME'],
      LC_ALL: 'C.UTF-8',
    },
  }
}

async function prepare(instance: BrokerInstance, node: KafkaNode): Promise<void> {
  for (const folder of [logFolder(instance.dataDir), temporaryFolder(instance.dataDir)])
    await mkdir(folder, { recursive: true })
  const formatted = existsSync(join(logFolder(instance.dataDir), 'meta.properties'))
  const killed = formatted && !existsSync(join(logFolder(instance.dataDir), '.kafka_cleanshutdown'))
  const session = node.size === 1 ? (killed ? SESSION_AFTER_KILL : SESSION) : undefined
  await writeFile(configurationFile(instance), configuration(instance, node, session))
  if (formatted) return
  const clusterId = node.clusterId ?? newClusterId()
  const { file, args, env } = javaCommand(instance, 'kafka.tools.StorageTool', [
    'format',
    // In one argument: an id may begin with a dash, and alone it would be taken for an option.
    `--cluster-id=${clusterId}`,
    `--config=${configurationFile(instance)}`,
  ])
  await runProgram(file, args, 'Install it with: apt-get install default-jre-headless', { env, timeoutMs: 60_000 })
}

/** The broker's session with its controller. */
interface Session {
  readonly timeoutMs: number
  readonly heartbeatMs: number
}

/**
 * Of a single node, broker and controller are one process, so a session can only end because the machine is too busy or the process is frozen, and
 * then all partitions lose their leader for a moment: it is long.
 */
const SESSION: Session = { timeoutMs: 20_000, heartbeatMs: 1000 }

/** A killed broker may register again only when its old session has expired: with the usual 9 s, a restart takes 13 s. */
const SESSION_AFTER_KILL: Session = { timeoutMs: 2000, heartbeatMs: 200 }

function configuration(
  { ports, dataDir, config }: BrokerInstance,
  { id, size, voters }: KafkaNode,
  session: Session | undefined,
): string {
  const client = `127.0.0.1:${portOf(ports, 'kafka')}`
  const controller = `127.0.0.1:${portOf(ports, 'controller')}`
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': id,
    'controller.quorum.voters': voters ?? `${id}@${controller}`,
    listeners: `PLAINTEXT://${client},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${client}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': logFolder(dataDir),
    'default.replication.factor': size,
    'min.insync.replicas': 1,
    'offsets.topic.replication.factor': size,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': size,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': size,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 4,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': 'false',
    ...(session === undefined
      ? {}
      : { 'broker.session.timeout.ms': session.timeoutMs, 'broker.heartbeat.interval.ms': session.heartbeatMs }),
  }
  return mergeSettings(settings, config, '=')
}

const API_VERSIONS = 18

/** Sends ApiVersions v0, which every broker answers, and expects error code 0. */
function checkApiVersions(port: number, timeoutMs: number): Promise<void> {
  const clientId = Buffer.from('streamswitch-check')
  const header = Buffer.alloc(14)
  header.writeInt32BE(10 + clientId.length, 0)
  header.writeInt16BE(API_VERSIONS, 4)
  header.writeInt16BE(0, 6)
  header.writeInt32BE(1, 8)
  header.writeInt16BE(clientId.length, 12)
  return exchange({
    port,
    what: 'Kafka ApiVersions',
    request: Buffer.concat([header, clientId]),
    timeoutMs,
    judge: (received) => {
      if (received.length < 10) return undefined
      const accepted = received.readInt32BE(4) === 1 && received.readInt16BE(8) === 0
      return accepted ? true : `answered ${received.subarray(0, 10).toString('hex')}`
    },
  })
}
