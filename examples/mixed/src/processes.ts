import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Books } from './books.js'
import type { LedgerState } from './ledger.js'
import type { Order } from './orders.js'
import { openShop } from './queues.js'
import { quietLogger } from './quiet-logger.js'
import { sendOrders } from './send-orders.js'
import { LOOPS } from './services.js'

const ENTRY = fileURLToPath(new URL('./run-service.js', import.meta.url))

type FromService = { readonly kind: 'running' } | { readonly kind: 'booked'; readonly state: LedgerState }

/** Runs each service in a process of its own, by name, until every receipt is booked or a signal comes. */
export async function runInProcesses(
  environment: NodeJS.ProcessEnv,
  orders: readonly Order[],
  books: Books,
): Promise<void> {
  const shop = openShop(environment, quietLogger)
  const one = [...shop.producers.values()].find(({ transport }) => transport.capabilities.multiProcess === false)
  if (one !== undefined)
    throw new Error(`queue '${one.topic}' is on the ${one.transport.name} transport, which stays within one process`)
  const interrupt = (): void => books.fail(new Error('interrupted'))
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
  const services = LOOPS.map((loop) => startService(loop, environment, books))
  try {
    await Promise.race([Promise.all(services.map(({ running }) => running)), books.complete])
    await Promise.race([sendOrders(shop, orders), books.complete])
    await books.complete
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
    await Promise.all(services.map(({ stop }) => stop()))
    await shop.close()
  }
}

function startService(loop: string, environment: NodeJS.ProcessEnv, books: Books) {
  const child = fork(ENTRY, { env: { ...environment, STREAMSWITCH_RUN: loop } })
  let isStopping = false
  const ended = once(child, 'exit')
  void ended.then(([code, signal]) => {
    if (!isStopping) books.fail(new Error(`the process of '${loop}' ended early (${signal ?? `code ${code}`})`))
  })
  const running = new Promise<void>((resolve) => {
    child.on('message', (message: FromService) => {
      if (message.kind === 'running') resolve()
      else books.told(message.state)
    })
  })
  const stop = async (): Promise<void> => {
    isStopping = true
    if (!hasEnded(child)) child.kill('SIGTERM')
    const [code, signal] = await ended
    if (code !== 0) throw new Error(`the process of '${loop}' didn't stop cleanly (${signal ?? `code ${code}`})`)
  }
  return { running, stop }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}
