import { type OptionInput, option, type TransportUrl } from '@streamswitch/core/driver'

/** Options of the memory transport: `memory://name?maxBytes=…`. */
export const memoryFields = {
  /**
   * Name of the broker in this process; transports with the same name share it. In a URL it is the host.
   * @default 'default'
   */
  name: option.text({ default: 'default' }),
  /**
   * Maximum size of a topic, in bytes. Beyond it the oldest messages that every group has acked are dropped; if there
   * are none, sends wait.
   * @default 536870912 (512 MiB)
   */
  maxBytes: option.integer({ default: 512 * 1024 * 1024, min: 1024 }),
  /**
   * Maximum payload, in bytes.
   * @default 16777216 (16 MiB)
   */
  maxPayloadBytes: option.integer({ default: 16 * 1024 * 1024, min: 1 }),
}

/** Options of producers, under `memory`. */
export const memoryProducerFields = {
  /** Name under which resends are recognised by their `sequence` and dropped. Only one live producer may use it. */
  publisherName: option.text(),
}

/** Options of loops, under `memory`: none. */
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
