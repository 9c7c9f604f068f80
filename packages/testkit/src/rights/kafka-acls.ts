import { connect } from 'node:net'

const ANSWER_MS = 30_000

/** One binding of Kafka's access control lists: `user` may do `operation` to a resource, or to all whose names begin with it. */
export interface KafkaAcl {
  readonly user: string
  readonly operation: string
  readonly resource: 'topic' | 'group' | 'cluster'
  readonly name: string
  readonly pattern: 'literal' | 'prefixed'
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
const ANY_HOST = '*'
const DESCRIBE_ACLS = 29
const CREATE_ACLS = 30
const DELETE_ACLS = 31
/** Size, correlation id and throttle time. */
const RESULTS_AT = 12

/** Grants rights, by one request (CreateAcls v1) on a listener whose users may do that: `kafka-acls` starts a Java for each. */
export async function createAcls(port: number, acls: readonly KafkaAcl[]): Promise<void> {
  const answer = await request(port, CREATE_ACLS, [int32(acls.length), ...acls.flatMap(fieldsOf)])
  // The number of results; each has a code and a nullable message.
  let at = RESULTS_AT + 4
  for (const acl of acls) at = checked(answer, at, acl)
}

/** Takes rights away (DeleteAcls v1). */
export async function deleteAcls(port: number, acls: readonly KafkaAcl[]): Promise<void> {
  for (const acl of acls) checked(await request(port, DELETE_ACLS, [int32(1), ...fieldsOf(acl)]), RESULTS_AT + 4, acl)
}

/** Whether the broker has a right on its lists (DescribeAcls v1). */
export async function hasAcl(port: number, acl: KafkaAcl): Promise<boolean> {
  const answer = await request(port, DESCRIBE_ACLS, fieldsOf(acl))
  return answer.readInt32BE(checked(answer, RESULTS_AT, acl)) > 0
}

function fieldsOf({ user, operation, resource, name, pattern }: KafkaAcl): Buffer[] {
  return [
    int8(RESOURCES[resource]),
    string(name),
    int8(PATTERNS[pattern]),
    string(`User:${user}`),
    string(ANY_HOST),
    int8(OPERATIONS[operation] ?? 0),
    int8(ALLOW),
  ]
}

/** Where an answer goes on behind a code and a nullable message. Throws what the broker says. */
function checked(answer: Buffer, at: number, acl: KafkaAcl): number {
  const code = answer.readInt16BE(at)
  const end = at + 4 + Math.max(0, answer.readInt16BE(at + 2))
  if (code === 0) return end
  throw new Error(`${JSON.stringify(acl)} was refused: ${code} ${answer.toString('utf8', at + 4, end)}`)
}

function request(port: number, api: number, fields: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0)
    const body = Buffer.concat([int16(api), int16(1), int32(1), string('harness'), ...fields])
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
