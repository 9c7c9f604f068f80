/**
 * The group that reads dead-letter topics for listing, replaying and discarding. Its unsettled messages are the dead
 * letters present. A transport that keeps nothing without a group creates it together with a dead-letter topic.
 */
export const DEAD_LETTER_GROUP = 'streamswitch.dlq'
