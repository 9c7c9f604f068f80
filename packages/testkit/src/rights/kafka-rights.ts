import { connect } from 'node:net'
import { fillRights, type RightsParameters } from './rights-file.js'

const ANSWER_MS = 30_000
const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required'

/** One binding of Kafka's access control lists: `user` may do `operation` to a resource, or to all whose names begin with it. */
export interface KafkaAcl {
  readonly user: string
  readonly operation: string
  readonly resource: 'topic' | 'group' | 'cluster'
  readonly name: string
  readonly pattern: 'literal' | 'prefixed'
}

/** Where the listeners of a Kafka are, whose users are limited. */
export interface KafkaListeners {
  /** Unencrypted and unauthenticated: the administrator's. */
  readonly plainPort: number
  readonly saslPort: number
  readonly controllerPort: number
}

/** Configuration of a broker with an authorizer, whose users log in by SASL/PLAIN with this password. */
export function kafkaUsersConfiguration(
  { plainPort, saslPort, controllerPort }: KafkaListeners,
  users: readonly string[],
  password: string,
): readonly string[] {
  const listeners = `PLAINTEXT://127.0.0.1:${plainPort},SASL_PLAINTEXT://127.0.0.1:${saslPort}`
  const logins = users.map((user) => `user_${user}="${password}"`).join(' ')
  return [
    `listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=${listeners}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT',
    'sasl.enabled.mechanisms=PLAIN',
    `listener.name.sasl_plaintext.plain.sasl.jaas.config=${LOGIN} ${logins};`,
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users=User:ANONYMOUS',
  ]
}

/** The lines of a file that `kafka-acls` takes, without comments, filled in, as its arguments. */
export function kafkaAclLines(text: string, parameters: RightsParameters): readonly (readonly string[])[] {
  return fillRights(text, parameters)
    .split('\n')
    .filter((line) => line.startsWith('--'))
    .map((line) => line.split(' '))
}

/** What those lines grant. Throws for an argument that isn't known here. */
export function kafkaAcls(text: string, parameters: RightsParameters): readonly KafkaAcl[] {
  return kafkaAclLines(text, parameters).flatMap(aclsOf)
}

function aclsOf(words: readonly string[]): KafkaAcl[] {
  let user = ''
  let pattern: KafkaAcl['pattern'] = 'literal'
  const operations: string[] = []
  const resources: Pick<KafkaAcl, 'resource' | 'name'>[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]
    if (word === '--add') continue
    at += 1
    const value = words[at] ?? ''
    if (word === '--allow-principal') user = value.replace('User:', '')
    else if (word === '--operation') operations.push(value)
    else if (word === '--resource-pattern-type') pattern = value as KafkaAcl['pattern']
    else if (word === '--topic' || word === '--group')
      resources.push({ resource: word.slice(2) as 'topic', name: value })
    else throw new Error(`unknown argument ${word} in ${words.join(' ')}`)
  }
  return resources.flatMap((resource) => operations.map((operation) => ({ user, operation, pattern, ...resource })))
}

/** Codes of the protocol (`org.apache.kafka.common.acl.AclOperation`, `…resource.ResourceType`, `PatternType`). */
const OPERATIONS: Readonly<Record<string, number>> = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  describe: 8,
}
const RESOURCES: Readonly<Record<KafkaAcl['resource'], number>> = { topic: 2, group: 3, cluster: 4 }
const PATTERNS: Readonly<Record<KafkaAcl['pattern'], number>> = { literal: 3, prefixed: 4 }
const ALLOW = 3
const CREATE_ACLS = 30

/** Grants what a file says, by one request (CreateAcls v1) on the administrator's listener: `kafka-acls` starts a Java for each line. */
export async function grantKafka(plainPort: number, text: string, parameters: RightsParameters): Promise<void> {
  const acls = kafkaAcls(text, parameters)
  const answer = await request(plainPort, [
    int16(CREATE_ACLS),
    int16(1),
    int32(1),
    string('harness'),
    int32(acls.length),
    ...acls.flatMap(({ user, operation, resource, name, pattern }) => [
      int8(RESOURCES[resource]),
      string(name),
      int8(PATTERNS[pattern]),
      string(`User:${user}`),
      string('*'),
      int8(OPERATIONS[operation] ?? 0),
      int8(ALLOW),
    ]),
  ])
  // Size, correlation id, throttle time, number of results; each has a code and a nullable message.
  let at = 16
  for (const acl of acls) {
    const code = answer.readInt16BE(at)
    const length = Math.max(0, answer.readInt16BE(at + 2))
    if (code !== 0)
      throw new Error(`${JSON.stringify(acl)} was refused: ${code} ${answer.toString('utf8', at + 4, at + 4 + length)}`)
    at += 4 + length
  }
}

function request(port: number, fields: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    const body = Buffer.concat(fields)
    const socket = connect({ port, host: '127.0.0.1' })
    socket.setTimeout(ANSWER_MS, () => socket.destroy(new Error(`Kafka: no answer within ${ANSWER_MS} ms`)))
    socket.write(Buffer.concat([int32(body.length), body]))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      socket.destroy()
      resolve(received)
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('Kafka closed the connection without an answer')))
  })
}

function int8(value: number): Buffer {
  return Buffer.from([value])
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function string(text: string): Buffer {
  return Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)])
}
