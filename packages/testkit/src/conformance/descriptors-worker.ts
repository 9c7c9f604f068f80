import { closeSync, openSync } from 'node:fs'
import { isStreamError, Transport } from '@streamswitch/core'
import type { DescriptorTask } from './descriptors.js'
import { loadAdapter } from './worker-adapter.js'

const { url, topic, options, connectTimeoutMs } = JSON.parse(process.argv[2] ?? '') as DescriptorTask
const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const adapter = await loadAdapter()
const open = () => new Transport(adapter, url, { environment: {}, logger: quiet, options })

/** Opens files until the system refuses. */
function useUpDescriptors(): number[] {
  const opened: number[] = []
  for (;;) {
    try {
      opened.push(openSync('/dev/null', 'r'))
    } catch {
      return opened
    }
  }
}

// Loads what is loaded at the first connection, which needs files as well.
await using first = open()
await first.producer(topic).init()
await using second = open()
const producer = second.producer(topic, { connectTimeoutMs })
const loop = second.consumer(topic, { group: 'descriptors', connectTimeoutMs })
const opened = useUpDescriptors()
const failures = await Promise.allSettled([producer.init(), loop.init()])
for (const descriptor of opened) closeSync(descriptor)
const codes = failures.map((failure) => {
  if (failure.status === 'fulfilled') return 'connected'
  const error: unknown = failure.reason
  return isStreamError(error) ? `${error.code}, retryable: ${error.retryable}` : String(error)
})
const laterLoop = second.consumer(topic, { group: 'descriptors' })
await Promise.all([second.producer(topic).init(), laterLoop.init()])
process.send?.(codes)
await laterLoop.close()
process.disconnect()
