import { createHash } from 'node:crypto'

/** A script that runs on the server atomically. */
export class Script {
  readonly source: string
  #hash: string | undefined

  constructor(source: string) {
    this.source = source
  }

  /** Its hash for `EVALSHA`. */
  get hash(): string {
    this.#hash ??= createHash('sha1').update(this.source).digest('hex')
    return this.#hash
  }
}

/**
 * Prefix of scripts that loops depend on. A server that is out of memory (`maxmemory`) refuses every script that may
 * need more, which would take the partitions from the very members that work off what fills it. What these scripts
 * write is small, and doesn't accumulate.
 */
export const EVEN_WHEN_FULL = '#!lua flags=allow-oom\n'

/** The server's clock in milliseconds, used by all members of a group. */
export const NOW = `
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
`

/** Reads one value of a reply that is a list of names and values. */
export const FIELD = `
local function field(list, name)
  for index = 1, #list, 2 do
    if list[index] == name then return list[index + 1] end
  end
end
`

/** The XINFO fields of one group, or nothing when stream or group are missing. */
export const GROUP = `${FIELD}
local function groupOf(stream, name)
  if redis.call('EXISTS', stream) == 0 then return nil end
  for _, group in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if field(group, 'name') == name then return group end
  end
end
`

/** Compares entry ids as numbers, beyond what a double holds, and steps back by one. */
export const IDS = `
local function split(id) return string.match(id, '^(%d+)-(%d+)$') end
local function smaller(left, right)
  if #left ~= #right then return #left < #right end
  return left < right
end
local function before(left, right)
  local leftTime, leftSequence = split(left)
  local rightTime, rightSequence = split(right)
  if leftTime ~= rightTime then return smaller(leftTime, rightTime) end
  return smaller(leftSequence, rightSequence)
end
local function predecessor(id)
  local time, sequence = split(id)
  if sequence ~= '0' then
    -- Beyond 15 digits a double loses count; an earlier id is always safe.
    if #sequence > 15 then return time .. '-0' end
    return time .. '-' .. string.format('%.0f', tonumber(sequence) - 1)
  end
  if time == '0' then return '0-0' end
  return string.format('%.0f', tonumber(time) - 1) .. '-18446744073709551615'
end
`

/**
 * Start of a group in a stream: `start`, or '$' when that is beyond the end. If `start` precedes a given entry ('1')
 * that is outside of what the stream holds: nothing, and a reply that says so, with the first and the last entry's ids.
 * Needs FIELD and IDS.
 */
export const START = `
local function startIn(stream, start, entry)
  if start == '$' then return start end
  local first, last, deleted = '', '0-0', '0-0'
  if redis.call('EXISTS', stream) == 1 then
    local info = redis.call('XINFO', 'STREAM', stream)
    last = field(info, 'last-generated-id')
    deleted = field(info, 'max-deleted-entry-id') or deleted
    local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
    if oldest then first = oldest[1] end
  end
  local beyond = before(last, start)
  local trimmed = before(start, deleted) and (first == '' or before(start, predecessor(first)))
  if entry == '1' and (beyond or trimmed) then return nil, {'outside', first, last} end
  return beyond and '$' or start
end
`
