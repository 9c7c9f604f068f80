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

/** One Kafka node in KRaft mode, broker and controller in one process, with one replica of everything. */
export const kafka: BrokerDefinition = {
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
  prepare,
  command: (instance) => javaCommand(instance, 'kafka.Kafka', [configurationFile(instance)]),
  check: (ports, timeoutMs) => checkApiVersions(portOf(ports, 'kafka'), timeoutMs),
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

async function prepare(instance: BrokerInstance): Promise<void> {
  for (const folder of [logFolder(instance.dataDir), temporaryFolder(instance.dataDir)])
    await mkdir(folder, { recursive: true })
  const formatted = existsSync(join(logFolder(instance.dataDir), 'meta.properties'))
  const killed = formatted && !existsSync(join(logFolder(instance.dataDir), '.kafka_cleanshutdown'))
  await writeFile(configurationFile(instance), configuration(instance, killed ? SESSION_AFTER_KILL : SESSION))
  if (formatted) return
  const clusterId = randomBytes(16).toString('base64url')
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
 * Broker and controller are one process here, so a session can only end because the machine is too busy or the process is frozen, and
 * then all partitions lose their leader for a moment: it is long.
 */
const SESSION: Session = { timeoutMs: 20_000, heartbeatMs: 1000 }

/** A killed broker may register again only when its old session has expired: with the usual 9 s, a restart takes 13 s. */
const SESSION_AFTER_KILL: Session = { timeoutMs: 2000, heartbeatMs: 200 }

function configuration({ ports, dataDir, config }: BrokerInstance, session: Session): string {
  const client = `127.0.0.1:${portOf(ports, 'kafka')}`
  const controller = `127.0.0.1:${portOf(ports, 'controller')}`
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@${controller}`,
    listeners: `PLAINTEXT://${client},CONTROLLER://${controller}`,
    'advertised.listeners': `PLAINTEXT://${client}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL',
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
    'log.dirs': logFolder(dataDir),
    'default.replication.factor': 1,
    'min.insync.replicas': 1,
    'offsets.topic.replication.factor': 1,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': 1,
    'share.coordinator.state.topic.min.isr': 1,
    'share.coordinator.state.topic.num.partitions': 4,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': 'false',
    'broker.session.timeout.ms': session.timeoutMs,
    'broker.heartbeat.interval.ms': session.heartbeatMs,
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
