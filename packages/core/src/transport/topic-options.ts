import { type OptionInput, option } from '../options/fields.js'

/** Topic options shared by producers and loops. */
export const topicFields = {
  /**
   * Name of an existing topic on the broker, without prefix. Takes precedence over the transport's `topics`. For a
   * single topic.
   */
  nativeName: option.text(),
  /**
   * Number of partitions of the topic. Default: the existing number, else 1. A different number on the broker is
   * CONFLICT.
   */
  partitions: option.integer({ min: 1, max: 10_000 }),
  /** Retention of the topic, if this call creates it. */
  retention: option.group({
    /** Maximum age, in milliseconds. */
    maxAgeMs: option.integer({ min: 1 }),
    /** Maximum size per partition, in bytes. */
    maxBytes: option.integer({ min: 1 }),
    /** Maximum number of messages per partition. */
    maxMessages: option.integer({ min: 1 }),
  }),
}

/** What users pass of {@link topicFields}. */
export type TopicOptions = OptionInput<typeof topicFields>
