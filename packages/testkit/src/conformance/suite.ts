import type { CapabilityName } from '@streamswitch/core'
import { OFFICIAL_ADAPTERS, Transport } from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import { Bench, type BenchShape } from './bench.js'
import { thrown } from './expect-error.js'
import { TEST_TIMEOUT_MS } from './load.js'
import type { ConformanceSettings } from './settings.js'

/** How much of the log a failed test shows. */
const LOG_LINES_SHOWN = 15

/** What the files of the suite share: the settings, and how a test is declared. */
export class Suite {
  readonly settings: ConformanceSettings
  /** Partitions of the topics whose messages are spread. */
  readonly partitions: number
  /** A message that fails is given back to its sender, who repeats it. */
  readonly senderRetries: boolean

  constructor(settings: ConformanceSettings) {
    this.settings = settings
    this.partitions = settings.partitions ?? 8
    this.senderRetries = settings.redelivery === 'sender'
  }

  /** True where the adapter declares the capability, with or without a condition. */
  has(capability: CapabilityName): boolean {
    return this.settings.adapter.capabilities[capability] !== false
  }

  /** Declares a test at a bench of its own, which is cleared away whatever happens. A failure shows the transports' last log lines. */
  test(title: string, shape: BenchShape, body: (bench: Bench) => Promise<void>, timeoutMs = TEST_TIMEOUT_MS): void {
    test(title, { timeout: timeoutMs }, async () => {
      const bench = await Bench.open(this.settings, shape)
      try {
        await body(bench)
      } catch (error) {
        await bench.close().catch(() => {})
        throw withLog(error, bench.log)
      }
      await bench.close()
    })
  }

  /** Declares the cases of a capability; where the adapter says no, the case that it refuses to be asked for it. */
  forCapability(capability: CapabilityName, cases: () => void): void {
    if (this.has(capability)) cases()
    else this.refused(capability)
  }

  /** Declares the case that `requires` with this capability is refused before any I/O, naming the transports that have it. */
  refused(capability: CapabilityName): void {
    const { adapter } = this.settings
    test(`${capability} is declared as missing, and refused by requires`, async () => {
      const bench = await Bench.open(this.settings)
      const error = thrown(
        () => new Transport(adapter, bench.url, { environment: {}, requires: [capability] }),
        'UNSUPPORTED',
      )
      expect(error.message).toContain(capability)
      expect(error.message).toContain(adapter.name)
      for (const other of OFFICIAL_ADAPTERS) {
        if (other.name !== adapter.name && other.capabilities[capability] !== false)
          expect(error.message, 'names the transports that have it').toContain(other.name)
      }
    })
  }

  describe(title: string, cases: () => void): void {
    describe(title, cases)
  }
}

function withLog(error: unknown, log: readonly string[]): unknown {
  if (!(error instanceof Error) || log.length === 0) return error
  const cause = error.cause instanceof Error ? `\n  cause: ${error.cause.message}` : ''
  error.message += `${cause}\n  last log lines:\n    ${log.slice(-LOG_LINES_SHOWN).join('\n    ')}`
  return error
}
