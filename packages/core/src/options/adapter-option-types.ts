/**
 * Types of the options below an adapter's name, where producers and loops are made: `{ redis: { publisherName: 'billing' } }`. Each adapter adds
 * its own, and they are in force in a program that imports it:
 *
 * ```ts
 * declare module '@streamswitch/core/driver' {
 *   interface AdapterOptionTypes {
 *     readonly example: { readonly producer: ExampleProducerOptions; readonly consumer: ExampleConsumerOptions }
 *   }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: adapters add to it
export interface AdapterOptionTypes {}
