/**
 * The group that reads dead-letter topics for listing, replaying and discarding. What it has not settled are the dead letters that
 * are there. A transport that keeps nothing without a group makes it together with a dead-letter topic.
 */
export const DEAD_LETTER_GROUP = 'streamswitch.dlq'
