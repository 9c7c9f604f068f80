import { partitionConflict, StreamError, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { FORMAT_VERSION, metaKey, streamKey } from './keys.js'
import { EVEN_WHEN_FULL, Script } from './script.js'

/** Maximum number of partitions of a topic. */
const MAX_PARTITIONS = 10_000

/** Number of streams checked at a time. */
const PAGE = 500

/**
 * Returns the metadata, and what the streams of a topic say about it: `T:n` exists only if there are several
 * partitions. A stream that has metadata itself is a topic, not a partition.
 */
export const TOPIC_FACTS = `
local function partitionsIn(meta)
  local number = meta and string.match(meta, '^[1-9]%d*$') and tonumber(meta)
  return number and number <= ${MAX_PARTITIONS} and number or nil
end
local function isPartition(name)
  return redis.call('TYPE', name)['ok'] == 'stream' and redis.call('EXISTS', 'ss:{' .. name .. '}:meta') == 0
end
local function highestStream(topic)
  local highest = -1
  -- Loops create the streams of all partitions, so that those above an empty page are not looked for: each new topic pays for the first.
  for first = 0, ${MAX_PARTITIONS} - ${PAGE}, ${PAGE} do
    local names = {}
    for index = 1, ${PAGE} do names[index] = topic .. ':' .. first + index - 1 end
    local existing = redis.pcall('EXISTS', unpack(names))
    if type(existing) == 'table' then
      -- A node of a cluster doesn't look into other slots. Topics have one partition there.
      if string.find(existing.err, 'slot', 1, true) then return -1 end
      error(existing.err)
    end
    if existing == 0 then return highest end
    for index = ${PAGE}, 1, -1 do
      if isPartition(names[index]) then highest = first + index - 1 break end
    end
  end
  return highest
end
`

/**
 * KEYS: metadata, the stream of the topic's own name. ARGV: provision, partitions or '', format version, maxAgeMs or
 * '', maxBytes or '', maxMessages or '', last known number of partitions or '', '1' for a native topic. Replies 'ok',
 * the number of partitions and '1' when the metadata say so; or what is wrong.
 */
const PROVISION = new Script(`${EVEN_WHEN_FULL}${TOPIC_FACTS}
local provision, wanted, topic = ARGV[1], tonumber(ARGV[2]), KEYS[2]
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'none' and kind ~= 'hash' then return {'damaged', 'is a ' .. kind .. ', not a hash'} end
local meta = redis.call('HMGET', KEYS[1], 'v', 'partitions')
local version = tonumber(meta[1] or '')
if version and version > tonumber(ARGV[3]) then return {'newer', meta[1]} end
local recorded = partitionsIn(meta[2])
local found = recorded
if not recorded then
  -- A stream of others is one stream, whatever else begins with its name.
  local highest = ARGV[8] == '1' and provision ~= 'create' and -1 or highestStream(topic)
  local given = wanted or tonumber(ARGV[7])
  if highest >= 0 then
    if not given or given <= highest or given == 1 or provision == 'verify' then
      return {'lost', tostring(highest)}
    end
    found = given
  else
    kind = redis.call('TYPE', topic)['ok']
    if kind ~= 'none' and kind ~= 'stream' then return {'type', kind} end
    if kind == 'stream' then found = 1 end
    if not found and meta[2] and not (wanted and provision == 'create') then
      return {'damaged', "says '" .. string.sub(meta[2], 1, 40) .. "' partitions"}
    end
    if not found and provision == 'verify' then return {'missing'} end
  end
end
if found and wanted and wanted ~= found then return {'conflict', tostring(found)} end
local partitions = tostring(found or wanted or tonumber(ARGV[7]) or 1)
if provision == 'create' then
  if not recorded then redis.call('HSET', KEYS[1], 'v', ARGV[3], 'partitions', partitions) end
  for index, name in ipairs({'maxAgeMs', 'maxBytes', 'maxMessages'}) do
    if ARGV[3 + index] ~= '' then redis.call('HSET', KEYS[1], name, ARGV[3 + index]) end
  end
end
return {'ok', partitions, (recorded or provision == 'create') and '1' or ''}
`)

/** What is known of a provisioned topic. */
export interface ProvisionedTopic {
  readonly partitions: number
  /** Whether it is from the server's metadata. Streams of other systems have none. */
  readonly recorded: boolean
}

/**
 * Creates or checks a topic, as its spec says. Rejects with CONFLICT for another number of partitions, for a key that
 * isn't a stream, and when the metadata are lost or damaged and the spec doesn't restore them; NOT_FOUND for a missing
 * topic that is to be verified; UNSUPPORTED for one of a newer format.
 *
 * @param before - its last known number of partitions: if it no longer exists it is recreated with that.
 */
export async function provisionTopic(
  connection: Connection,
  spec: TopicSpec,
  before?: number,
): Promise<ProvisionedTopic> {
  const { maxAgeMs, maxBytes, maxMessages } = spec.retention
  const args = [
    spec.provision,
    spec.partitions ?? '',
    FORMAT_VERSION,
    maxAgeMs ?? '',
    maxBytes ?? '',
    maxMessages ?? '',
    before ?? '',
    spec.native ? '1' : '',
  ]
  const reply = (await connection.run(PROVISION, [metaKey(spec.brokerTopic), spec.brokerTopic], args)) as Buffer[]
  const [outcome, detail, recorded] = reply.map(String)
  if (outcome === 'ok') return { partitions: Number(detail), recorded: recorded === '1' }
  throw refusal(spec, outcome, detail)
}

function refusal(spec: TopicSpec, outcome: string | undefined, detail: string | undefined): StreamError {
  const context = { transport: 'redis', operation: 'open', topic: spec.topic }
  if (outcome === 'missing') return topicMissing('redis', spec)
  if (outcome === 'newer') {
    return new StreamError(
      `topic '${spec.topic}' has format version ${detail}, but this process supports up to ${FORMAT_VERSION}: update it`,
      { code: 'UNSUPPORTED', ...context },
    )
  }
  if (outcome === 'lost') return metadataLost(spec, Number(detail))
  if (outcome === 'damaged') return metadataDamaged(spec, detail ?? '')
  if (outcome === 'type')
    return new StreamError(
      `key '${spec.brokerTopic}' holds a ${detail}, not a stream: choose another topic or prefix`,
      { code: 'CONFLICT', ...context },
    )
  return partitionConflict('redis', spec, Number(detail))
}

/** CONFLICT: streams of a topic exist, and its number of partitions is unknown. */
export function metadataLost(spec: TopicSpec, highest: number): StreamError {
  const { topic, brokerTopic, partitions } = spec
  const least = Math.max(2, highest + 1)
  const given = partitions === undefined ? '' : ` (partitions: ${partitions} was given)`
  return new StreamError(
    `the metadata of topic '${topic}' (key '${metaKey(brokerTopic)}') are missing, but stream '${brokerTopic}:${highest}' exists, so that it has at least ${least} partitions${given}: restore them by opening it once with its real number of partitions and provision: 'create'; if the stream isn't part of it, choose another topic or prefix`,
    { code: 'CONFLICT', transport: 'redis', operation: 'open', topic },
  )
}

/** CONFLICT: the metadata of a topic were not written by this transport. */
export function metadataDamaged(spec: TopicSpec, what: string): StreamError {
  const { topic, brokerTopic } = spec
  return new StreamError(
    `the metadata of topic '${topic}' are damaged: key '${metaKey(brokerTopic)}' ${what}. Delete the key, then open the topic once with its number of partitions and provision: 'create'`,
    { code: 'CONFLICT', transport: 'redis', operation: 'open', topic },
  )
}

/**
 * The streams that may hold messages of a topic, by its metadata or, if they are missing, by the streams that exist.
 */
export async function streamsOf(connection: Connection, { brokerTopic, native }: TopicSpec): Promise<string[]> {
  const count = Number(await connection.run(COUNT_STREAMS, [metaKey(brokerTopic), brokerTopic], [native ? '1' : '']))
  return Array.from({ length: count }, (_, number) => streamKey(brokerTopic, number, count))
}

/** KEYS: metadata, the stream of the topic's own name. ARGV: '1' for a native topic. Replies the number of partitions, at least. */
const COUNT_STREAMS = new Script(`${EVEN_WHEN_FULL}${TOPIC_FACTS}
local hash = redis.call('TYPE', KEYS[1])['ok'] == 'hash'
local recorded = hash and partitionsIn(redis.call('HGET', KEYS[1], 'partitions'))
if recorded then return recorded end
if ARGV[1] == '1' then return 1 end
local highest = highestStream(KEYS[2])
return highest < 0 and 1 or math.max(2, highest + 1)
`)

/** Returns the retention in force: that of the spec, else the one stored with the topic. */
export async function readRetention(
  connection: Connection,
  spec: TopicSpec,
): Promise<{ readonly maxAgeMs: number; readonly maxBytes: number; readonly maxMessages: number }> {
  const stored = (await connection.call(
    'HMGET',
    metaKey(spec.brokerTopic),
    'maxAgeMs',
    'maxBytes',
    'maxMessages',
  )) as (Buffer | null)[]
  const value = (given: number | undefined, index: number): number => given ?? Number(stored[index]?.toString() ?? 0)
  return {
    maxAgeMs: value(spec.retention.maxAgeMs, 0),
    maxBytes: value(spec.retention.maxBytes, 1),
    maxMessages: value(spec.retention.maxMessages, 2),
  }
}
