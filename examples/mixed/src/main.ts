import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { isStreamError } from '@streamswitch/core'
import { Books } from './books.js'
import { faultOf } from './ledger.js'
import { runInOneProcess } from './one-process.js'
import { makeOrders } from './orders.js'
import { runInProcesses } from './processes.js'
import { deleteQueues } from './queues.js'
import { quietLogger } from './quiet-logger.js'

const USAGE = `usage: mixed [--processes]

Orders, payments and receipts, each queue on a transport of its own: MIXED_ORDERS_URL, MIXED_PAYMENTS_URL and
MIXED_RECEIPTS_URL say where; without them they are in memory. --processes: each service in its own process.
`

/** What a run makes has a name of its own, so that runs don't meet. */
function environmentOfRun(): NodeJS.ProcessEnv {
  const prefix = `${process.env.STREAMSWITCH_PREFIX ?? ''}mixed-${randomBytes(4).toString('hex')}.`
  return { ...process.env, STREAMSWITCH_PREFIX: prefix }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { processes: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } },
  })
  if (values.help) return void process.stdout.write(USAGE)
  const orders = makeOrders()
  const environment = environmentOfRun()
  const books = new Books(orders.length)
  try {
    await (values.processes ? runInProcesses : runInOneProcess)(environment, orders, books)
  } finally {
    books.fail(new Error('the run is over'))
    await deleteQueues(environment, quietLogger)
  }
  const { receipts, repeated, cents } = books.state
  const fault = faultOf(books.state, orders)
  process.stdout.write(`${receipts} receipts of ${cents} cents booked, ${repeated} came again and were skipped\n`)
  process.stdout.write(fault === undefined ? 'nothing lost, every customer in order\n' : `WRONG: ${fault}\n`)
  if (fault !== undefined) process.exitCode = 1
}

try {
  await main()
} catch (error) {
  // What the user can act on needs no stack trace.
  const isExpected = isStreamError(error) || error instanceof Error
  process.stderr.write(`${isExpected ? error.message : String(error)}\n`)
  process.exitCode = 1
}
