import { partitionConflict, StreamError, type TopicSpec, topicMissing } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { FORMAT_VERSION, metaKey } from './keys.js'
import { EVEN_WHEN_FULL, Script } from './script.js'

/**
 * KEYS: metadata, the stream of the topic's own name.
 * ARGV: provision, partitions or '', format version, maxAgeMs or '', maxBytes or '', maxMessages or ''.
 */
const PROVISION = new Script(`${EVEN_WHEN_FULL}
local wanted = ARGV[2]
local meta = redis.call('HMGET', KEYS[1], 'v', 'partitions')
local found = meta[2]
if meta[1] and tonumber(meta[1]) > tonumber(ARGV[3]) then return {'newer', meta[1]} end
if not found then
  local kind = redis.call('TYPE', KEYS[2])['ok']
  if kind ~= 'none' and kind ~= 'stream' then return {'type', kind} end
  if kind == 'stream' then found = '1' end
  if not found and ARGV[1] == 'verify' then return {'missing'} end
end
if found and wanted ~= '' and wanted ~= found then return {'conflict', found} end
local partitions = found or (wanted ~= '' and wanted) or '1'
if ARGV[1] == 'create' then
  if not meta[2] then redis.call('HSET', KEYS[1], 'v', ARGV[3], 'partitions', partitions) end
  for index, name in ipairs({'maxAgeMs', 'maxBytes', 'maxMessages'}) do
    if ARGV[3 + index] ~= '' then redis.call('HSET', KEYS[1], name, ARGV[3 + index]) end
  end
end
return {'ok', partitions}
`)

/**
 * Makes or checks a topic, as its spec says, and returns its number of partitions. Rejects with CONFLICT for another number or a
 * key that is no stream, NOT_FOUND for a missing topic that is to be verified, UNSUPPORTED for one of a newer format.
 */
export async function provisionTopic(connection: Connection, spec: TopicSpec): Promise<number> {
  const { maxAgeMs, maxBytes, maxMessages } = spec.retention
  const args = [
    spec.provision,
    spec.partitions ?? '',
    FORMAT_VERSION,
    maxAgeMs ?? '',
    maxBytes ?? '',
    maxMessages ?? '',
  ]
  const reply = (await connection.run(PROVISION, [metaKey(spec.brokerTopic), spec.brokerTopic], args)) as Buffer[]
  const [outcome, detail] = reply.map(String)
  if (outcome === 'ok') return Number(detail)
  throw refusal(spec, outcome, detail)
}

function refusal(spec: TopicSpec, outcome: string | undefined, detail: string | undefined): StreamError {
  const context = { transport: 'redis', operation: 'open', topic: spec.topic }
  if (outcome === 'missing') return topicMissing('redis', spec.topic)
  if (outcome === 'newer') {
    return new StreamError(
      `topic '${spec.topic}' has format version ${detail}, this process knows up to ${FORMAT_VERSION}: update it`,
      { code: 'UNSUPPORTED', ...context },
    )
  }
  if (outcome === 'type')
    return new StreamError(
      `key '${spec.brokerTopic}' holds a ${detail}, not a stream: choose another topic or prefix`,
      { code: 'CONFLICT', ...context },
    )
  return partitionConflict('redis', spec.topic, Number(detail), spec.partitions ?? 0)
}

/** What retention is in force: that of the spec, else what is stored with the topic. */
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
