import { setTimeout as delay } from 'node:timers/promises'
import { portOf } from '../brokers/definition.js'
import { findFreePort } from '../brokers/ports.js'
import { createAcls, deleteAcls, hasAcl, type KafkaAcl } from '../rights/kafka-acls.js'
import { kafkaUsersConfiguration } from '../rights/kafka-rights.js'
import type { Operator } from './operator.js'

const USER = 'operated'
const PASSWORD = 'operated-secret'
const TAKEN_MS = 3000
const POLL_MS = 20

const right = (resource: KafkaAcl['resource'], operation: string): KafkaAcl => ({
  user: USER,
  operation,
  resource,
  name: '*',
  pattern: 'literal',
})

/** As the role `service` of docs/rights/kafka.acls, which may also delete what it created. */
const RIGHTS = [
  ...['create', 'write', 'read', 'delete'].map((operation) => right('topic', operation)),
  right('group', 'read'),
]

/** What a user loses while messages flow, and gets back. */
function rightTaken(resource: KafkaAcl['resource'], operation: string): Operator {
  /** Where users log in, by the main port of each broker. */
  const logins = new Map<number, number>()
  const taken = right(resource, operation)
  return {
    name: `ACL: ${operation.toUpperCase()} on each ${resource} is taken away for 3 s`,
    broker: 'kafka',
    transports: ['kafka'],
    async prepare() {
      const [plainPort, saslPort, controllerPort] = [await findFreePort(), await findFreePort(), await findFreePort()]
      logins.set(plainPort, saslPort)
      const config = kafkaUsersConfiguration({ plainPort, saslPort, controllerPort }, [USER], PASSWORD)
      return { port: plainPort, ports: { controller: controllerPort }, config }
    },
    url: (broker) => `kafka://${USER}:${PASSWORD}@127.0.0.1:${logins.get(portOf(broker.ports, 'kafka'))}`,
    async apply(broker) {
      await createAcls(portOf(broker.ports, 'kafka'), RIGHTS)
    },
    async notInForce(broker) {
      const port = portOf(broker.ports, 'kafka')
      const listed = await Promise.all(RIGHTS.map((one) => hasAcl(port, one)))
      return RIGHTS.filter((_one, index) => !listed[index]).map((one) => `not granted: ${JSON.stringify(one)}`)
    },
    async disturb(broker) {
      const port = portOf(broker.ports, 'kafka')
      await deleteAcls(port, [taken])
      while (await hasAcl(port, taken)) await delay(POLL_MS)
      await delay(TAKEN_MS)
      await createAcls(port, [taken])
    },
    contradicts: [],
  }
}

/** Rights that come and go. */
export const KAFKA_RIGHTS_OPERATORS: readonly Operator[] = [
  rightTaken('topic', 'write'),
  rightTaken('topic', 'read'),
  rightTaken('group', 'read'),
]
