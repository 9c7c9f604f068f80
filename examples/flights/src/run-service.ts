// Runs one service in this process. The environment says on which transport and under which prefix; the parent process says
// which service, and holds the stores.
import { openTransport, type Transport } from '@streamswitch/core'
import type { ToChild, ToLauncher } from './child-messages.js'
import { demoLogger } from './demo-logger.js'
import { readDepartures } from './flight-data.js'
import { RemoteStores } from './remote-store.js'
import type { RunningService } from './service.js'
import { SERVICES } from './services.js'

/** How often the counts are told at most, in milliseconds. */
const TELL_INTERVAL_MS = 50

function tell(message: ToLauncher): void {
  // The parent may be gone: then nobody needs to know.
  if (process.connected) process.send?.(message)
}

/** Tells the counts, late changes included, but not each change. */
function countsTeller(service: () => RunningService | undefined): () => void {
  let isWaiting = false
  return () => {
    if (isWaiting) return
    isWaiting = true
    setTimeout(() => {
      isWaiting = false
      const running = service()
      if (running !== undefined) tell({ kind: 'counts', counts: { ...running.counts } })
    }, TELL_INTERVAL_MS)
  }
}

const stores = new RemoteStores(tell)
let transport: Transport | undefined

async function start({ service: name, settings }: Extract<ToChild, { kind: 'start' }>): Promise<void> {
  let service: RunningService | undefined
  const changed = countsTeller(() => service)
  transport = await openTransport(undefined, { logger: demoLogger })
  const departures = () => readDepartures(settings.flights)
  service = await SERVICES[name]({
    transport,
    settings,
    delays: stores.store('delays'),
    alerts: stores.store('alerts'),
    departures,
    changed,
  })
  tell({ kind: 'ready' })
  await service.ended
  changed()
}

async function stop(): Promise<void> {
  await transport?.close()
  if (process.connected) process.disconnect()
}

function fail(error: unknown): void {
  tell({ kind: 'failed', message: error instanceof Error ? error.message : String(error) })
}

process.on('message', (message: ToChild) => {
  if (message.kind === 'start') start(message).catch(fail)
  else if (message.kind === 'stored') stores.answered(message)
  else stop().catch(fail)
})
// The terminal sends Ctrl-C to every process; the parent says when to stop.
process.on('SIGINT', () => {})
process.on('disconnect', () => void transport?.close())
