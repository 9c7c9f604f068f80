import { LUA_GLOBALSINDEX, LUA_REGISTRYINDEX, LuaApi } from 'wasmoon-lua5.1'
import { Failure, type Reply, Status } from './replies.js'

/** Runs a command of a script. */
export type Command = (args: readonly string[]) => Reply

/** What of the compiled Lua is used: its memory, and functions by their C names. */
interface Lua {
  readonly memory: { readonly buffer: ArrayBuffer }
  malloc(bytes: number): number
  lua_pushlstring(state: number, text: number, length: number): void
  lua_pushnumber(state: number, value: number): void
  lua_pushboolean(state: number, value: number): void
  lua_pushcclosure(state: number, run: number, values: number): void
  lua_createtable(state: number, list: number, record: number): void
  lua_rawseti(state: number, index: number, at: number): void
  lua_rawgeti(state: number, index: number, at: number): void
  lua_rawset(state: number, index: number): void
  lua_rawget(state: number, index: number): void
  lua_gettop(state: number): number
  lua_settop(state: number, index: number): void
  lua_type(state: number, index: number): number
  lua_toboolean(state: number, index: number): number
  lua_tonumber(state: number, index: number): number
  lua_tolstring(state: number, index: number, length: number): number
  lua_pcall(state: number, args: number, results: number, handler: number): number
  luaL_loadbuffer(state: number, text: number, length: number, name: number): number
  luaL_ref(state: number, table: number): number
}

/** What the module is made by. */
interface Instantiation {
  instantiate(source: Uint8Array, imports: object): Promise<{ readonly instance: { readonly exports: unknown } }>
}

/** The module around it. */
interface LuaModule {
  addFunction(run: (state: number) => number, signature: string): number
}

const TYPE = { nil: 0, boolean: 1, number: 3, string: 4, table: 5 } as const

/** What Redis gives its scripts, around one function that runs a command and returns its reply. A script may set no global. */
const PRELUDE = `
local run = ...
redis = {
  pcall = run,
  call = function(...)
    local reply = run(...)
    if type(reply) == 'table' and reply.err then error(reply, 0) end
    return reply
  end,
  error_reply = function(text) return {err = text} end,
  status_reply = function(text) return {ok = text} end,
}
KEYS, ARGV = false, false
setmetatable(_G, {
  __newindex = function(_, name) error('Attempt to modify a readonly table: ' .. name) end,
  __index = function(_, name) error("Script attempted to access nonexistent global variable '" .. name .. "'") end,
})
`

/** Size of the piece of Lua's memory that text is copied through, in bytes. */
const SCRATCH_BYTES = 64 * 1024

/** What errors of a script call it, ended as C ends text. */
const CHUNK_NAME = '@user_script\0'

/** Texts that are remembered. */
const MOST_KNOWN = 10_000

/** The scripts of a Redis server, in the Lua that Redis has: version 5.1. Everything is synchronous, and no script keeps anything. */
export class LuaEngine {
  readonly #lua: Lua
  readonly #state: number
  readonly #scratch: number
  readonly #length: number
  readonly #name: number
  /** Compiled scripts, by their source. */
  readonly #compiled = new Map<string, number>()
  /** Text that has been read before, by a hash of it: most is read many times. */
  readonly #known = new Map<number, string>()
  #memory = new Uint8Array()
  #command: Command = () => null

  private constructor(api: LuaApi, lua: Lua) {
    this.#lua = lua
    this.#state = api.luaL_newstate() as unknown as number
    api.luaL_openlibs(this.#state as never)
    this.#scratch = lua.malloc(SCRATCH_BYTES)
    this.#length = lua.malloc(4)
    this.#name = lua.malloc(CHUNK_NAME.length)
    for (const [index, character] of [...CHUNK_NAME].entries())
      this.#bytes[this.#name + index] = character.charCodeAt(0)
    const { addFunction } = api.module as unknown as LuaModule
    const run = addFunction(() => this.#called(), 'ii')
    this.#load(PRELUDE)
    lua.lua_pushcclosure(this.#state, run, 0)
    if (lua.lua_pcall(this.#state, 1, 0, 0) !== 0) throw new Error(this.#text(-1))
  }

  static async create(): Promise<LuaEngine> {
    const { WebAssembly } = globalThis as unknown as { readonly WebAssembly: Instantiation }
    const { instantiate } = WebAssembly
    let lua: unknown
    // The module has each function behind checks that take ten times as long as the function.
    Object.assign(WebAssembly, {
      instantiate: async (...what: Parameters<typeof instantiate>) => {
        const made = await instantiate(...what)
        lua = made.instance.exports
        return made
      },
    })
    try {
      const api = await LuaApi.initialize()
      return new LuaEngine(api, lua as Lua)
    } finally {
      Object.assign(WebAssembly, { instantiate })
    }
  }

  /** Runs a script as `EVAL` does. */
  eval(source: string, keys: readonly string[], args: readonly string[], command: Command): Reply {
    const lua = this.#lua
    this.#command = command
    lua.lua_rawgeti(this.#state, LUA_REGISTRYINDEX, this.#compile(source))
    this.#setGlobal('KEYS', keys)
    this.#setGlobal('ARGV', args)
    const failed = lua.lua_pcall(this.#state, 0, 1, 0) !== 0
    const reply = failed ? this.#failure() : this.#replyAt(lua.lua_gettop(this.#state))
    lua.lua_settop(this.#state, 0)
    return reply
  }

  #compile(source: string): number {
    let compiled = this.#compiled.get(source)
    if (compiled === undefined) {
      // The first line may be of Redis alone: which engine, which flags.
      this.#load(source.replace(/^#!.*/, ''))
      compiled = this.#lua.luaL_ref(this.#state, LUA_REGISTRYINDEX)
      this.#compiled.set(source, compiled)
    }
    return compiled
  }

  #load(source: string): void {
    const length = this.#write(source)
    if (this.#lua.luaL_loadbuffer(this.#state, this.#scratch, length, this.#name) !== 0) throw new Error(this.#text(-1))
  }

  #setGlobal(name: string, values: readonly string[]): void {
    this.#pushText(name)
    this.#push(values)
    this.#lua.lua_rawset(this.#state, LUA_GLOBALSINDEX)
  }

  /** Lua calls a command: the arguments lie on its stack, and the reply goes there. */
  #called(): number {
    const lua = this.#lua
    const args: string[] = []
    const count = lua.lua_gettop(this.#state)
    for (let index = 1; index <= count; index += 1) {
      const type = lua.lua_type(this.#state, index)
      if (type === TYPE.number) args.push(numberText(lua.lua_tonumber(this.#state, index)))
      else if (type === TYPE.string) args.push(this.#text(index))
      else {
        this.#push(new Failure('ERR Lua redis lib command arguments must be strings or integers'))
        return 1
      }
    }
    this.#push(this.#command(args))
    return 1
  }

  /** Redis to Lua: nothing is false, a status and an error are tables. */
  #push(value: Reply): void {
    const lua = this.#lua
    if (typeof value === 'string') return this.#pushText(value)
    if (typeof value === 'number') return lua.lua_pushnumber(this.#state, value)
    if (value === null) return lua.lua_pushboolean(this.#state, 0)
    if (value instanceof Status || value instanceof Failure) {
      lua.lua_createtable(this.#state, 0, 1)
      this.#pushText(value instanceof Status ? 'ok' : 'err')
      this.#pushText(value.text)
      return lua.lua_rawset(this.#state, -3)
    }
    lua.lua_createtable(this.#state, value.length, 0)
    for (let index = 0; index < value.length; index += 1) {
      this.#push(value[index] as Reply)
      lua.lua_rawseti(this.#state, -2, index + 1)
    }
  }

  /** Lua to Redis: numbers lose their fraction, false and nil are nothing, a list ends at its first nil. */
  #replyAt(index: number): Reply {
    const lua = this.#lua
    switch (lua.lua_type(this.#state, index)) {
      case TYPE.string:
        return this.#text(index)
      case TYPE.number:
        return Math.trunc(lua.lua_tonumber(this.#state, index))
      case TYPE.boolean:
        return lua.lua_toboolean(this.#state, index) === 0 ? null : 1
      case TYPE.table: {
        const failure = this.#field(index, 'err')
        if (failure !== undefined) return new Failure(failure)
        const status = this.#field(index, 'ok')
        return status === undefined ? this.#list(index) : new Status(status)
      }
      default:
        return null
    }
  }

  #list(index: number): Reply[] {
    const lua = this.#lua
    const list: Reply[] = []
    for (let at = 1; ; at += 1) {
      lua.lua_rawgeti(this.#state, index, at)
      const top = lua.lua_gettop(this.#state)
      const ends = lua.lua_type(this.#state, top) === TYPE.nil
      if (!ends) list.push(this.#replyAt(top))
      lua.lua_settop(this.#state, top - 1)
      if (ends) return list
    }
  }

  #field(index: number, name: string): string | undefined {
    const lua = this.#lua
    this.#pushText(name)
    lua.lua_rawget(this.#state, index)
    const top = lua.lua_gettop(this.#state)
    const text = lua.lua_type(this.#state, top) === TYPE.string ? this.#text(top) : undefined
    lua.lua_settop(this.#state, top - 1)
    return text
  }

  /** What a script has thrown: an error reply, or text. */
  #failure(): Failure {
    const top = this.#lua.lua_gettop(this.#state)
    const thrown = this.#replyAt(top)
    return thrown instanceof Failure ? thrown : new Failure(`ERR ${String(thrown)}`)
  }

  #pushText(text: string): void {
    this.#lua.lua_pushlstring(this.#state, this.#scratch, this.#write(text))
  }

  #write(text: string): number {
    if (text.length > SCRATCH_BYTES) throw new Error('text is too long for the scripted server')
    const memory = this.#bytes
    for (let index = 0; index < text.length; index += 1) memory[this.#scratch + index] = text.charCodeAt(index)
    return text.length
  }

  #text(index: number): string {
    const from = this.#lua.lua_tolstring(this.#state, index, this.#length)
    const memory = this.#bytes
    const at = this.#length
    const length = (memory[at] as number) | ((memory[at + 1] as number) << 8) | ((memory[at + 2] as number) << 16)
    let hash = length
    for (let byte = from; byte < from + length; byte += 1) hash = (Math.imul(hash, 31) + (memory[byte] as number)) | 0
    const known = this.#known.get(hash)
    if (known !== undefined && isAt(memory, from, length, known)) return known
    const text = Buffer.from(memory.buffer, from, length).toString('latin1')
    if (this.#known.size > MOST_KNOWN) this.#known.clear()
    this.#known.set(hash, text)
    return text
  }

  /** Lua's memory, which is another one once it has grown. */
  get #bytes(): Uint8Array {
    if (this.#memory.length === 0) this.#memory = new Uint8Array(this.#lua.memory.buffer)
    return this.#memory
  }
}

function isAt(memory: Uint8Array, from: number, length: number, text: string): boolean {
  if (text.length !== length) return false
  for (let index = 0; index < length; index += 1) if (memory[from + index] !== text.charCodeAt(index)) return false
  return true
}

/** As Redis writes a number of Lua. */
function numberText(value: number): string {
  return Number.isInteger(value) ? BigInt(value).toString() : String(value)
}
