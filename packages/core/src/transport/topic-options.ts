import { type OptionInput, option } from '../options/fields.js'

/** What both producers and loops may say of a topic. */
export const topicFields = {
  /** What the topic is called on the broker where it exists already, without prefix: see `topics` of the transport, which this comes before. For one topic. */
  nativeName: option.text(),
  /** Partitions of the topic. Left out: what exists, else 1. A different number on the broker is CONFLICT. */
  partitions: option.integer({ min: 1, max: 10_000 }),
  /** What a topic keeps, where this call makes it. */
  retention: option.group({
    /** Oldest age, in milliseconds. */
    maxAgeMs: option.integer({ min: 1 }),
    /** Bytes per partition. */
    maxBytes: option.integer({ min: 1 }),
    /** Messages per partition. */
    maxMessages: option.integer({ min: 1 }),
  }),
}

/** What users pass of {@link topicFields}. */
export type TopicOptions = OptionInput<typeof topicFields>
