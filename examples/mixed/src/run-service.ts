// Runs the loop that STREAMSWITCH_RUN names in this process, until SIGTERM.
import { ConsumerRunner } from '@streamswitch/core'
import { openShop } from './queues.js'
import { quietLogger } from './quiet-logger.js'
import { addServices } from './services.js'

function tell(message: object): void {
  // The parent may be gone: then nobody needs to know.
  if (process.connected) process.send?.(message)
}

const shop = openShop(process.env, quietLogger)
addServices(shop, (state) => tell({ kind: 'booked', state }))
const runner = new ConsumerRunner([shop], { logger: quietLogger, afterStartup: () => tell({ kind: 'running' }) })
process.once('disconnect', () => void runner.stop())
await runner.run()
if (process.connected) process.disconnect()
