-- SPDX-License-Identifier: BSD-3-Clause
-- Stands before each script. The rules are those of lib/tenure/coord.h.
--
-- KEYS[1]  weir:{<cluster>}:nodes; all other keys share its prefix, and so its slot
-- ARGV[1]  what the data set is called from now on if it has no name yet
-- ARGV[2]  the asking node
-- ARGV[3]  its incarnation
--
-- Everything is read and understood before the first write that matters, so that a damaged value
-- ends a script without half a change.

local LARGEST = 9007199254740991 -- 2^53 - 1: what a Lua number holds exactly

local prefix = string.sub(KEYS[1], 1, -6)
local nodes_key, counters_key = KEYS[1], prefix .. 'counters'
local revisions_key, channel = prefix .. 'revisions', prefix .. 'events'
local node, lease_key = ARGV[2], prefix .. 'node:' .. ARGV[2]

local function number(text)
	local value = type(text) == 'string' and string.match(text, '^%d+$') and tonumber(text)
	if not value or value > LARGEST then
		error('a number under ' .. prefix .. ' is damaged or too large')
	end
	return value
end

local function text(value)
	return string.format('%.0f', value)
end

local counters = redis.call('HMGET', counters_key, 'dataset', 'revision')
local dataset, revision = counters[1], counters[2] or '0'
if not dataset then
	dataset = ARGV[1]
	redis.call('HSET', counters_key, 'dataset', dataset)
end

-- What is known of the asking node, or nil where its incarnation is not the newest.
local function entry_entitled()
	local entry = redis.call('HGET', nodes_key, node)
	if not entry then
		return nil
	end
	local known, rest = string.match(entry, '^(%d+) (.*)$')
	if number(known) > number(ARGV[3]) then
		return nil
	end
	if known ~= ARGV[3] then -- this Redis has forgotten it
		entry = ARGV[3] .. ' ' .. rest
		redis.call('HSET', nodes_key, node, entry)
		if redis.call('EXISTS', lease_key) == 1 then
			redis.call('HSET', lease_key, 'incarnation', ARGV[3])
		end
	end
	return entry
end

local function lease_write(entry, lease_ms)
	local value = { string.match(entry, '^(%d+) (%S+) (%S+) (%d+) (%d+) (%d+) (%d+) (.*)$') }
	if #value ~= 8 then
		error('node ' .. node .. ' in ' .. nodes_key .. ' is damaged')
	end
	redis.call('DEL', lease_key)
	redis.call('HSET', lease_key, 'incarnation', value[1], 'mac', value[2], 'ipv4', value[3],
		'udp_port', value[4], 'workers', value[5], 'buckets', value[6],
		'protocol', value[7], 'socket', value[8])
	redis.call('PEXPIRE', lease_key, lease_ms)
	redis.call('PUBLISH', channel, 'node ' .. node .. ' incarnation ' .. value[1] .. ' up')
end

local function device_key(device)
	return prefix .. 'device:' .. device
end

-- The device and its fields, in the order of the answer.
local function record_read(device)
	local record = redis.call('HMGET', device_key(device), 'term', 'active', 'revision',
		'master', 'master_incarnation', 'backups', 'insync')
	table.insert(record, 1, device)
	return record
end
