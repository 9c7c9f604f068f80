import { StreamError, type TopicSpec } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { FORMAT_VERSION, metaKey } from './keys.js'
import { EVEN_WHEN_FULL, Script } from './script.js'
import { metadataDamaged, metadataLost, TOPIC_FACTS } from './topic.js'

/**
 * Compares the metadata of topics with what this process has read, and restores lost ones where it may. KEYS: metadata
 * and the stream with its own name, of each topic. ARGV: format version, '1' for consumers of the topics, then the known
 * number of partitions and '1' when it may be restored, of each. Replies the outcome and a detail for each.
 */
const CHECK_TOPICS = new Script(`${EVEN_WHEN_FULL}${TOPIC_FACTS}
local function check(key, topic, known, create, reads)
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'none' and kind ~= 'hash' then return {'damaged', 'is a ' .. kind .. ', not a hash'} end
  local value = redis.call('HGET', key, 'partitions')
  local recorded = partitionsIn(value)
  if recorded == known then
    local bare = reads == '1' and known > 1 and redis.call('TYPE', topic)['ok'] == 'stream'
    return bare and redis.call('XLEN', topic) > 0 and {'bare', ''} or {'ok', ''}
  end
  if recorded then return {'changed', tostring(recorded)} end
  local highest = highestStream(topic)
  -- Without streams the topic was deleted, which is no matter of the metadata alone.
  if create ~= '1' and highest < 0 then return {'ok', ''} end
  if create ~= '1' or highest >= known then return {'lost', tostring(highest)} end
  redis.call('HSET', key, 'v', ARGV[1], 'partitions', tostring(known))
  return {'restored', value and 'damaged' or 'missing'}
end
local replies = {}
for index = 1, #KEYS / 2 do
  replies[index] = check(KEYS[index * 2 - 1], KEYS[index * 2], tonumber(ARGV[index * 2 + 1]), ARGV[index * 2 + 2], ARGV[2])
end
return replies
`)

/** A topic and the number of partitions that its metadata had when it was opened. */
export interface WatchedTopic {
  readonly spec: TopicSpec
  readonly partitions: number
}

/** The result of a check: once per state, not with each check. */
export interface TopicFinding {
  readonly error: StreamError
  /** Whether the number of partitions has changed, so that the connection must be reopened. */
  readonly changed: boolean
}

/** Detects when the metadata of topics in use are deleted, evicted, damaged or replaced. */
export class TopicWatch {
  readonly #topics: readonly WatchedTopic[]
  readonly #known = new Map<WatchedTopic, string>()

  readonly #role: 'loop' | 'producer'

  /** @param role - loops also detect messages outside of the partitions, which are never read. */
  constructor(topics: readonly WatchedTopic[], role: 'loop' | 'producer') {
    this.#topics = topics
    this.#role = role
  }

  /** Returns what is new since the last check. Rejects with the server's error reply. */
  async check(connection: Connection): Promise<readonly TopicFinding[]> {
    if (this.#topics.length === 0) return []
    const keys = this.#topics.flatMap(({ spec }) => [metaKey(spec.brokerTopic), spec.brokerTopic])
    const args = this.#topics.flatMap(({ spec, partitions }) => [partitions, spec.provision === 'create' ? '1' : ''])
    const replies = (await connection.run(CHECK_TOPICS, keys, [
      FORMAT_VERSION,
      this.#role === 'loop' ? '1' : '',
      ...args,
    ])) as readonly Buffer[][]
    const findings: TopicFinding[] = []
    for (const [index, reply] of replies.entries()) {
      const topic = this.#topics[index] as WatchedTopic
      const [outcome = '', detail = ''] = reply.map(String)
      const state = `${outcome} ${detail}`
      if (outcome !== 'ok' && this.#known.get(topic) !== state)
        findings.push({ error: describe(topic, outcome, detail), changed: outcome === 'changed' })
      this.#known.set(topic, outcome === 'restored' ? 'ok' : state)
    }
    return findings
  }
}

function describe({ spec, partitions }: WatchedTopic, outcome: string, detail: string): StreamError {
  if (outcome === 'lost') return metadataLost(spec, Number(detail))
  if (outcome === 'damaged') return metadataDamaged(spec, detail)
  const context = { transport: 'redis', operation: 'open', topic: spec.topic }
  if (outcome === 'bare') {
    return new StreamError(
      `stream '${spec.brokerTopic}' holds messages that are never read: topic '${spec.topic}' has ${partitions} partitions, so its streams are '${spec.brokerTopic}:0' to '${spec.brokerTopic}:${partitions - 1}'. Clients must write to one of these`,
      { code: 'CONFLICT', ...context },
    )
  }
  const now = outcome === 'changed' ? `now say ${detail} partitions` : `were ${detail} and have been restored`
  const advice =
    outcome === 'changed'
      ? 'the topic was deleted and created again'
      : 'something deletes keys on this server (maxmemory-policy, FLUSHDB, a script)'
  return new StreamError(
    `the metadata of topic '${spec.topic}' (key '${metaKey(spec.brokerTopic)}'), opened with ${partitions} partitions, ${now}: ${advice}`,
    { code: 'CONFLICT', ...context },
  )
}
