/**
 * Types of the options under an adapter's name, in producers and loops: `{ redis: { publisherName: 'billing' } }`. Each
 * adapter adds its own, which take effect in a program that imports it:
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
