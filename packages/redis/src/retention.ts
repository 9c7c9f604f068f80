import type { ConsumerSpec } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import type { Partition } from './keys.js'
import type { RedisSettings } from './options.js'
import { EVEN_WHEN_FULL, GROUP, IDS, NOW, Script } from './script.js'
import { readRetention } from './topic.js'

/**
 * Trims a stream to its limits, but never past what a group has not acked. Does nothing while the trimming member's own
 * group is missing: it was lost, and will be recreated at its offset.
 * KEYS: stream. ARGV: maxAgeMs, maxBytes, maxMessages (0: none), abandonedGroupAfterMs (0: never), prefix of the keys of
 * leases of this stream: the group's name follows it; the trimming member's group.
 */
export const TRIM = new Script(`${EVEN_WHEN_FULL}${NOW}${GROUP}${IDS}
local stream = KEYS[1]
if redis.call('EXISTS', stream) == 0 then return 0 end
local maxAge, maxBytes, maxMessages, abandoned = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local length = redis.call('XLEN', stream)
if length == 0 then return 0 end
if maxBytes > 0 then
  local fitting = math.max(1, math.floor(maxBytes / (redis.call('MEMORY', 'USAGE', stream) / length)))
  if maxMessages == 0 or fitting < maxMessages then maxMessages = fitting end
end

if not groupOf(stream, ARGV[6]) then return 0 end

-- The first entry that a group still needs, and how many there are from it on.
local floor, needed
for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local name, delivered = field(group, 'name'), field(group, 'last-delivered-id')
  local seen = tonumber(redis.call('HGET', ARGV[5] .. name, 'until') or '')
  if not (abandoned > 0 and seen and seen > 0 and seen + abandoned < now) then
    local first, between = delivered, 0
    if field(group, 'pending') > 0 then
      first = predecessor(redis.call('XPENDING', stream, name)[2])
      local from = first
      repeat
        local entries = redis.call('XRANGE', stream, '(' .. from, delivered, 'COUNT', 100)
        between = between + #entries
        if #entries > 0 then from = entries[#entries][1] end
      until #entries < 100 or between > maxMessages
    end
    local behind = field(group, 'lag')
    if not floor or before(first, floor) then
      floor, needed = first, behind and between + behind or length
    end
  end
end

local trimmed = 0
if maxAge > 0 then
  local oldest = string.format('%.0f', math.max(0, now - maxAge)) .. '-0'
  -- MINID keeps the entry of that id: the one after the last acked.
  if floor and before(floor, oldest) then oldest = floor end
  trimmed = trimmed + redis.call('XTRIM', stream, 'MINID', oldest)
end
if maxMessages > 0 then
  local keep = math.max(maxMessages, needed or 0)
  if keep < redis.call('XLEN', stream) then trimmed = trimmed + redis.call('XTRIM', stream, 'MAXLEN', string.format('%.0f', keep)) end
end
return trimmed
`)

interface Bounds {
  readonly maxAgeMs: number
  readonly maxBytes: number
  readonly maxMessages: number
}

/** Enforces retention in the partitions that this member owns, every `retentionIntervalMs`. */
export class RetentionKeeper {
  readonly #connection: Connection
  readonly #settings: RedisSettings
  readonly #spec: ConsumerSpec
  readonly #bounds = new Map<string, Bounds>()
  #last = Number.NEGATIVE_INFINITY
  #trimming = false

  constructor(connection: Connection, settings: RedisSettings, spec: ConsumerSpec) {
    this.#connection = connection
    this.#settings = settings
    this.#spec = spec
  }

  /** Reads the retention in force. */
  async open(): Promise<void> {
    for (const topic of this.#spec.topics) {
      const bounds = await readRetention(this.#connection, topic)
      if (bounds.maxAgeMs > 0 || bounds.maxBytes > 0 || bounds.maxMessages > 0) this.#bounds.set(topic.topic, bounds)
    }
  }

  /** Trims these partitions, if it is due. Never fails: what wasn't trimmed now is trimmed later. */
  keep(partitions: readonly Partition[]): void {
    const now = performance.now()
    if (this.#bounds.size === 0 || this.#trimming || now - this.#last < this.#settings.retentionIntervalMs) return
    this.#last = now
    this.#trimming = true
    void Promise.allSettled(partitions.map((partition) => this.#trim(partition))).then(() => {
      this.#trimming = false
    })
  }

  async #trim(partition: Partition): Promise<void> {
    const bounds = this.#bounds.get(partition.topic)
    if (bounds === undefined) return
    const { brokerGroup } = this.#spec
    const leases = partition.lease.slice(0, -brokerGroup.length)
    const { maxAgeMs, maxBytes, maxMessages } = bounds
    await this.#connection.run(
      TRIM,
      [partition.stream],
      [maxAgeMs, maxBytes, maxMessages, this.#settings.abandonedGroupAfterMs ?? 0, leases, brokerGroup],
    )
  }
}
