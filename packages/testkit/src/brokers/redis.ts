import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerDefinition, type BrokerInstance, type PortMap, portOf } from './definition.js'
import { ensureInstalled, type InstallRecipe } from './install.js'
import { exchange } from './probe.js'
import { redisRecipe, valkeyRecipe } from './redis-install.js'

/** A server of Redis's protocol with an append-only file, synced every second: what it has answered survives the death of its process. */
function server(name: 'redis' | 'valkey', recipe: (version?: string) => InstallRecipe): BrokerDefinition {
  return {
    name,
    clientPorts: { redis: 6379 },
    internalPorts: [],
    startTimeoutMs: 20_000,
    stopTimeoutMs: 10_000,
    install: (version, log) => ensureInstalled(recipe(version), log),
    urls: (ports) => ({ redis: `redis://127.0.0.1:${portOf(ports, 'redis')}` }),
    async prepare(instance) {
      await writeFile(configurationFile(instance), `${configuration(instance).join('\n')}\n`)
    },
    command: (instance) => ({
      file: join(instance.installation.folder, `bin/${name}-server`),
      args: [configurationFile(instance)],
      env: { PATH: process.env['PATH'], LC_ALL: 'C' },
    }),
    check: (ports, timeoutMs) => ping(ports, timeoutMs),
  }
}

/** Redis. */
export const redis: BrokerDefinition = server('redis', redisRecipe)

/** Valkey: Redis's protocol and commands, on a port called `redis`. */
export const valkey: BrokerDefinition = server('valkey', valkeyRecipe)

function configurationFile(instance: BrokerInstance): string {
  return join(instance.dataDir, 'redis.conf')
}

function configuration({ ports, dataDir, config }: BrokerInstance): string[] {
  return [
    `port ${portOf(ports, 'redis')}`,
    'bind 127.0.0.1',
    `dir "${dataDir}"`,
    'daemonize no',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    ...config,
  ]
}

async function ping(ports: PortMap, timeoutMs: number): Promise<void> {
  await exchange({
    port: portOf(ports, 'redis'),
    what: 'Redis PING',
    request: Buffer.from('PING\r\n'),
    timeoutMs,
    judge: (received) => {
      if (!received.includes('\r\n')) return undefined
      const reply = received.toString('latin1').split('\r\n')[0] ?? ''
      // A server that asks for a password does run.
      return reply === '+PONG' || reply.startsWith('-NOAUTH') ? true : `answered ${JSON.stringify(reply.slice(0, 80))}`
    },
  })
}
