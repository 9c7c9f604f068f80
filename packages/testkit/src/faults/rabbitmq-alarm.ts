import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { BrokerHandle } from '../brokers/index.js'

const run = promisify(execFile)
/** As `startBroker` configures it. */
const WATERMARK = '2GB'

/** Makes a RabbitMQ believe that it is out of memory, or ends that: it then blocks whoever publishes. Resolves when it has been told. */
export async function setMemoryAlarm(broker: BrokerHandle, on: boolean): Promise<void> {
  await run(broker.tool('rabbitmqctl'), ['set_vm_memory_high_watermark', 'absolute', on ? '1MB' : WATERMARK])
}
