import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { brokerTool } from '@streamswitch/testkit/brokers'
import { kafkaAclLines, rightsCases, startLimitedBroker } from '@streamswitch/testkit/rights'
import { expect, onTestFinished, test } from 'vitest'
import kafka from '../src/index.js'

const RIGHTS = readFileSync(new URL('../../../docs/rights/kafka.acls', import.meta.url), 'utf8')

rightsCases({
  adapter: kafka,
  transport: 'kafka',
  rights: RIGHTS,
  existing: 'create',
  says: {
    creating: "CREATE if it is to be created, on topic 'fresh-",
    sending: "lacks WRITE on topic 'orders-",
    receiving: 'lacks READ on the group',
    asking: "on topic 'rights.streamswitch-replies'",
    answering: "on topic 'rights.streamswitch-replies'",
    deadLettering: 'lacks WRITE',
    bookkeeping: 'lacks READ on the group',
    attempts: undefined,
    listing: undefined,
    deleting: 'lacks DELETE on topic',
  },
  groupsApart: true,
  withoutDeadLetters: (rules) => rules.replace('@GROUP@.dlq', '@GROUP@.none'),
  // Offsets and attempts are committed in the group.
  withoutBookkeeping: { like: 'consumer', change: (rules) => rules.replace('--group @PREFIX@', '--group none.') },
  lister: 'service',
  deleter: 'topics',
})

test("kafka-acls takes the file's lines, and lists what they grant", { timeout: 180_000 }, async () => {
  const limited = await startLimitedBroker({ transport: 'kafka', rights: RIGHTS, name: 'app' })
  onTestFinished(() => limited[Symbol.asyncDispose]())
  // Kafka's own script does the same: no archive of the installation has it.
  const libraries = join(dirname(dirname(await brokerTool('kafka-topics'))), 'libs/*')
  const aclTool = async (...options: string[]): Promise<string> => {
    const server = ['--bootstrap-server', limited.administratorUrl.replace('kafka://', '')]
    const command = ['-cp', libraries, 'org.apache.kafka.tools.AclCommand', ...server, ...options]
    return (await promisify(execFile)('java', command)).stdout
  }
  const lines = kafkaAclLines(RIGHTS, { name: 'app', password: '', prefix: 'app.', topic: 'orders', group: 'billing' })
  const ofService = lines.filter((words) => words.includes('User:app-service'))
  expect(ofService).toHaveLength(2)
  for (const words of ofService) await aclTool(...words)
  const listed = await aclTool('--list', '--principal', 'User:app-service')
  for (const operation of ['CREATE', 'WRITE', 'READ'])
    expect(listed).toMatch(
      new RegExp(`principal=User:app-service, host=\\*, operation=${operation}, permissionType=ALLOW`),
    )
  expect(listed).toContain('name=app., patternType=PREFIXED')
})
