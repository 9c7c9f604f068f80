import { Script } from './script.js'

/**
 * Appends a batch in one step, unless its predecessor is missing, and without what is stored already.
 *
 * KEYS: stream, session, publisher (or the session again).
 * ARGV: 1 predecessor's number or '', 2 time to live of the session in ms, 3 numbers ('first' when they have no gaps, else a list),
 *   4 the last number, 5 the user's sequences ('' or a list), then per record its form and values:
 *   'k' payload key id timestamp | 'p' payload id timestamp | n and n names and values.
 *
 * Replies 'order' when the predecessor is missing, else the number of skipped records and the ids of the first and last stored one.
 */
export const PUBLISH = new Script(`
local stored = redis.call('GET', KEYS[2])
if ARGV[1] ~= '' and not (stored and tonumber(stored) >= tonumber(ARGV[1])) then return 'order' end
local numbers, sequences
if stored and tonumber(ARGV[4]) <= tonumber(stored) then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  return {'all'}
end
if stored and string.find(ARGV[3], ',', 1, true) then
  numbers = {}
  for number in string.gmatch(ARGV[3], '%d+') do numbers[#numbers + 1] = tonumber(number) end
end
local published = 0
if ARGV[5] ~= '' then
  sequences = {}
  for sequence in string.gmatch(ARGV[5], '[^,]+') do sequences[#sequences + 1] = tonumber(sequence) or -1 end
  published = tonumber(redis.call('GET', KEYS[3]) or '-1')
end
stored = tonumber(stored or '-1')
local first = tonumber(ARGV[3]) or 0
local stream = KEYS[1]
local firstId, lastId
local skipped = {}
local index, record = 6, 0
while index <= #ARGV do
  record = record + 1
  local form = ARGV[index]
  local size = form == 'k' and 4 or form == 'p' and 3 or tonumber(form)
  local number = numbers and numbers[record] or first + record - 1
  local sequence = sequences and sequences[record] or -1
  if number <= stored or (sequence >= 0 and sequence <= published) then
    skipped[#skipped + 1] = record - 1
  else
    if form == 'k' then
      lastId = redis.call('XADD', stream, '*', 'payload', ARGV[index + 1], 'key', ARGV[index + 2], 'id', ARGV[index + 3], 'timestamp', ARGV[index + 4])
    elseif form == 'p' then
      lastId = redis.call('XADD', stream, '*', 'payload', ARGV[index + 1], 'id', ARGV[index + 2], 'timestamp', ARGV[index + 3])
    else
      lastId = redis.call('XADD', stream, '*', unpack(ARGV, index + 1, index + size))
    end
    if sequence >= 0 then published = sequence end
    firstId = firstId or lastId
  end
  index = index + size + 1
end
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[2])
if ARGV[5] ~= '' and published >= 0 then redis.call('SET', KEYS[3], string.format('%.0f', published)) end
return {'ok', firstId or '', lastId or '', table.concat(skipped, ',')}
`)
