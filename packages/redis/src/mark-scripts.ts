import { FENCE } from './group-scripts.js'
import { EVEN_WHEN_FULL, Script } from './script.js'

/** A script's results for one mark. */
export const MARKED = { completed: 0, done: 1, busy: 2 } as const

/**
 * A mark is a string: its format version, `c` for claimed or `d` for done, and the token of the claim. A newer
 * version's mark must not be interpreted.
 */
const MARKS = `
local function parse(value)
  if not value then return nil end
  if string.sub(value, 1, 1) ~= '1' then error('SSVERSION ' .. string.sub(value, 1, 1)) end
  return string.sub(value, 2, 2), string.sub(value, 3)
end
local function read(key) return parse(redis.call('GET', key)) end
local function complete(key, token, ttlMs)
  local value = redis.call('GET', key)
  local state, holder
  if value ~= '1c' .. token then state, holder = parse(value) end
  if state and holder ~= token then return state == 'd' and ${MARKED.done} or ${MARKED.busy} end
  redis.call('SET', key, '1d' .. token, 'PX', ttlMs)
  return ${MARKED.completed}
end
`

/**
 * Claims messages. KEYS: marks. ARGV: duration in ms, then a token for each. Replies for each -2 when it was claimed,
 * -1 when the message is done, else for how many ms another claim holds it.
 */
export const CLAIM_MARKS = new Script(`${MARKS}
local answers = {}
for index, key in ipairs(KEYS) do
  local token = ARGV[index + 1]
  local mark = '1c' .. token
  local value = redis.call('SET', key, mark, 'NX', 'GET', 'PX', ARGV[1])
  if not value then
    answers[index] = -2
  elseif value == mark then
    redis.call('PEXPIRE', key, ARGV[1])
    answers[index] = -2
  elseif parse(value) == 'd' then
    answers[index] = -1
  else
    answers[index] = math.max(0, redis.call('PTTL', key))
  end
end
return answers
`)

/**
 * Extends claims. KEYS: marks. ARGV: duration in ms, then a token for each. Replies 1 for each that is still held, else
 * 0.
 */
export const EXTEND_MARKS = new Script(`${EVEN_WHEN_FULL}${MARKS}
local answers = {}
for index, key in ipairs(KEYS) do
  local state, holder = read(key)
  local held = state == 'c' and holder == ARGV[index + 1]
  if held then redis.call('PEXPIRE', key, ARGV[1]) end
  answers[index] = held and 1 or 0
end
return answers
`)

/** Marks messages as done. KEYS: marks. ARGV: token and how long to keep in ms, of each. Replies a number of {@link MARKED} for each. */
export const COMPLETE_MARKS = new Script(`${EVEN_WHEN_FULL}${MARKS}
local answers = {}
for index, key in ipairs(KEYS) do answers[index] = complete(key, ARGV[index * 2 - 1], ARGV[index * 2]) end
return answers
`)

/** Releases claims. KEYS: marks. ARGV: a token for each. */
export const RELEASE_MARKS = new Script(`${EVEN_WHEN_FULL}${MARKS}
for index, key in ipairs(KEYS) do
  local state, holder = read(key)
  if state == 'c' and holder == ARGV[index] then redis.call('DEL', key) end
end
return 'ok'
`)

/**
 * Settles entries and marks their messages as done, as one step. KEYS: stream, lease, attempts, then the mark of each
 * entry. ARGV: token, group, then id, claim ('' when there is none, and the key is ignored) and how long to keep the
 * mark in ms, of each entry. Replies a number of {@link MARKED} for each; a busy entry was not settled.
 */
export const ACK_MARKED = new Script(`${EVEN_WHEN_FULL}${FENCE}${MARKS}
local counted = redis.call('EXISTS', KEYS[3]) == 1
local answers, ids = {}, {}
for index = 1, (#ARGV - 2) / 3 do
  local id, claim, ttlMs = ARGV[index * 3], ARGV[index * 3 + 1], ARGV[index * 3 + 2]
  answers[index] = claim == '' and ${MARKED.completed} or complete(KEYS[index + 3], claim, ttlMs)
  if answers[index] ~= ${MARKED.busy} then ids[#ids + 1] = id end
  if #ids == 1000 or (index == (#ARGV - 2) / 3 and #ids > 0) then
    redis.call('XACK', KEYS[1], ARGV[2], unpack(ids))
    if counted then redis.call('HDEL', KEYS[3], unpack(ids)) end
    ids = {}
  end
end
return answers
`)
