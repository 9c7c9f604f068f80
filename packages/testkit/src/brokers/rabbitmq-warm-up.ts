import { setTimeout as delay } from 'node:timers/promises'
import { type BrokerInstance, portOf } from './definition.js'
import { BrokerError, messageOf } from './errors.js'
import { callManagement } from './rabbitmq-probe.js'

const WARM_UP_STREAM = 'streamswitch-warm-up'

/**
 * A broker killed within about 1 s of the first stream ever created on its data folder loses the stream coordinator,
 * and with it that stream for good (RabbitMQ 4.0.5 and 4.3.6); later streams are safe at once.
 */
const COORDINATOR_SETTLE_MS = 2000

/** After a restart, queues and streams are listed late and get their leaders up to 0.3 s after the broker answers. */
const RECOVERY_POLL_MS = 150

/** A queue that RabbitMQ lost stays down for good; waiting longer would not bring it back. */
const RECOVERY_LIMIT_MS = 5000

/** Creates the first stream of a fresh data folder, waits until the coordinator has kept it, and deletes it again. */
export async function warmUpStreams({ ports }: Pick<BrokerInstance, 'ports'>, deadline: number): Promise<void> {
  const port = portOf(ports, 'management')
  const path = `queues/%2F/${WARM_UP_STREAM}`
  const stream = { durable: true, arguments: { 'x-queue-type': 'stream' } }
  const created = await repeatCall(port, 'PUT', path, [201, 204], deadline, stream)
  if (!created) return
  await delay(COORDINATOR_SETTLE_MS)
  await repeatCall(port, 'DELETE', path, [204, 404], deadline)
}

/**
 * Calls the management API until it answers with one of these states; a node that is busy may take more than one call. Resolves with false
 * when another user than guest was configured: then whoever did that has to wait before killing.
 */
async function repeatCall(
  port: number,
  method: string,
  path: string,
  accepted: readonly number[],
  deadline: number,
  body?: object,
): Promise<boolean> {
  for (;;) {
    const answer = await callManagement(port, method, path, body, 10_000).then(({ status }) => status, messageOf)
    if (answer === 401) return false
    if (typeof answer === 'number' && accepted.includes(answer)) return true
    if (performance.now() > deadline)
      throw new BrokerError('TIMEOUT', `RabbitMQ does not answer ${method} ${path}: ${answer}`)
    await delay(100)
  }
}

/** Waits until all queues and streams run and the list of them no longer grows; gives up quietly after 5 s. */
export async function awaitQueues({ ports }: BrokerInstance, deadline: number): Promise<void> {
  const end = Math.min(deadline, performance.now() + RECOVERY_LIMIT_MS)
  let previous: string | undefined
  while (performance.now() < end) {
    const current = await runningQueues(portOf(ports, 'management'))
    if (current !== undefined && current === previous) return
    previous = current
    await delay(RECOVERY_POLL_MS)
  }
}

/** The names of all queues, or undefined while one of them doesn't run or the list can't be had. */
async function runningQueues(port: number): Promise<string | undefined> {
  try {
    const { status, body } = await callManagement(port, 'GET', 'queues?disable_stats=true', undefined, 2000)
    if (status === 401) return ''
    const queues = body as readonly { readonly name: string; readonly state?: string }[]
    return queues.every((queue) => queue.state === undefined || queue.state === 'running')
      ? JSON.stringify(queues.map((queue) => queue.name))
      : undefined
  } catch {
    return undefined
  }
}
