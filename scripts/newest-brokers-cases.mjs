/**
 * The conformance cases that are most likely to notice that a new version of a broker behaves differently: what is declared, listed,
 * counted, read back, timed out and shown by the broker's own means. A star stands for what differs between the transports.
 */
export const CASES = [
  'capabilities > lag is what the group has not finished, also before its first message',
  'publish and subscribe > bodies arrive byte for byte',
  'publish and subscribe > odd header values arrive as they were sent',
  "publish and subscribe > the sender's id and timestamp are kept, and the receipt says where the message is",
  'publish and subscribe > a payload of * bytes passes',
  'concurrent publishers and subscribers > 50 producers of 100 messages each, 3 members',
  'topics by pattern > topics that match are received, now and later; what runs is not disturbed',
  'history > a group that comes late reads the history from its beginning, in order',
  'history > from a timestamp begins with what was sent at that time or later',
  'history > seek to the offset of a message begins with it',
  'groups > three members share the messages; each gets some',
  'groups > a member that leaves and a new one that joins while messages flow: none lost, order kept',
  'groups > every partition belongs to exactly one member, and events tell of each change',
  'batch send > a list is sent in order; a receipt for each, in order',
  "dead letters > by default they go to the group's own topic, with original bytes, key, headers, id and time, and say what happened",
  'the box of dead letters > replays one, some or all to the failed group alone, as they were, with attempts from 1; discards the rest',
  'slow handlers > a handler of * ms, longer than session, lease and ack timeouts: no duplicate, and the others flow',
  'requests and replies > parts of any size and codec, byte for byte',
  "foreign clients > * writes, we read, with defaults for all it didn't say",
  'start positions > an offset that is not there is reported, *',
]

/** A pattern for vitest's `-t`, which sees the titles of a case and of the groups around it joined by spaces: these cases alone. */
export function casesPattern(cases = CASES) {
  return ` conforms (${alternatives(cases)})$`
}

/**
 * The same for all cases but some, or for those of `cases` that are not among them.
 *
 * @param {readonly string[]} without
 * @param {readonly string[]} [cases]
 */
export function casesPatternWithout(without, cases) {
  const refused = without.length === 0 ? '' : `(?!.* conforms (${alternatives(without)})$)`
  return `^${refused}.* conforms ${cases === undefined ? '' : `(${alternatives(cases)})$`}`
}

/** @param {readonly string[]} cases */
function alternatives(cases) {
  const patterns = cases.map((title) =>
    title
      .split(' > ')
      .join(' ')
      .split('*')
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  )
  return patterns.join('|')
}
