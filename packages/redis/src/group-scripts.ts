import { EVEN_WHEN_FULL, FIELD, GROUP, IDS, NOW, Script, START } from './script.js'

/** Returned by a fenced script to a member that no longer holds the partition. */
export const FENCED = 'fenced'

/** KEYS[2] is the lease in every fenced script, ARGV[1] the token; an empty token belongs to members without leases. */
export const FENCE = `
if ARGV[1] ~= '' and redis.call('HGET', KEYS[2], 'token') ~= ARGV[1] then return '${FENCED}' end
`

/**
 * Detects whether entries were removed that a group hadn't read yet: more are gone than it has read. If their number is
 * unknown (a group that was moved), nothing is reported.
 */
const TRIMMED = `
local function trimmed(stream, group)
  local read = field(group, 'entries-read')
  local info = redis.call('XINFO', 'STREAM', stream)
  local added = field(info, 'entries-added')
  if not read or not added or added - field(info, 'length') <= read then return nil end
  local first, last = field(info, 'first-entry'), field(info, 'last-entry')
  -- A group that is behind the first entry has missed nothing that it could still have: its count has fallen behind.
  if first and not before(field(group, 'last-delivered-id'), first[1]) then return nil end
  local missed = added - field(info, 'length') - read
  return {'outside', first and first[1] or '', last and last[1] or '', field(group, 'last-delivered-id'), missed}
end
`

/**
 * Moves a group whose offset was trimmed to the remaining entries, so that it is reported once. KEYS: stream. ARGV:
 * group, 'earliest' or 'latest'.
 */
export const SKIP_TRIMMED = new Script(`${EVEN_WHEN_FULL}${GROUP}${IDS}${TRIMMED}
local stream, group = KEYS[1], groupOf(KEYS[1], ARGV[1])
local outside = group and trimmed(stream, group)
if not outside then return 'ok' end
local info = redis.call('XINFO', 'STREAM', stream)
local added, length = field(info, 'entries-added'), field(info, 'length')
if ARGV[2] == 'latest' or length == 0 then
  redis.call('XGROUP', 'SETID', stream, ARGV[1], '$', 'ENTRIESREAD', added)
else
  redis.call('XGROUP', 'SETID', stream, ARGV[1], predecessor(outside[2]), 'ENTRIESREAD', added - length)
end
return 'ok'
`)

/**
 * Creates a missing group: at the requested start if it is new, at its stored position if it was lost. KEYS: stream,
 * lease. ARGV: group, start, provision, '1' when the group is known to have existed, format version, '1' when the start
 * names an entry.
 */
export const ENSURE_GROUP = new Script(`${EVEN_WHEN_FULL}${GROUP}${IDS}${START}${TRIMMED}
local stream, group, start = KEYS[1], ARGV[1], ARGV[2]
local existing = groupOf(stream, group)
if existing then return trimmed(stream, existing) or 'existed' end
local version = redis.call('HGET', KEYS[2], 'v')
if version and tonumber(version) > tonumber(ARGV[5]) then return redis.error_reply('SSVERSION ' .. version) end
if ARGV[3] ~= 'create' then return 'missing' end
local outcome = 'created'
local position = redis.call('HGET', KEYS[2], 'position')
if position or ARGV[4] == '1' then
  outcome, start = 'recreated', position or '0-0'
  local last = '0-0'
  if redis.call('EXISTS', stream) == 1 then last = field(redis.call('XINFO', 'STREAM', stream), 'last-generated-id') end
  -- A stream that begins anew has nothing to do with what was read of the old one.
  if before(last, start) then start = '0-0' end
else
  local outside
  start, outside = startIn(stream, start, ARGV[6])
  if outside then return outside end
end
redis.call('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
-- What a present owner has in hand isn't pending any more: it must begin again, and its last entry is no position.
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HSET', KEYS[2], 'stray', '1') end
return outcome
`)

/**
 * Takes a lease that is free, expired, or one's own. KEYS: stream, lease. ARGV: group, owner, leaseMs, format version.
 * Replies the epoch ('' when another member holds it), the id up to which entries are suspect (or ''), how many are
 * pending, and which of them are no suspects.
 */
export const TAKE = new Script(`${EVEN_WHEN_FULL}${NOW}
local lease = redis.call('HMGET', KEYS[2], 'v', 'owner', 'until', 'epoch', 'suspectTo', 'returned')
if lease[1] and tonumber(lease[1]) > tonumber(ARGV[4]) then return redis.error_reply('SSVERSION ' .. lease[1]) end
local owner = lease[2]
if owner and owner ~= '' and owner ~= ARGV[2] and tonumber(lease[3]) > now then return {'', '', 0, ''} end
local epoch = string.format('%.0f', math.max(tonumber(lease[4] or '0') + 1, now))
local pending = redis.call('XPENDING', KEYS[1], ARGV[1])
local suspectTo = lease[5] or ''
-- The last holder neither released it nor is this process: it may have died with running handlers.
if not owner or (owner ~= '' and owner ~= ARGV[2]) then suspectTo = pending[3] or '' end
redis.call('HDEL', KEYS[2], 'stray', 'returned')
redis.call('HSET', KEYS[2], 'v', ARGV[4], 'owner', ARGV[2], 'epoch', epoch, 'token', epoch .. ':' .. ARGV[2],
  'until', string.format('%.0f', now + ARGV[3]), 'suspectTo', suspectTo)
return {epoch, suspectTo, pending[1], lease[6] or ''}
`)

/**
 * Renews this member's leases, records the group's progress, and returns the owner of each partition. The cost doesn't
 * depend on how many groups read the topic. KEYS: stream and lease of each partition. ARGV: group, owner, leaseMs,
 * consumer, idle limit in ms, then the token of each ('' for those of others), then the last entry that each reader has
 * received ('' when unknown). Replies per partition the owner, '' when it is free, '${FENCED}' when it was this
 * member's and no longer is; and per partition the consumer, not of this transport, that has an entry pending for
 * longer than the limit, or ''.
 */
export const HEARTBEAT = new Script(`${EVEN_WHEN_FULL}${NOW}${IDS}
local owners, foreign, count = {}, {}, #KEYS / 2
local function foreignIn(stream, consumers)
  for _, consumer in ipairs(consumers or {}) do
    if consumer[1] ~= ARGV[4]
      and #redis.call('XPENDING', stream, ARGV[1], 'IDLE', ARGV[5], '-', '+', 1, consumer[1]) > 0 then return consumer[1] end
  end
  return ''
end
for index = 1, count do
  local stream, key, token = KEYS[index * 2 - 1], KEYS[index * 2], ARGV[5 + index]
  foreign[index] = ''
  local lease = redis.call('HMGET', key, 'owner', 'until', 'token', 'stray')
  if token ~= '' and lease[3] ~= token then
    owners[index] = '${FENCED}'
  elseif token ~= '' then
    owners[index] = ARGV[2]
    local news = {'until', string.format('%.0f', now + ARGV[3])}
    local pending, position = redis.pcall('XPENDING', stream, ARGV[1]), ARGV[5 + count + index]
    if not pending.err then
      if pending[1] > 0 then
        position = predecessor(pending[2])
        foreign[index] = foreignIn(stream, pending[4])
      elseif lease[4] then
        position = ''
      end
      if position ~= '' then news[3], news[4] = 'position', position end
    end
    redis.call('HSET', key, unpack(news))
  elseif lease[1] and lease[1] ~= '' and tonumber(lease[2]) > now then
    owners[index] = lease[1]
  else
    owners[index] = ''
  end
end
return {owners, foreign}
`)

/**
 * Records that a member lives or leaves, and notifies the others when the membership changes. KEYS: members, changes.
 * ARGV: owner, leaseMs, action: 'live', 'leave' or 'gave' (a partition back). Replies the live members.
 */
export const MEMBERS = new Script(`${EVEN_WHEN_FULL}${NOW}
local changed
if ARGV[3] == 'leave' then
  changed = redis.call('ZREM', KEYS[1], ARGV[1])
else
  changed = redis.call('ZADD', KEYS[1], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[1], ARGV[2] * 10)
end
changed = changed + redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now - ARGV[2]))
if changed > 0 or ARGV[3] == 'gave' then
  redis.call('XADD', KEYS[2], 'MAXLEN', 1, '*', 'member', ARGV[1])
  redis.call('PEXPIRE', KEYS[2], ARGV[2] * 10)
end
return redis.call('ZRANGE', KEYS[1], 0, -1)
`)

/**
 * Releases a lease cleanly, with the entries whose note says that they aren't running (an even number: see
 * `AttemptJournal`): to the next owner they are no suspects. KEYS: stream, lease, attempts. ARGV: token.
 */
export const RELEASE = new Script(`${EVEN_WHEN_FULL}${FENCE}
local notes, returned = redis.call('HGETALL', KEYS[3]), {}
for index = 1, #notes, 2 do
  if tonumber(notes[index + 1]) % 2 == 0 then returned[#returned + 1] = notes[index] end
end
redis.call('HSET', KEYS[2], 'owner', '', 'until', '0', 'token', '', 'returned', table.concat(returned, ' '))
return 'ok'
`)

/**
 * The partition was read by an earlier owner after this one had taken it: that owner's entries are pending and must be
 * read first. Or its group was lost and recreated: unsettled entries are delivered again.
 */
export const STRAY = 'stray'

/**
 * Precedes a read of new entries, in one transaction with it. It can't prevent a member that has lost the partition
 * from reading; but it informs that member, which then delivers nothing, and leaves a mark, so that the owner reads
 * what that read took before it delivers anything newer. Reports to the owner the state of the stream before the read:
 * see `read-count.ts`. KEYS: stream, lease. ARGV: token, and a group to report on as well ('': none, since looking it up
 * takes time).
 * Replies '${FENCED}', '${STRAY}' or 'ok'; or 'ok', how many entries were ever added, how many there are, the ids of the
 * first and the last, and the group's count and last delivered entry.
 */
export const GUARD_READ = new Script(`${EVEN_WHEN_FULL}${GROUP}
local lease = redis.call('HMGET', KEYS[2], 'token', 'stray')
if lease[1] ~= ARGV[1] then
  redis.call('HSET', KEYS[2], 'stray', '1')
  return '${FENCED}'
end
if lease[2] then
  redis.call('HDEL', KEYS[2], 'stray')
  return '${STRAY}'
end
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if info.err then return 'ok' end
local first, last = field(info, 'first-entry'), field(info, 'last-entry')
local group = ARGV[2] ~= '' and groupOf(KEYS[1], ARGV[2])
return {'ok', field(info, 'entries-added') or '', field(info, 'length'), first and first[1] or '', last and last[1] or '',
  group and field(group, 'entries-read') or '', group and field(group, 'last-delivered-id') or ''}
`)

/** Puts a group where its owner has found it to be, with its count, or at the end ('$'). KEYS: stream, lease. ARGV: token, group, id, count. */
export const CORRECT_READ = new Script(`${EVEN_WHEN_FULL}${FIELD}${FENCE}
local count = ARGV[4]
if ARGV[3] == '$' then count = field(redis.call('XINFO', 'STREAM', KEYS[1]), 'entries-added') end
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[2], ARGV[3], 'ENTRIESREAD', count)
return 'ok'
`)

/** Precedes a read of pending entries, in one transaction with it. KEYS: stream, lease. ARGV: token. */
export const HOLDS_LEASE = new Script(`${EVEN_WHEN_FULL}${FENCE}
return 'ok'
`)

/**
 * Returns the last entry that a group has received, when a reader that found nothing new may wait for later ones. KEYS:
 * stream, lease. ARGV: token, group. Replies nothing when the reader must read again: since its read, another member
 * may have received what it waits for.
 */
export const LAST_DELIVERED = new Script(`${EVEN_WHEN_FULL}${GROUP}
if ARGV[1] ~= '' then
  local lease = redis.call('HMGET', KEYS[2], 'token', 'stray')
  if lease[1] ~= ARGV[1] or lease[2] then return false end
end
local group = groupOf(KEYS[1], ARGV[2])
return group and field(group, 'last-delivered-id')
`)

/**
 * Finds partitions whose waiting readers must read: the group is lost or was moved, the lease isn't this member's or
 * carries a mark, or there are entries after the last delivered one. KEYS: stream and lease of each. ARGV: group, '1'
 * to find moved groups as well, then token ('' for members without leases) and last delivered id of each. Replies how
 * many groups a stream has (0 when it wasn't queried), and the indexes, from 0.
 */
export const CHECK_WAITING = new Script(`${EVEN_WHEN_FULL}${FIELD}
local due, groups = {}, 0
for index = 1, #KEYS / 2 do
  local stream, token, last = KEYS[index * 2 - 1], ARGV[index * 2 + 1], ARGV[index * 2 + 2]
  local changed = redis.pcall('XPENDING', stream, ARGV[1]).err
  if not changed and token ~= '' then
    local lease = redis.call('HMGET', KEYS[index * 2], 'token', 'stray')
    changed = lease[1] ~= token or lease[2]
  end
  -- Only the list of all groups has the position of one.
  if not changed and ARGV[2] == '1' then
    local list = redis.call('XINFO', 'GROUPS', stream)
    groups = math.max(groups, #list)
    for _, group in ipairs(list) do
      if field(group, 'name') == ARGV[1] then changed = field(group, 'last-delivered-id') ~= last end
    end
  end
  if changed or #redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1) > 0 then due[#due + 1] = index - 1 end
end
return {groups, due}
`)

/**
 * Assigns all pending entries of a partition to one consumer, whatever their holder, a page at a time, and removes those
 * whose message is gone. KEYS: stream, lease. ARGV: token, group, consumer, cursor. Replies the next cursor and how
 * many were gone.
 */
export const TAKE_PENDING = new Script(`${EVEN_WHEN_FULL}${FENCE}
local reply = redis.call('XAUTOCLAIM', KEYS[1], ARGV[2], ARGV[3], 0, ARGV[4], 'COUNT', 500, 'JUSTID')
return {reply[1], #reply[3]}
`)

/** Settles entries. KEYS: stream, lease, attempts. ARGV: token, group, then ids. */
export const ACK = new Script(`${EVEN_WHEN_FULL}${FENCE}
local counted = redis.call('EXISTS', KEYS[3]) == 1
local settled = 0
for first = 3, #ARGV, 1000 do
  local last = math.min(first + 999, #ARGV)
  settled = settled + redis.call('XACK', KEYS[1], ARGV[2], unpack(ARGV, first, last))
  if counted then redis.call('HDEL', KEYS[3], unpack(ARGV, first, last)) end
end
return settled
`)

/** Records handler starts of an entry. KEYS: stream, lease, attempts. ARGV: token, id, attempts. */
export const NOTE_ATTEMPT = new Script(`${EVEN_WHEN_FULL}${FENCE}
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 'ok'
`)

/**
 * Moves a group, and removes its pending entries. KEYS: stream, lease, attempts. ARGV: token, group, start, '1' when
 * the start names an entry.
 */
export const SEEK = new Script(`${EVEN_WHEN_FULL}${FIELD}${IDS}${START}${FENCE}
local start, outside = startIn(KEYS[1], ARGV[3], ARGV[4])
if outside then return outside end
while true do
  local page = redis.call('XPENDING', KEYS[1], ARGV[2], '-', '+', 1000)
  if #page == 0 then break end
  local ids = {}
  for index, entry in ipairs(page) do ids[index] = entry[1] end
  redis.call('XACK', KEYS[1], ARGV[2], unpack(ids))
end
redis.call('DEL', KEYS[3])
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[2], start)
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('HDEL', KEYS[2], 'position', 'suspectTo') end
return 'ok'
`)

/**
 * Lag of a group in some partitions. KEYS: streams. ARGV: group. Replies for each the undelivered entries (-1 when
 * Redis can't tell), pending ones, and the last delivered id; nothing without stream or group.
 */
export const LAG = new Script(`${EVEN_WHEN_FULL}${GROUP}${IDS}
local function lagOf(key, group)
  local delivered = field(group, 'last-delivered-id')
  local behind = field(group, 'lag')
  if not behind then
    local stream = redis.call('XINFO', 'STREAM', key)
    local first = field(stream, 'first-entry')
    behind = -1
    if not first or not before(delivered, field(stream, 'last-generated-id')) then behind = 0
    elseif before(delivered, first[1]) then behind = field(stream, 'length') end
  end
  return {behind, field(group, 'pending'), delivered}
end
local lags = {}
for index, key in ipairs(KEYS) do
  local group = groupOf(key, ARGV[1])
  lags[index] = group and lagOf(key, group) or false
end
return lags
`)

/** Counts entries after an id, a page at a time. KEYS: stream. ARGV: id. Replies how many and the last one's id. */
export const COUNT_AFTER = new Script(`${EVEN_WHEN_FULL}
local count, from = 0, ARGV[1]
for page = 1, 20 do
  local entries = redis.call('XRANGE', KEYS[1], '(' .. from, '+', 'COUNT', 100)
  if #entries == 0 then return {count, ''} end
  count = count + #entries
  from = entries[#entries][1]
end
return {count, from}
`)

/**
 * With members that share a partition: prevents this member's unsettled entries from being claimed. KEYS: stream. ARGV:
 * group, consumer, then at most 1000 ids.
 */
export const KEEP = new Script(`${EVEN_WHEN_FULL}
local mine = {}
for index = 3, #ARGV do
  local entry = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[index], ARGV[index], 1)[1]
  if entry and entry[2] == ARGV[2] then mine[#mine + 1] = ARGV[index] end
end
if #mine > 0 then
  mine[#mine + 1] = 'JUSTID'
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(mine))
end
return 'ok'
`)

/** Consumer that holds the entries that members returned. */
const GIVEN_BACK = 'streamswitch-given-back'

/** Returns entries, which any member may claim immediately. KEYS: stream. ARGV: group, consumer, then ids. */
export const GIVE_BACK = new Script(`${EVEN_WHEN_FULL}
for index = 3, #ARGV do
  local entry = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[index], ARGV[index], 1)[1]
  if entry and entry[2] == ARGV[2] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], '${GIVEN_BACK}', 0, ARGV[index], 'IDLE', 86400000, 'JUSTID')
  end
end
return 'ok'
`)

/** Where a group resumes if it is lost: before the first entry that isn't settled. */
const POSITION = `
local function positionOf(stream, group)
  if field(group, 'pending') == 0 then return field(group, 'last-delivered-id') end
  return predecessor(redis.call('XPENDING', stream, field(group, 'name'))[2])
end
`

/**
 * With members that share partitions: records the group's progress in each, shows that this member lives, and removes
 * consumers that have nothing pending and are silent. KEYS: stream and lease of each partition. ARGV: group, consumer,
 * format version, idle limit in ms. Replies the indexes, from 0, of partitions where other members have returned or
 * abandoned entries.
 */
export const TEND_SHARED = new Script(`${EVEN_WHEN_FULL}${GROUP}${IDS}${POSITION}
local name, me, limit = ARGV[1], ARGV[2], tonumber(ARGV[4])
local function claimable(stream)
  if #redis.call('XPENDING', stream, name, '-', '+', 1, '${GIVEN_BACK}') > 0 then return true end
  for _, entry in ipairs(redis.call('XPENDING', stream, name, 'IDLE', limit, '-', '+', 100)) do
    if entry[2] ~= me then return true end
  end
  return false
end
local due = {}
for index = 1, #KEYS / 2 do
  local stream = KEYS[index * 2 - 1]
  local group = groupOf(stream, name)
  if group then
    redis.call('HSET', KEYS[index * 2], 'v', ARGV[3], 'position', positionOf(stream, group))
    if field(group, 'pending') > 0 and claimable(stream) then due[#due + 1] = index - 1 end
    if field(group, 'consumers') > 1 then
      -- There is no such entry: the call only counts as a sign of this consumer.
      redis.call('XCLAIM', stream, name, me, 0, '0-0', 'JUSTID')
      for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', stream, name)) do
        if field(consumer, 'pending') == 0 and field(consumer, 'idle') > limit * 10 and field(consumer, 'name') ~= me then
          redis.call('XGROUP', 'DELCONSUMER', stream, name, field(consumer, 'name'))
        end
      end
    end
  end
end
return due
`)

/**
 * Claims entries that other members have returned, or abandoned for too long. KEYS: stream, lease, attempts. ARGV:
 * token (''), group, consumer, idle limit in ms, maximum number of entries. Replies entries with their attempts: first
 * the returned ones, then those of dead members.
 */
export const CLAIM = new Script(`${EVEN_WHEN_FULL}${FENCE}
local stream, group, me = KEYS[1], ARGV[2], ARGV[3]
local function claim(list)
  local ids = {}
  for _, entry in ipairs(list) do if entry[2] ~= me then ids[#ids + 1] = entry[1] end end
  if #ids == 0 then return {} end
  -- XCLAIM leaves out entries whose message is gone, and forgets them.
  local entries = redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
  for _, entry in ipairs(entries) do entry[3] = redis.call('HGET', KEYS[3], entry[1]) or '0' end
  return entries
end
local returned = claim(redis.call('XPENDING', stream, group, '-', '+', ARGV[5], '${GIVEN_BACK}'))
local left = claim(redis.call('XPENDING', stream, group, 'IDLE', ARGV[4], '-', '+', ARGV[5]))
return {returned, left}
`)

/** Removes a consumer that has nothing pending. KEYS: stream. ARGV: group, consumer. */
export const LEAVE = new Script(`${EVEN_WHEN_FULL}${FIELD}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if field(consumer, 'name') == ARGV[2] and field(consumer, 'pending') == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
  end
end
return 'ok'
`)
