import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { BrokerHandle } from '../brokers/index.js'

const run = promisify(execFile)

/** The exhausted resource of RabbitMQ: AMQP's publishers are blocked by either, those of streams only by the disk. */
export type RabbitmqResource = 'memory' | 'disk'

/** Commands that raise the alarm and, with what `startBroker` configures, end it. */
const COMMANDS = {
  memory: {
    raise: ['set_vm_memory_high_watermark', 'absolute', '1MB'],
    end: ['set_vm_memory_high_watermark', 'absolute', '2GB'],
  },
  disk: { raise: ['set_disk_free_limit', '1000000GB'], end: ['set_disk_free_limit', '200MB'] },
} as const satisfies Record<RabbitmqResource, { readonly raise: readonly string[]; readonly end: readonly string[] }>

/** Raises an alarm on a RabbitMQ, or ends it: it then blocks publishers. Resolves when it has taken effect. */
export async function setRabbitmqAlarm(broker: BrokerHandle, resource: RabbitmqResource, on: boolean): Promise<void> {
  await run(broker.tool('rabbitmqctl'), [...COMMANDS[resource][on ? 'raise' : 'end']])
}
