import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { portOf } from '../brokers/definition.js'
import { type BrokerHandle, findFreePort, startBroker } from '../brokers/index.js'
import { type ConnectionSource, kafkaConnections, rabbitmqConnections } from './connections.js'
import { grantKafka, kafkaAcls, kafkaUsersConfiguration } from './kafka-rights.js'
import { grantRabbitmq } from './rabbitmq-rights.js'
import { grantRedis, redisAdministratorAcl, redisAdministratorUrl, redisUrl } from './redis-rights.js'
import type { RightsParameters } from './rights-file.js'

/** Transports whose brokers know rights. */
export type LimitedTransport = 'redis' | 'amqp' | 'rabbitmq-stream' | 'kafka'

/** A broker whose users have the rights of a file, and an administrator's address besides. */
export interface LimitedBroker extends AsyncDisposable {
  readonly broker: BrokerHandle
  readonly transport: LimitedTransport
  /** Where everything is allowed: for what checks and clears up, never for the product. */
  readonly administratorUrl: string
  /** The address of a role of the file. */
  url(role: string): string
  /** Where the broker says who is connected. Call it once, before anybody connects. */
  connections(): Promise<ConnectionSource>
  /** Grants the same roles for another topic and group. */
  grant(parameters: Omit<RightsParameters, 'name' | 'password'>): Promise<void>
}

/** What a broker is started with. */
export interface LimitedBrokerSettings {
  readonly transport: LimitedTransport
  /** The text of the file of rights. */
  readonly rights: string
  /** What the names of users begin with. */
  readonly name: string
}

const PASSWORD = 'limited-secret'
const ADMINISTRATOR_PASSWORD = 'administrator-secret'

/** Starts a broker for users with limited rights. They have none before {@link LimitedBroker.grant}. */
export async function startLimitedBroker(settings: LimitedBrokerSettings): Promise<LimitedBroker> {
  if (settings.transport === 'redis') return startRedis(settings)
  if (settings.transport === 'kafka') return startKafka(settings)
  return startRabbitmq(settings)
}

async function startRedis({ transport, rights, name }: LimitedBrokerSettings): Promise<LimitedBroker> {
  const folder = await mkdtemp(join(tmpdir(), 'streamswitch-acl-'))
  const file = join(folder, 'users.acl')
  await writeFile(file, `${redisAdministratorAcl(ADMINISTRATOR_PASSWORD).join('\n')}\n`)
  const broker = await startBroker('redis', { config: [`aclfile "${file}"`] })
  const administrator = { port: portOf(broker.ports, 'redis'), password: ADMINISTRATOR_PASSWORD }
  return {
    broker,
    transport,
    administratorUrl: redisAdministratorUrl(administrator),
    url: (role) => redisUrl(administrator.port, `${name}-${role}`, PASSWORD),
    connections: async () => ({ kind: 'redis', administrator }),
    grant: (parameters) => grantRedis(administrator, rights, { name, password: PASSWORD, ...parameters }),
    async [Symbol.asyncDispose]() {
      await broker.remove()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function startRabbitmq({ transport, rights, name }: LimitedBrokerSettings): Promise<LimitedBroker> {
  const broker = await startBroker('rabbitmq')
  const management = portOf(broker.ports, 'management')
  const address = (url: string): string =>
    transport === 'amqp' ? url : `${url}?managementUrl=${encodeURIComponent(broker.urls['management'] ?? '')}`
  const administratorUrl = broker.urls[transport] ?? ''
  return {
    broker,
    transport,
    administratorUrl: address(administratorUrl),
    url: (role) => address(administratorUrl.replace('guest:guest', `${name}-${role}:${PASSWORD}`)),
    connections: () => rabbitmqConnections(broker),
    grant: (parameters) => grantRabbitmq(management, rights, { name, password: PASSWORD, ...parameters }),
    [Symbol.asyncDispose]: () => broker.remove(),
  }
}

async function startKafka({ transport, rights, name }: LimitedBrokerSettings): Promise<LimitedBroker> {
  const listeners = {
    plainPort: await findFreePort(),
    saslPort: await findFreePort(),
    controllerPort: await findFreePort(),
  }
  const none = { name, password: PASSWORD, prefix: '' }
  const users = [...new Set(kafkaAcls(rights, none).map(({ user }) => user))]
  const broker = await startBroker('kafka', {
    port: listeners.plainPort,
    ports: { controller: listeners.controllerPort },
    config: kafkaUsersConfiguration(listeners, users, PASSWORD),
  })
  return {
    broker,
    transport,
    administratorUrl: broker.url,
    url: (role) => `kafka://${name}-${role}:${PASSWORD}@127.0.0.1:${listeners.saslPort}`,
    connections: () => kafkaConnections(broker),
    grant: (parameters) => grantKafka(listeners.plainPort, rights, { name, password: PASSWORD, ...parameters }),
    [Symbol.asyncDispose]: () => broker.remove(),
  }
}
