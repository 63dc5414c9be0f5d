#!lua name=sluice_1
--[[
The cache entries of sluice: one hash a key, which no reader can bring back to an older state.

Runs as a library of Redis Functions (Redis 7, Valkey 7.2 and newer), and as a script: without its
first line, as EVALSHA sha 1 KEY FUNCTION argument...  The library's name carries its major version,
within which arguments and replies only grow; sluice_version says the minor one.

Every function but sluice_version takes exactly one key (sluice_put two, of one slot) and touches no other.  Times are ms.  An
argument may be left off from the right; '' stands for its default.

| function | arguments | answers |
|---|---|---|
| `sluice_get` | `KEY [lease=10000] [wait=100] [sample=0]` | `HIT payload version stamp` (payload nil: there is no such row); `STALE payload version stamp` (over its time, while another reader loads); `LOAD token floor` (you load); `WAIT ms` (another reader loads: ask again); `MISS` (load, but don't fill) |
| `sluice_fill` | `KEY token version payload ttl [jitter=10] [stale_for=0]` | `OK`; `LEASE_LOST` (the key changed or vanished meanwhile, or it took longer than the lease); `OLD` (what was read is older than what is known) |
| `sluice_fill_none` | `KEY token floor ttl [jitter=10] [stale_for=0]` | as `sluice_fill`, for "there is no such row" |
| `sluice_invalidate` | `KEY version [kind=row] [marker=60000] [marker_absent=2000] [quarantine=5000] [before] [lower=1] [log] [at]` | `NEW` (removed, or nothing was there); `KEPT` (the value is as new, or was put and is settled); `SAME` (told before); `OLD` (a newer one was told before) |
| `sluice_put` | `KEY STREAM version base payload ttl max_backlog group field value...` | `OK id` (the value is there, the write is in STREAM); `FULL lag` (nothing was done: more than max_backlog entries wait for group); `OLD version` (nothing was done: the entry knows of a version above base) |
| `sluice_populate` | `KEY version payload ttl [jitter=10] [stale_for=0] [marker=60000] [always=0] [marker_absent=2000] [read_at=0] [quarantine=5000] [before] [lower=1]` | `OK`; `OLD`; `ABSENT` (nothing was there and always is 0: invalidated instead); `BUSY` (no fill before the quarantine is over: the same); `LATE` (the row was read longer ago than the least of marker, marker_absent and quarantine, but at least 2 s: the same) |
| `sluice_refresh` | `KEY stamp version payload ttl [jitter=10] [stale_for=0]` | `OK`; `OLD`; `CHANGED` (another value, or none) |
| `sluice_lease` | `KEY [lease=10000] [most=0]` | for a refresher: `LOAD token stamp version` (no more than `most` ms are left of the value, which stays; you load); `FRESH ms` (so many are left, -1 for ever); `WAIT ms` (another loads); `ABSENT` |
| `sluice_release` | `KEY token` | `OK` (the lease is given back); `LEASE_LOST` |
| `sluice_stretch` | `KEY stamp ms` | `OK` (the value may be served so long, as `STALE` once it is over its time, and nobody else loads); `CHANGED` (or without a value; stamp '': whichever is there); `WAIT` (another loads) |
| `sluice_drop` | `KEY` | `OK`; `ABSENT` |
| `sluice_untag` | `KEY until member...` | how many members left the set KEY; none once the server's time in µs is at `until` |
| `sluice_generation` | `KEY [ttl=0]` | the generation, set to the server's time in µs where there is none |
| `sluice_generation_raise` | `KEY [ttl=0]` | the new generation; nil where there is none (the next reader's is newer than any before) |
| `sluice_version` | no key | `1.5` |

version: the row's, 0 to 18446744073709551615.  Where the row has none: the floor of LOAD for
sluice_fill, the version that sluice_get gave for sluice_refresh; '' for sluice_invalidate, the
unversioned form: value, lease and marker are gone, and for `quarantine` nothing is filled.
version in answers, floor: 20 digits and the kind, 1 a row, 2 deleted, so that text compares as time
went: a deletion is above its row and below the row's next version.  All 0: none is known.
kind: row or deleted; refused: a put write of this version will never be committed.  before: the highest
version told together with it that is lower; lower: how many there are.  base: what the put value was computed from, as sluice_get gave
its version (20 digits of it), or 0.  log: version is not the row's, but a place in the database's log of
this name, and `at` (ms) the log's time there; see below.  ttl: 0 is for ever.  jitter: ttl is made longer or shorter by up to so many
per cent.  marker, marker_absent: how long an invalidation is remembered where the key was there, or
was not.  read_at: the server's time in ms before the row was read, 0: not told.  sample: about one in so many calls is reported to
the Pub/Sub channel sluice:reads, as "sample H key" or, where there was no value, "sample M key"; a
caller that may not publish there reports nothing.  At OOM get, invalidate, drop and generation_raise run, the others are refused by the server.

The hash: p payload, n "no such row" instead, r their version, w their stamp (µs, another for every
write), e over its time at, s not even stale after, m marker, t token, l lease until, q no fill before,
b the version that was put and is not settled, c what it was computed from ('': not known), i its
id in the stream, o what the first of the settled ones in the value was computed from.
g the log and the latest time in it, where r and m are places of it.
Places and the rows' versions are never compared, nor places of two logs, nor a place that is not above the
one that is known and yet later: its log began again.  What is told then is told in the unversioned form.
A fill of a row's version is OLD where places are known; readers of such rows fill with the floor.
The key's TTL is the longest of what it holds.  A payload that anyone may read without a function is
in `p`; it may be over its time.
]]
local MINOR = '1.5'
local NONE = '000000000000000000000'
-- what is missing in front of a number of so many digits
local ZEROS = { '0000000000000000000', '000000000000000000', '00000000000000000', '0000000000000000',
	'000000000000000', '00000000000000', '0000000000000', '000000000000', '00000000000', '0000000000',
	'000000000', '00000000', '0000000', '000000', '00000', '0000', '000', '00', '0', '' }
local MOST = '18446744073709551615'
local NEW, KEPT, SAME, OLD = { ok = 'NEW' }, { ok = 'KEPT' }, { ok = 'SAME' }, { ok = 'OLD' }
local YEARS = 10 * 366 * 86400000

-- While a library is loaded nothing but redis.register_function is there; afterwards a local name is
-- found sooner than a global one.
local call, try, error_reply, find, format, sub, floor, max, min, values, number, kind_of
local function name_globals()
	call, try, error_reply = redis.call, redis.pcall, redis.error_reply
	find, format, sub = string.find, string.format, string.sub
	floor, max, min = math.floor, math.max, math.min
	values, number, kind_of = unpack, tonumber, type
end

local function fail(text)
	error(error_reply('ERR sluice: ' .. text))
end

-- Numbers that come again and again, by their text; forgotten when there are many.
local numbers, numbers_left = {}, 0

local function number_of(text)
	local n = #text <= 15 and find(text, '^%d+$') and number(text)
	if not n then return nil end
	if numbers_left == 0 then numbers, numbers_left = {}, 200 end
	numbers[text], numbers_left = n, numbers_left - 1
	return n
end

-- A whole number, no longer than what a double holds exactly.
local function whole(text, default, most, name)
	if text == nil or text == '' then
		if default == nil then fail(name .. ' is missing') end
		return default
	end
	local n = numbers[text] or number_of(text)
	if not n or n > most then
		fail(name .. ' is not a whole number up to ' .. format('%.0f', most))
	end
	return n
end

-- Text that sorts as the version does; numbers would lose what is above 2^53.
local function version_of(text, kind)
	local zeros = ZEROS[#text]
	if not zeros or find(text, '%D') then fail('version is not a number of 20 digits at most') end
	if zeros == '' and text > MOST then fail('version is above ' .. MOST) end
	return zeros .. text .. kind
end

local function is_floor(text)
	return #text == 21 and find(text, '^%d+[012]$') ~= nil
end

local function higher(a, b)
	a, b = a or NONE, b or NONE
	return a > b and a or b
end

local function now_us()
	local t = call('TIME')
	return t[1] * 1000000 + t[2]
end

local function digits(n)
	return format('%.0f', n)
end

local function wrong_kind()
	error(error_reply('WRONGTYPE sluice: the key is a hash of another kind'))
end

-- A time that a field holds.
local function time_in(text)
	return number(text) or wrong_kind()
end

local function is_over(deadline, us)
	return not deadline or time_in(deadline) * 1000 <= us
end

-- Nothing of ours was found: then no key at all, not somebody else's hash.
local function demand_absent(key)
	if call('EXISTS', key) == 1 then wrong_kind() end
end

-- The token of a value that a refresher stretches; any of them takes it over.
local STRETCHED = 'stretched'

-- What was found may be of somebody else's hash, whose fields are called as ours are.
local function demand_ours(m, w, t, q)
	if m and #m ~= #NONE or w and #w ~= 16 or q and #q ~= 13 or t and #t ~= 16 and t ~= STRETCHED then wrong_kind() end
end

-- Text is written once for the numbers that come again and again.
local texts = { [60000] = '60000', [2000] = '2000' }

local function lasts(key, ms)
	call('PEXPIRE', key, texts[ms] or digits(max(1, ms)))
end

local function lasts_longer(key, ms)
	call('PEXPIRE', key, texts[ms] or digits(max(1, ms)), 'GT')
end

-- The common arguments of what writes a value, from argument i on.
local function lifetime(args, i)
	return {
		ttl = whole(args[i], nil, YEARS, 'ttl'),
		jitter = whole(args[i + 1], 10, 100, 'jitter'),
		stale_for = whole(args[i + 2], 0, YEARS, 'stale_for'),
	}
end

local function jittered(life, us)
	return max(1, floor(life.ttl * (1 + (us % 2001 - 1000) / 100000 * life.jitter)))
end

-- payload nil: no such row.  stamp: of the value before.  First what needs memory: a script that has
-- written is not stopped at OOM any more.
local function store(key, version, payload, life, stamp, us)
	local stamp_us = us
	if stamp and number(stamp) >= us then stamp_us = number(stamp) + 1 end
	call('HSET', key, payload and 'p' or 'n', payload or '', 'w', digits(stamp_us))
	call('HDEL', key, payload and 'n' or 'p', 't', 'l', 'q', 'b', 'c', 'i', 'o')
	if version ~= NONE then call('HSET', key, 'r', version) else call('HDEL', key, 'r') end
	if life.ttl == 0 then
		call('HDEL', key, 'e', 's')
		call('PERSIST', key)
		return { ok = 'OK' }
	end
	local ttl = jittered(life, us)
	local over = floor(us / 1000) + ttl
	call('HSET', key, 'e', digits(over), 's', digits(over + life.stale_for))
	-- what stands there is for the marker
	lasts(key, max(ttl + life.stale_for, call('PTTL', key)))
	return { ok = 'OK' }
end

local function value_reply(word, payload, version, stamp)
	return { word, payload, version or NONE, stamp }
end

-- The answer, and the time where it had to be asked for.
local function look(key, args)
	local lease = whole(args[1], 10000, 3600000, 'lease')
	local wait = whole(args[2], 100, 3600000, 'wait')
	local p, r, w, e = values(call('HMGET', key, 'p', 'r', 'w', 'e'))
	if w and (#w ~= 16 or not p and not call('HMGET', key, 'n')[1]) then wrong_kind() end
	if w and not e then return value_reply('HIT', p, r, w) end
	local us = now_us()
	if w and not is_over(e, us) then return value_reply('HIT', p, r, w), us end
	local s, m, t, l, q = values(call('HMGET', key, 's', 'm', 't', 'l', 'q'))
	demand_ours(m, w, t, q)
	if not is_over(l, us) then
		if w and not is_over(s, us) then return value_reply('STALE', p, r, w), us end
		return { 'WAIT', min(wait, max(1, number(l) - floor(us / 1000))) }, us
	end
	if not is_over(q, us) then return { 'MISS' } end
	if w and call('HMGET', key, 'b')[1] then return { 'MISS' } end -- nothing else fills meanwhile
	local fresh = not (w or m or t or q)
	if fresh then demand_absent(key) end
	local token = digits(us)
	call('HSET', key, 't', token, 'l', digits(floor(us / 1000) + lease))
	if fresh then lasts(key, max(1, lease)) else call('PEXPIRE', key, digits(max(1, lease)), 'GT') end
	return { 'LOAD', token, higher(r, m) }, us
end

-- Whoever listens learns what is read how often, and what of it was there.
local function get(key, args)
	local sample = whole(args[3], 0, 1000000, 'sample')
	local reply, us = look(key, args)
	if sample > 0 and (us or now_us()) % sample == 0 then
		local found = reply[1] == 'HIT' or reply[1] == 'STALE'
		try('PUBLISH', 'sluice:reads', digits(sample) .. (found and ' H ' or ' M ') .. key)
	end
	return reply
end

-- What a fill has to be, or why it is refused: known (the highest version), stamp, µs, log.
local function claim(key, token)
	local r, m, t, l, w, q, g = values(call('HMGET', key, 'r', 'm', 't', 'l', 'w', 'q', 'g'))
	local us = now_us()
	if not t or t ~= token or is_over(l, us) or not is_over(q, us) then return nil end
	return higher(r, m), w, us, g
end

local function refuse(key)
	call('HDEL', key, 't', 'l')
	return OLD
end

-- The version of a value to be written, nil where it is older than what is known, or can't be compared.
local function at_least(known, text, g)
	if is_floor(text) then
		if known > text then return nil end
		return known
	end
	if g then return nil end
	local version = version_of(text, '1')
	if version < known then return nil end
	return version
end

local function fill(key, args)
	local token, text, payload, life = args[1], args[2], args[3], lifetime(args, 4)
	if not payload then fail('sluice_fill wants token, version, payload and ttl') end
	if not is_floor(text) then version_of(text, '1') end
	local known, stamp, us, g = claim(key, token)
	if not known then return { ok = 'LEASE_LOST' } end
	local version = at_least(known, text, g)
	if not version then return refuse(key) end
	return store(key, version, payload, life, stamp, us)
end

local function fill_none(key, args)
	local token, floor, life = args[1], args[2], lifetime(args, 3)
	if not floor or not is_floor(floor) then fail('sluice_fill_none wants the floor of LOAD') end
	local known, stamp, us = claim(key, token)
	if not known then return { ok = 'LEASE_LOST' } end
	if known > floor or (known ~= NONE and sub(known, 21) ~= '2') then return refuse(key) end
	return store(key, known, nil, life, stamp, us)
end

-- A marker is written before anything is removed.  Where even that finds no room (a script has no
-- allow-oom) nothing stays: without a key there is no lease, so nothing older can be filled.
local function remember(key, field, value, ...)
	local answer = try('HSET', key, field, value, ...)
	if kind_of(answer) ~= 'table' then return true end
	if not find(answer.err, 'OOM', 1, true) then error(answer) end
	call('UNLINK', key)
	return false
end

local function invalidate_unversioned(key, quarantine)
	local r, w, m, t, q = values(call('HMGET', key, 'r', 'w', 'm', 't', 'q'))
	demand_ours(m, w, t, q)
	if not (w or m or t or q) then demand_absent(key) end
	if quarantine == 0 then
		call('UNLINK', key)
		return NEW
	end
	local until_ms = floor(now_us() / 1000) + quarantine
	if q and time_in(q) > until_ms then until_ms = time_in(q) end
	if remember(key, 'q', digits(until_ms)) then
		call('HDEL', key, 'p', 'n', 'r', 'w', 'e', 's', 'm', 't', 'l', 'b', 'c', 'i', 'o', 'g')
		call('PEXPIREAT', key, digits(until_ms))
	end
	return NEW
end

local kinds = { row = '1', deleted = '2', refused = '1', [''] = '1' }

-- What is there of a value, w, of a lease, t, and of a write that is pending, b.
local function remove(key, w, t, b)
	if b then
		call('HDEL', key, 'p', 'n', 'r', 'w', 'e', 's', 't', 'l', 'b', 'c', 'i', 'o')
	elseif not w then
		call('HDEL', key, 't', 'l')
	elseif t then
		call('HDEL', key, 'p', 'n', 'r', 'w', 'e', 's', 't', 'l', 'o')
	else
		call('HDEL', key, 'p', 'n', 'r', 'w', 'e', 's', 'o')
	end
end

-- c begins with what the oldest pending put was computed from; the versions of those before b follow it.
-- What is left of it when this one is told, with so many lower ones of which `before` is the highest:
-- nil where someone else may have written in between.
local WIDTH = #NONE
local function told_of_chain(c, b, version, m, before, lower)
	local base, chain = sub(c, 1, WIDTH), sub(c, WIDTH + 1) .. b
	local at = find(chain, version, 1, true)
	if not at or (at - 1) % WIDTH ~= 0 or base == '' or (m or NONE) > base then return nil end
	if at == 1 and (before or NONE) > base then return nil end
	if at > 1 and (before ~= sub(chain, at - WIDTH, at - 1) or lower * WIDTH ~= at - 1) then return nil end
	return sub(chain, at, -WIDTH - 1)
end

-- A value that was put is kept when its write is committed and nobody else wrote in between.
local function settle(key, version, m, before, lower, marker)
	local c, o = values(call('HMGET', key, 'c', 'o'))
	local rest = told_of_chain(c or '', version, version, m, before, lower)
	if remember(key, 'm', version) then
		if not rest then
			remove(key, true, true, true)
			lasts(key, marker)
			return NEW
		end
		if not o then call('HSET', key, 'o', sub(c, 1, WIDTH)) end
		call('HDEL', key, 'b', 'c', 'i')
		lasts_longer(key, marker)
	end
	return rest and KEPT or NEW
end

-- The key outlives the quarantine.
local function beyond(q, marker)
	return q and max(marker, time_in(q) - floor(now_us() / 1000)) or marker
end

-- A value that was put is gone; what it leaves doesn't live for ever, as it may have.
local function remove_put(key, marker)
	remove(key, true, true, true)
	if call('PTTL', key) == -1 then lasts(key, beyond(call('HMGET', key, 'q')[1], marker)) end
	return NEW
end

-- Of several that are refused together the highest is told; a value that was put later was computed
-- from one that is refused.
local function refuse_put(key, version, marker)
	local b = call('HMGET', key, 'b')[1]
	if b and b <= version then return remove_put(key, marker) end
	if b then call('HSET', key, 'c', '') end
	return SAME
end

-- Someone else's write that is told behind a newer one: a value that was put from an older one lacks it.
local function is_late(key, version, b, o, marker)
	if not o or version <= o then return OLD end
	if b then
		call('HSET', key, 'c', '')
		return OLD
	end
	return remove_put(key, marker)
end

-- Is the marker that is there one of a key that wasn't?  Those live shorter.
local function is_absent(key, marker_absent)
	return call('PTTL', key) <= marker_absent
end

-- A value that was filled with a floor is never above the marker.
local function invalidate_place(key, version, m, w, t, q, g, marker, marker_absent)
	if m and m >= version then return m == version and SAME or OLD end
	if not (m or w or t or q) then
		if marker_absent == 0 then return NEW end
		demand_absent(key)
	end
	local absent = not (w or t or q) and (not m or is_absent(key, marker_absent))
	if not remember(key, 'm', version, 'g', g) then return NEW end
	if w or t then remove(key, w, t) end
	lasts(key, absent and marker_absent or beyond(q, marker))
	return NEW
end

-- What stands in g once this place is told; nil where it can't be compared with what is known.  Rows that
-- are told with one place were committed together.
local function told_log(g, log, at, known, version)
	if not g then return known == NONE and log .. ' ' .. digits(at) or nil end
	local latest = sub(g, #log + 2)
	if sub(g, 1, #log + 1) ~= log .. ' ' or not find(latest, '^%d+$') then return nil end
	if version <= known and at > number(latest) then return nil end
	return log .. ' ' .. digits(max(at, number(latest)))
end

local function invalidate(key, args)
	local text, kind = args[1], kinds[args[2] or '']
	local marker = whole(args[3], 60000, YEARS, 'marker')
	local marker_absent = whole(args[4], 2000, YEARS, 'marker_absent')
	local quarantine = whole(args[5], 5000, YEARS, 'quarantine')
	if not text then fail('version is missing') end
	if not kind then fail('kind is neither row nor deleted') end
	if text == '' then return invalidate_unversioned(key, quarantine) end
	local version = version_of(text, kind)
	local before = args[6] and args[6] ~= '' and version_of(args[6], '1') or nil
	local lower = whole(args[7], 1, 1e9, 'lower')
	if args[2] == 'refused' then return refuse_put(key, version, marker) end
	local log = args[8] or ''
	local known = call('HMGET', key, 'm', 'w', 't', 'q', 'r', 'b', 'g')
	local m, w, t, q, r, b, g = known[1], known[2], known[3], known[4], known[5], known[6], known[7]
	demand_ours(m, w, t, q)
	if log ~= '' then
		local at = whole(args[9], nil, 1e15, 'at')
		local now = not b and told_log(g, log, at, higher(r, m), version)
		if not now then return invalidate_unversioned(key, quarantine) end
		return invalidate_place(key, version, m, w, t, q, now, marker, marker_absent)
	end
	if g then return invalidate_unversioned(key, quarantine) end
	if m then
		if m == version then return SAME end
		if m > version then return is_late(key, version, b, call('HMGET', key, 'o')[1], marker) end
	elseif not (w or t or q) then
		if marker_absent == 0 then return NEW end -- no key, no lease: nothing older can be filled
		demand_absent(key)
		if remember(key, 'm', version) then lasts(key, marker_absent) end
		return NEW
	end
	if b == version then return settle(key, version, m, before, lower, marker) end
	local rest = b and told_of_chain(call('HMGET', key, 'c')[1] or '', b, version, m, before, lower)
	local absent = not (w or t or q) and is_absent(key, marker_absent)
	if not remember(key, 'm', version) then return NEW end
	if absent then
		lasts(key, marker_absent)
		return NEW
	end
	if w and r and r >= version then
		if rest then call('HSET', key, 'c', rest) end
		lasts_longer(key, marker)
		return KEPT
	end
	if w or t then remove(key, w, t, b) end
	lasts(key, beyond(q, marker))
	return NEW
end

local function populate(key, args)
	local text, payload, life = args[1], args[2], lifetime(args, 3)
	local marker = whole(args[6], 60000, YEARS, 'marker')
	local always = whole(args[7], 0, 1, 'always') == 1
	local marker_absent = whole(args[8], 2000, YEARS, 'marker_absent')
	local read_at = whole(args[9], 0, 1e15, 'read_at')
	local quarantine = whole(args[10], 5000, YEARS, 'quarantine')
	local version = version_of(text or '', '1')
	if not payload then fail('payload is missing') end
	local m, r, w, t, q, b, o, g = values(call('HMGET', key, 'm', 'r', 'w', 't', 'q', 'b', 'o', 'g'))
	local us = now_us()
	demand_ours(m, w, t, q)
	if g then
		invalidate_unversioned(key, quarantine)
		return { ok = 'BUSY' }
	end
	local busy = not is_over(q, us) or (b and version < b)
	-- whoever told a newer one after that may have left something that lived no longer
	local remembered = max(2000, min(marker, marker_absent, quarantine))
	local late = read_at > 0 and floor(us / 1000) - read_at > remembered
	if not (m or w or t or q) then demand_absent(key) end
	-- where nothing is written a reader that loads must be told all the same
	local known = w or (m and not is_absent(key, marker_absent))
	if busy or late or not (known or always) then
		invalidate(key, { text, 'row', args[6] or '', args[8] or '', '', args[11] or '', args[12] or '' })
		return { ok = busy and 'BUSY' or late and 'LATE' or 'ABSENT' }
	end
	if version < higher(r, m) then return is_late(key, version, b, o, marker) end
	call('HSET', key, 'm', version)
	lasts(key, max(1, marker))
	return store(key, version, payload, life, w, us)
end

local function refresh(key, args)
	local stamp, text, payload, life = args[1], args[2], args[3], lifetime(args, 4)
	if not payload then fail('sluice_refresh wants stamp, version, payload and ttl') end
	if not is_floor(text) then version_of(text, '1') end
	local m, r, w, b, g = values(call('HMGET', key, 'm', 'r', 'w', 'b', 'g'))
	if not w or w ~= stamp or b then return { ok = 'CHANGED' } end
	local version = at_least(higher(r, m), text, g)
	if not version then return OLD end
	return store(key, version, payload, life, w, now_us())
end

local function is_leased(t, l, us)
	return t ~= STRETCHED and not is_over(l, us)
end

-- The lease of a value that is still there.
local function lease(key, args)
	local ms, most = whole(args[1], 10000, 3600000, 'lease'), whole(args[2], 0, YEARS, 'most')
	local r, w, e, t, l = values(call('HMGET', key, 'r', 'w', 'e', 't', 'l'))
	if not w then return { 'ABSENT' } end
	demand_ours(nil, w, t)
	local us = now_us()
	local left = e and time_in(e) - floor(us / 1000)
	if not left then return { 'FRESH', -1 } end
	if left > most then return { 'FRESH', left } end
	if is_leased(t, l, us) then return { 'WAIT', max(1, time_in(l) - floor(us / 1000)) } end
	local token = digits(us)
	call('HSET', key, 't', token, 'l', digits(floor(us / 1000) + ms))
	call('PEXPIRE', key, digits(max(1, ms)), 'GT')
	return { 'LOAD', token, w, r or NONE }
end

local function release(key, args)
	local token = args[1]
	if not token or call('HGET', key, 't') ~= token then return { ok = 'LEASE_LOST' } end
	call('HDEL', key, 't', 'l')
	return { ok = 'OK' }
end

local function stretch(key, args)
	local stamp, ms = args[1], whole(args[2], nil, YEARS, 'ms')
	local w, e, s, t, l = values(call('HMGET', key, 'w', 'e', 's', 't', 'l'))
	if not w or (stamp ~= '' and w ~= stamp) or not e then return { ok = 'CHANGED' } end
	demand_ours(nil, w, t)
	local us = now_us()
	if is_leased(t, l, us) then return { ok = 'WAIT' } end
	local over = floor(us / 1000) + ms
	call('HSET', key, 't', STRETCHED, 'l', digits(over), 's', digits(max(time_in(s or e), over)))
	call('PEXPIRE', key, digits(max(1, ms)), 'GT')
	return { ok = 'OK' }
end

-- How many entries of the stream the group has not got yet: nobody knows better where its lag isn't known.
local function backlog(stream, group)
	if call('EXISTS', stream) == 0 then return 0 end
	for _, one in ipairs(call('XINFO', 'GROUPS', stream)) do
		local it = {}
		for i = 1, #one, 2 do it[one[i]] = one[i + 1] end
		if it.name == group and it.lag then return it.lag end
	end
	return call('XLEN', stream)
end

-- What a value that is put counts as computed from, as told_of_chain wants it.  Without a value nobody
-- knows what was told and forgotten, but for one from nothing.
local function computed_from(base, w, b, c)
	if b then
		-- behind one that isn't settled; a longer chain isn't remembered
		return c and #c > 0 and #c <= 32 * WIDTH and c .. b or ''
	end
	if w or sub(base, 1, 20) == sub(NONE, 1, 20) then return base end
	return ''
end

local function put(key, args, stream)
	local version, base = version_of(args[1] or '', '1'), args[2] or ''
	local payload, life = args[3], lifetime({ args[4] }, 1)
	local most = whole(args[5], nil, 1e15, 'max_backlog')
	local group = (args[6] and args[6] ~= '') and args[6] or 'sluice-default'
	base = is_floor(base) and base or version_of(base, '1')
	if #args < 8 or #args % 2 ~= 0 then fail('fields and their values are missing') end
	if base >= version then fail('version is not above base') end
	local m, r, w, t, q, b, c, o, g = values(call('HMGET', key, 'm', 'r', 'w', 't', 'q', 'b', 'c', 'o', 'g'))
	demand_ours(m, w, t, q)
	if not (m or w or t or q) then demand_absent(key) end
	local known = higher(r, m)
	if known > base or g then return { 'OLD', known } end
	local lag = backlog(stream, group)
	if lag > most then return { 'FULL', lag } end
	-- first what may be refused (at OOM, or by a stream whose ids are used up): then nothing is done
	local id = call('XADD', stream, '*', '_version', args[1], values(args, 7))
	store(key, version, payload, life, w, now_us())
	call('HSET', key, 'b', version, 'c', computed_from(base, w, b, c), 'i', id)
	if o then call('HSET', key, 'o', o) end
	if q then call('HSET', key, 'q', q) end -- this value ends no quarantine
	return { 'OK', id }
end

local function drop(key)
	local m, w, t, q = values(call('HMGET', key, 'm', 'w', 't', 'q'))
	demand_ours(m, w, t, q)
	if m or w or t or q then
		call('UNLINK', key)
		return { ok = 'OK' }
	end
	demand_absent(key)
	return { ok = 'ABSENT' }
end

-- Nothing leaves once the time is over in which what left can't be filled.
local function untag(key, args)
	local until_us = args[1]
	if #args < 2 then fail('members are missing') end
	if not until_us or #until_us > 16 or not find(until_us, '^%d+$') then fail('until is not a time in µs') end
	if now_us() >= number(until_us) then return 0 end
	return call('SREM', key, values(args, 2))
end

local function write_generation(key, generation, ttl)
	if ttl > 0 then
		call('SET', key, digits(generation), 'PX', digits(ttl))
	else
		call('SET', key, digits(generation))
	end
	return digits(generation)
end

local function generation_of(key)
	local text = call('GET', key)
	if text and not (#text <= 16 and find(text, '^%d+$')) then error(error_reply('WRONGTYPE sluice: the key is no generation')) end
	return text
end

local function generation(key, args)
	local ttl = whole(args[1], 0, YEARS, 'ttl')
	local text = generation_of(key)
	if not text then return write_generation(key, now_us(), ttl) end
	if ttl > 0 then lasts(key, ttl) end
	return text
end

local function generation_raise(key, args)
	local ttl = whole(args[1], 0, YEARS, 'ttl')
	local text = generation_of(key)
	if not text then return false end
	return write_generation(key, max(now_us(), number(text) + 1), ttl)
end

local script = not redis.register_function
local functions = {}

-- most: arguments behind the key
local function offer(name, run, most, flag, wanted)
	local function checked(keys, args)
		if not call then name_globals() end
		if #keys ~= (wanted or 1) then fail(wanted and 'two keys are wanted' or 'one key is wanted') end
		if #args > most then fail('more than ' .. most .. ' arguments') end
		return run(keys[1], args, keys[2])
	end
	if script then
		functions[name] = checked
	else
		redis.register_function({ function_name = name, callback = checked, flags = { flag } })
	end
end

offer('sluice_get', get, 3, 'allow-oom')
offer('sluice_fill', fill, 6)
offer('sluice_fill_none', fill_none, 5)
offer('sluice_invalidate', invalidate, 9, 'allow-oom')
offer('sluice_put', put, 1000, nil, 2)
offer('sluice_populate', populate, 12)
offer('sluice_refresh', refresh, 6)
offer('sluice_lease', lease, 2)
offer('sluice_release', release, 1)
offer('sluice_stretch', stretch, 2)
offer('sluice_drop', drop, 0, 'allow-oom')
offer('sluice_untag', untag, 7000, 'allow-oom')
offer('sluice_generation', generation, 1)
offer('sluice_generation_raise', generation_raise, 1, 'allow-oom')

if not script then
	redis.register_function({
		function_name = 'sluice_version',
		callback = function() return MINOR end,
		flags = { 'no-writes', 'allow-stale' },
	})
	return
end

name_globals()
local name = table.remove(ARGV, 1)
if name == 'sluice_version' then return MINOR end
if not functions[name] then fail('no such function') end
return functions[name](KEYS, ARGV)
