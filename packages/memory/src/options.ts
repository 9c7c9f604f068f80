import { type OptionInput, option, type TransportUrl } from '@streamswitch/core/driver'

/** Options of the memory transport: `memory://name?maxBytes=…`. */
export const memoryFields = {
  /**
   * Which broker of this process; transports with the same name share it. Stands in the URL as its host.
   * @default 'default'
   */
  name: option.text({ default: 'default' }),
  /**
   * Bytes that a topic may hold. Beyond it the oldest messages that every group has acked are dropped; where there are none, sends wait.
   * @default 536870912 (512 MiB)
   */
  maxBytes: option.integer({ default: 512 * 1024 * 1024, min: 1024 }),
  /**
   * Largest payload, in bytes.
   * @default 16777216 (16 MiB)
   */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1 }),
}

/** Options of producers, below `memory`. */
export const memoryProducerFields = {
  /** Name under which resends are recognised by their `sequence` and dropped. One live producer may hold it. */
  publisherName: option.text(),
}

/** Options of loops, below `memory`: there are none. */
export const memoryConsumerFields = {}

export type MemoryOptions = OptionInput<typeof memoryFields>
export type MemoryProducerOptions = OptionInput<typeof memoryProducerFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly memory: { readonly producer: MemoryProducerOptions; readonly consumer: Readonly<Record<string, never>> }
  }
}

export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  return { name: url.hosts[0]?.host }
}
