import type { Admin, TopicInfo, TopicSpec } from '../contract/adapter.js'
import type { PartitionLag } from '../contract/consumer-driver.js'
import type { TopicSettings } from '../native-names/transport-names.js'
import { requireNames } from '../options/call-options.js'

const SPEC = [
  'topic',
  'brokerTopic',
  'derivedName',
  'origin',
  'native',
  'prefixed',
  'partitions',
  'retention',
  'provision',
  'groups',
  'role',
  'openedWithoutPartitions',
] as const satisfies readonly (keyof TopicSpec)[]
const RETENTION = ['maxAgeMs', 'maxBytes', 'maxMessages'] as const satisfies readonly (keyof TopicSpec['retention'])[]

/**
 * An adapter's `Admin`, with a check of the specs it receives: usually created by `transport.topicSpec`, but users may
 * write them by hand.
 */
export class CheckedAdmin implements Admin {
  readonly #admin: Admin
  readonly #transport: string

  constructor(admin: Admin, transport: string) {
    this.#admin = admin
    this.#transport = transport
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    this.#check(spec, 'provision')
    return this.#admin.provision(spec)
  }

  topics(): Promise<readonly TopicInfo[]> {
    return this.#admin.topics()
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    this.#check(spec, 'lag')
    return this.#admin.lag(spec, brokerGroup)
  }

  async deleteTopic(spec: TopicSpec): Promise<void> {
    this.#check(spec, 'deleteTopic')
    return this.#admin.deleteTopic(spec)
  }

  #check(spec: TopicSpec, operation: string): void {
    const context = { subject: `admin.${operation}`, transport: this.#transport, operation }
    requireNames(spec, SPEC, context)
    requireNames(spec?.retention, RETENTION, { ...context, subject: `the retention of admin.${operation}` })
  }
}

/** As in {@link CheckedAdmin}, for the arguments of `transport.topicSpec`. */
export function requireTopicSettings(settings: TopicSettings, topic: string, transport: string): void {
  const subject = `the topic '${topic}'`
  requireNames(settings, ['partitions', 'retention', 'role', 'nativeName'], { subject, transport, topic })
  requireNames(settings.retention, RETENTION, { subject: `the retention of ${subject}`, transport, topic })
}
