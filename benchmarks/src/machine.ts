import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'
import { basename, dirname } from 'node:path'
import { promisify } from 'node:util'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { Redis } from 'ioredis'
import { amqpUrl, redisUrl } from './suites.js'

const execute = promisify(execFile)
const DRIVERS = ['ioredis', 'kafkajs', 'amqplib', 'rabbitmq-stream-js-client', 'undici', 'fastify']

/** What the figures were measured on and with, as lines of Markdown. */
export async function machine(): Promise<string[]> {
  const [cpu] = cpus()
  const memory = (totalmem() / 2 ** 30).toFixed(1)
  const versions = await Promise.all([
    named('Redis', redisVersion()),
    named('RabbitMQ', rabbitmqVersion()),
    // The broker tells no client its version; broker and tools are installed as one.
    named(
      'Kafka',
      brokerTool('kafka-topics').then((path) => basename(dirname(dirname(path))).replace('kafka-', '')),
    ),
  ])
  return [
    `- Date: ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC, commit ${await commit()}`,
    `- Machine: ${cpus().length} cores of ${cpu?.model.trim() ?? 'an unknown processor'}, ${memory} GiB of memory, ${system()}; clients and brokers share it`,
    `- Node.js ${process.versions.node}; brokers: ${versions.join(', ')}`,
    `- Client libraries: ${DRIVERS.map((name) => `${name} ${installed(name)}`).join(', ')}`,
  ]
}

async function named(name: string, version: Promise<string>): Promise<string> {
  return `${name} ${await version.catch(() => '(version unknown)')}`
}

async function redisVersion(): Promise<string> {
  const client = new Redis(redisUrl(), { maxRetriesPerRequest: 1 })
  client.on('error', () => {})
  try {
    return /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
  } finally {
    client.disconnect()
  }
}

async function rabbitmqVersion(): Promise<string> {
  const connection = await connect(amqpUrl())
  const { version } = connection.connection.serverProperties
  await connection.close()
  return version
}

/** The version of a dependency of this package. */
function installed(name: string): string {
  const file = new URL(`../node_modules/${name}/package.json`, import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

async function commit(): Promise<string> {
  try {
    const { stdout: hash } = await execute('git', ['rev-parse', '--short=10', 'HEAD'])
    const { stdout: changes } = await execute('git', ['status', '--porcelain', '--untracked-files=no'])
    return `${hash.trim()}${changes === '' ? '' : ' with changes'}`
  } catch {
    return 'unknown'
  }
}

function system(): string {
  try {
    const name = /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
    return `${name ?? type()}, ${type()} ${release()}`
  } catch {
    return `${type()} ${release()}`
  }
}
