import { createHash } from 'node:crypto'
import type { Actor, SimulatedProcess, World } from '@streamswitch/testkit/simulation'
import type { LuaEngine } from './lua-engine.js'
import { Failure, OK, type Reply, Status } from './replies.js'
import { ScriptedClient } from './scripted-client.js'
import { type Claim, type GroupChange, ScriptedStore, type StoreEvents } from './scripted-store.js'
import type { EntryId } from './scripted-stream.js'

/** Where the server's clock begins, in milliseconds since the epoch. */
const EPOCH_MS = 1_800_000_000_000

/** A command that is being carried out. */
export interface Execution {
  readonly process: SimulatedProcess
  readonly command: readonly string[]
}

/** What happens at the server, for whoever judges it. `by`: whose command it was; `undefined`: nobody's, but a fault. */
export interface BrokerEvents {
  hashChanged(key: string, by: Execution | undefined): void
  groupChanged(key: string, group: string, change: GroupChange, by: Execution | undefined): void
  read(key: string, ids: readonly string[], by: Execution | undefined): void
  claimed(key: string, group: string, claim: Claim, by: Execution | undefined): void
  consumerDeleted(key: string, group: string, consumer: string, pending: number): void
  removed(key: string, ids: readonly EntryId[], by: Execution | undefined): void
  /** A command is through, with all that it changes. */
  executed(by: Execution): void
  /** A command is answered. What is returned is called when the answer arrives. */
  answered(by: Execution, reply: Reply): (() => void) | undefined
}

type Answer = (reply: Reply, delivered?: () => void) => void

interface BlockedRead {
  readonly keys: readonly string[]
  readonly from: readonly string[]
  readonly answer: (reply: Reply) => void
  readonly timeout: ReturnType<World['clock']['schedule']>
}

/** A Redis server, as far as the members of a group speak to it. Its scripts are the transport's own. */
export class ScriptedBroker {
  readonly world: World
  readonly store: ScriptedStore
  readonly events: BrokerEvents
  readonly sessions = new Set<ScriptedSession>()
  readonly #engine: LuaEngine
  /** Sources of scripts, by their hash. */
  readonly #scripts = new Map<string, string>()
  readonly #appended = new Set<string>()
  #executing: Execution | undefined
  #downUntil = 0
  #clockAheadMs = 0
  #lastId = 0

  constructor(world: World, engine: LuaEngine, events: BrokerEvents) {
    this.world = world
    this.#engine = engine
    this.events = events
    const observed: StoreEvents = {
      hashChanged: (key) => events.hashChanged(key, this.#executing),
      groupChanged: (key, group, change) => events.groupChanged(key, group, change, this.#executing),
      read: (key, ids) => events.read(key, ids, this.#executing),
      claimed: (key, group, claim) => events.claimed(key, group, claim, this.#executing),
      consumerDeleted: (...deleted) => events.consumerDeleted(...deleted),
      removed: (key, ids) => events.removed(key, ids, this.#executing),
      appended: (key) => this.#wake(key),
    }
    this.store = new ScriptedStore(() => this.now, observed)
  }

  /** The server's clock. */
  get now(): number {
    return EPOCH_MS + this.world.now + this.#clockAheadMs
  }

  get down(): boolean {
    return this.world.now < this.#downUntil
  }

  /** A client connects. Rejects while the server is away. */
  async connect(process: SimulatedProcess, timeoutMs: number): Promise<ScriptedClient> {
    const travel = (to: Actor): Promise<void> =>
      new Promise((arrived) => this.world.clock.schedule(this.world.latency(process), to, arrived))
    await travel(this.world.broker)
    const client = this.down ? undefined : new ScriptedClient({ broker: this, process, timeoutMs })
    await travel(process)
    if (client === undefined) throw new Error('connect ECONNREFUSED')
    return client
  }

  accept(process: SimulatedProcess): ScriptedSession {
    this.#lastId += 1
    const session = new ScriptedSession(this, process, this.#lastId)
    this.sessions.add(session)
    return session
  }

  /** Away for so long. Its keys stay, its scripts don't. */
  restart(downMs: number): void {
    this.#downUntil = this.world.now + downMs
    this.forgetScripts()
    for (const session of [...this.sessions]) session.close()
  }

  forgetScripts(): void {
    this.#scripts.clear()
  }

  /** Its clock is set. */
  moveClock(ms: number): void {
    this.#clockAheadMs += ms
  }

  /** Carries out one command, or a transaction of them. */
  execute(process: SimulatedProcess, command: readonly string[]): Reply {
    const by = { process, command }
    this.#executing = by
    try {
      return this.#run(command)
    } finally {
      this.#executing = undefined
      this.events.executed(by)
      for (const key of this.#appended) this.#wake(key)
      this.#appended.clear()
    }
  }

  #run(command: readonly string[]): Reply {
    const [name, script = '', count = '0', ...rest] = command
    if (name !== 'EVAL' && name !== 'EVALSHA') return this.store.execute(command)
    const source = name === 'EVAL' ? script : this.#scripts.get(script)
    if (source === undefined) return new Failure('NOSCRIPT No matching script.')
    if (name === 'EVAL') this.#scripts.set(hashOf(source), source)
    const keys = rest.slice(0, Number(count))
    return this.#engine.eval(source, keys, rest.slice(Number(count)), (args) => this.store.execute(args))
  }

  /** Reads that wait are answered once the command is through. */
  #wake(key: string): void {
    if (this.#executing !== undefined) this.#appended.add(key)
    else for (const session of [...this.sessions]) session.appended(key)
  }
}

const hashes = new Map<string, string>()

function hashOf(source: string): string {
  const known = hashes.get(source) ?? createHash('sha1').update(source).digest('hex')
  hashes.set(source, known)
  return known
}

/** One connection, on the server's side. */
export class ScriptedSession {
  readonly process: SimulatedProcess
  readonly id: number
  readonly #broker: ScriptedBroker
  readonly #waiting: (() => void)[] = []
  #queued: (readonly string[])[] | undefined
  #blocked: BlockedRead | undefined
  #open = true

  constructor(broker: ScriptedBroker, process: SimulatedProcess, id: number) {
    this.#broker = broker
    this.process = process
    this.id = id
  }

  get open(): boolean {
    return this.#open
  }

  close(): void {
    this.#open = false
    if (this.#blocked !== undefined) this.#blocked.timeout.cancelled = true
    this.#blocked = undefined
    this.#broker.sessions.delete(this)
  }

  /** Commands of one connection are carried out one after the other; a read that waits keeps the next one waiting. */
  receive(command: readonly string[], answer: Answer): void {
    if (!this.#open) return
    if (this.#blocked === undefined) this.#handle(command, answer)
    else this.#waiting.push(() => this.#handle(command, answer))
  }

  appended(key: string): void {
    const blocked = this.#blocked
    if (blocked === undefined || !blocked.keys.includes(key)) return
    const found = this.#newer(blocked.keys, blocked.from)
    if (found !== undefined) this.#unblock(found)
  }

  /** Returns whether it was waiting. */
  unblock(): boolean {
    if (this.#blocked === undefined) return false
    this.#unblock(null)
    return true
  }

  #handle(command: readonly string[], answer: Answer): void {
    const [name] = command
    if (name === 'MULTI') {
      this.#queued = []
      return answer(OK)
    }
    if (name === 'EXEC') return this.#execute(answer)
    if (this.#queued !== undefined) {
      this.#queued.push(command)
      return answer(new Status('QUEUED'))
    }
    if (name === 'CLIENT') return answer(this.#client(command))
    if (name === 'XREAD') return this.#read(command, answer)
    const { process } = this
    const reply = this.#broker.execute(process, command)
    answer(reply, this.#broker.events.answered({ process, command }, reply))
  }

  #execute(answer: Answer): void {
    const { process } = this
    const commands = this.#queued ?? []
    this.#queued = undefined
    const deliveries: (() => void)[] = []
    const replies = commands.map((command) => {
      const reply = this.#broker.execute(process, command)
      const delivered = this.#broker.events.answered({ process, command }, reply)
      if (delivered !== undefined) deliveries.push(delivered)
      return reply
    })
    answer(replies, () => {
      for (const delivered of deliveries) delivered()
    })
  }

  #client([, what, id]: readonly string[]): Reply {
    if (what === 'ID') return this.id
    const other = [...this.#broker.sessions].find((session) => session.id === Number(id))
    return other?.unblock() === true ? 1 : 0
  }

  /** `XREAD COUNT 1 BLOCK ms STREAMS key… id…`. */
  #read(command: readonly string[], answer: Answer): void {
    const names = command.slice(command.indexOf('STREAMS') + 1)
    const [keys, ids] = [names.slice(0, names.length / 2), names.slice(names.length / 2)]
    const found = this.#newer(keys, ids)
    if (found !== undefined) return answer(found)
    const { clock, broker } = this.#broker.world
    this.#blocked = {
      keys,
      from: ids,
      answer,
      timeout: clock.schedule(Number(command[4]), broker, () => this.#unblock(null)),
    }
  }

  #newer(keys: readonly string[], from: readonly string[]): Reply | undefined {
    const found = keys.map((key, index) => this.#broker.store.newerThan(key, from[index] as string))
    const some = found.filter((one) => one !== undefined)
    return some.length === 0 ? undefined : some
  }

  #unblock(reply: Reply): void {
    const blocked = this.#blocked
    if (blocked === undefined) return
    this.#blocked = undefined
    blocked.timeout.cancelled = true
    blocked.answer(reply)
    while (this.#blocked === undefined && this.#waiting.length > 0) this.#waiting.shift()?.()
  }
}
